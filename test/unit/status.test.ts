import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { expect, test } from "vitest";
import type { ServiceName } from "../../components/services/catalogue";
import type { Running } from "../../operate/health";
import { readStackFile, settingsFrom } from "../../operate/stackFile";
import { FIGURES, backupLine, bansLine, figuresOf, screen, versionOf } from "../../operate/status";

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

test("who is closed out is told where fail2ban runs", () => {
    const folder = mkdtempSync(path.join(tmpdir(), "status-"));
    const program = (name: string, script: string) => writeFileSync(path.join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    const bans = () => {
        const env = { ...process.env, PATH: `${folder}:${process.env.PATH}`, DATA: folder, BACKUP: folder };
        return figuresOf(spawnSync("/bin/sh", ["-c", FIGURES], { encoding: "utf8", env }).stdout).bans;
    };
    // As its status has it, with a tab.
    program(
        "fail2ban-client",
        `[ "$2" != sshd ] || [ ! -e ${folder}/off ] || exit 255; [ "$2" = sshd ] && count=12 || count=3; printf '\`- Actions\n   |- Currently banned:\\t%s\n   |- Total banned:\\t99\n' $count`,
    );
    program("systemctl", "exit 0");
    expect(bans()).toEqual({ ssh: 12, mail: 3 });
    expect(bansLine(bans())).toBe("12 from SSH, 3 from mail");
    writeFileSync(path.join(folder, "off"), "");
    expect(bansLine(bans())).toBe("nobody from SSH, whose jail does not run, 3 from mail");
    program("systemctl", "exit 3");
    expect(bansLine(bans())).toMatch(/^nobody, for fail2ban does not run: /);
    rmSync(folder, { recursive: true });
});

test("what nobody tells is unknown, and the rest is shown; a rejection that comes before another answer ends nothing", async () => {
    const rejections: unknown[] = [];
    const note = (reason: unknown) => rejections.push(reason);
    process.on("unhandledRejection", note);
    // Docker fails at once, and the port thinks about it first; the disk is this machine's.
    const server = createServer((socket) => void setTimeout(() => socket.destroy(), 200)).listen(0, "127.0.0.1");
    await once(server, "listening");
    const portOffset = (server.address() as AddressInfo).port - 443;
    const all = settingsFrom("dev", readStackFile("dev").config ?? {}, { allowUnpinned: true });
    const servers = [{ ...all.servers[0], dockerHost: "unix:///nowhere/docker.sock" }];
    const settings = { ...all, servers, network: { ...all.network, portOffset }, backups: { rpoHours: 1 } as never };
    const address = "127.0.0.1";
    const shown = await screen({ stack: "dev", settings, resources: [], outputs: {}, records: [], isHere: true, address, addresses: [address] });
    server.close();
    process.off("unhandledRejection", note);
    expect(rejections).toEqual([]);
    expect(shown[0]).toContain(`, version ${all.images.forwardemail.tag} wanted, `);
    expect(shown.slice(2)).toEqual([
        expect.stringMatching(/^services {5}unknown: \S/),
        expect.stringMatching(/^certificate {2}unknown: \S/),
        expect.stringMatching(/^backups {6}(no set yet|the newest set is)/),
        expect.stringMatching(/^queue {8}unknown: \S/),
        expect.stringMatching(/^disk {9}[\d.]+ of [\d.]+ GiB free$/),
        expect.stringMatching(/^memory {7}[\d.]+ of [\d.]+ GiB free$/),
    ]);
});

test("the version is the one that runs; another that the stack file has is told beside it", () => {
    const settings = settingsFrom("dev", readStackFile("dev").config ?? {}, { allowUnpinned: true });
    const { tag } = settings.images.forwardemail;
    const of = (...images: Array<[ServiceName, string]>) =>
        versionOf(
            settings,
            images.map(([service, image]) => ({ service, image }) as Running),
        );
    expect(of(["web", `ghcr.io/a/b:${tag}@sha256:0`], ["mongodb", "r/mongo:7.0.28"])).toBe(`version ${tag}`);
    expect(of(["web", "127.0.0.1:5000/b:v1.0.0@sha256:0"], ["mx", `127.0.0.1:5000/b:${tag}`])).toBe(`version v1.0.0 and ${tag} (${tag} wanted)`);
    expect(of()).toBe(`version ${tag} wanted`);
});
