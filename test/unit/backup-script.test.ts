import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { SCRIPT } from "../../components/backups/backups";

test("no function of the backup script has the name of a command: it would be called in its place", () => {
    const functions = [...SCRIPT.matchAll(/^(\w+)\(\)/gm)].map(([, name]) => name);
    expect(functions.length).toBeGreaterThan(40);
    const taken = functions.filter((name) => spawnSync("sh", ["-c", `command -v ${name}`]).status === 0);
    expect(taken).toEqual([]);
});
