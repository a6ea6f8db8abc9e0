import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { PROJECT } from "../../operate/stackFile";

// In a repository of its own: what is shown is the difference between a commit and the files that are there.

let copy: string;
const git = (...args: string[]) =>
    execFileSync("git", ["-c", "user.name=x", "-c", "user.email=x@example.com", ...args], { cwd: copy, encoding: "utf8" });
const against = (ref: string) =>
    spawnSync(path.join(PROJECT, "node_modules/.bin/tsx"), [path.join(copy, "operate/plan.ts"), "--against", ref], { cwd: copy, encoding: "utf8" });

beforeAll(() => {
    copy = mkdtempSync(path.join(tmpdir(), "against-"));
    const left = ["node_modules", ".git", ".work"].map((name) => path.join(PROJECT, name));
    cpSync(PROJECT, copy, { recursive: true, filter: (source) => !left.includes(source) });
    symlinkSync(path.join(PROJECT, "node_modules"), path.join(copy, "node_modules"));
    git("init", "-q");
    writeFileSync(path.join(copy, ".git/info/exclude"), "node_modules\n"); // a link here, a folder elsewhere
    git("add", "-A");
    git("commit", "-q", "-m", "before");
});
afterAll(() => rmSync(copy, { recursive: true }));

test("a change of a stack's file is shown as a change of its plan, of others it says that there is none, and nothing is left behind", () => {
    const file = path.join(copy, "Pulumi.dev.yaml");
    writeFileSync(file, readFileSync(file, "utf8").replace("profile: full", "profile: forwarding"));
    writeFileSync(path.join(copy, "Pulumi.broken.yaml"), "config:\n  forwardemail:hots: x\n");
    const { status, stdout, stderr } = against("HEAD");
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toMatch(/^### dev\n\n````diff\n@@[^]*\n-.*forwardemail-dev-imap/m);
    expect(stdout).toMatch(/^### prod\.example: no change$/m);
    expect(stdout).toMatch(/^### broken\n[^]*\n\+ {2}- hots: /m); // why there is no plan
    expect(git("worktree", "list").trim().split("\n")).toHaveLength(1);
});

test("a commit that is not there is named with the fix", () => {
    expect(against("no-such-branch")).toMatchObject({
        status: 1,
        stderr: expect.stringMatching(/^--against: .*no-such-branch.* Fix: name a commit/s),
    });
});
