import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { expect, test } from "vitest";
import { FIGURES, backupLine, figuresOf } from "../../operate/status";

test("the script tells disk, memory and what backups left, and a folder that is not there is none of its concern", () => {
    const folder = mkdtempSync(path.join(tmpdir(), "status-"));
    const figures = () => {
        const env = { ...process.env, DATA: path.join(folder, "not/yet"), BACKUP: folder };
        return figuresOf(spawnSync("/bin/sh", ["-c", FIGURES], { encoding: "utf8", env }).stdout);
    };
    const bare = figures();
    expect(bare.backup).toBeUndefined();
    for (const [free, size] of [bare.disk, bare.memory]) expect(free > 0 && free < size).toBe(true);
    writeFileSync(path.join(folder, "status.json"), JSON.stringify({ lastSuccess: 5, exitStatus: 0 }, null, 2)); // jq writes several lines
    expect(figures().backup).toEqual({ lastSuccess: 5, exitStatus: 0 });
    rmSync(folder, { recursive: true });
    expect(() => figuresOf("greeting\n")).toThrow("the server does not tell its disk");
});

test.each([
    [undefined, undefined, "no set yet"],
    [{ lastSuccess: 0, exitStatus: 1 }, undefined, "no set yet"],
    [{ lastSuccess: 3600, exitStatus: 0 }, undefined, "the newest set is 2.5 h old; never drilled"],
    [
        { lastSuccess: 3600, exitStatus: 1 },
        { exitStatus: 0, at: 9000, error: "" },
        "the newest set is 2.5 h old; the last run failed; drilled 0 days ago",
    ],
    [
        { lastSuccess: 3600, exitStatus: 0 },
        { exitStatus: 1, at: 9000, error: "no room" },
        "the newest set is 2.5 h old; the drill failed 0 days ago: no room",
    ],
])("backups in a line: %o, %o", (backup, drill, expected) => {
    expect(backupLine({ backup, drill }, 12_600_000)).toBe(expected);
});
