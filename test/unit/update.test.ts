import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { isOlder } from "../../components/settings/images";
import { Target, update } from "../../operate/update/core";
import { Journal } from "../../operate/update/journal";
import type { Status } from "../../operate/verify/check";

let folder: string;
let journal: Journal;
beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), "update-"));
    journal = new Journal(path.join(folder, "updates", "prod.jsonl"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const STEP = { from: "v1.0.0", to: "v2.0.0", set: "20261126T060000Z" };

/** A stack on which versions become healthy or not, and pass the checks or not. */
function stack(healthy: Record<string, boolean | Error>, verified: Record<string, Status> = {}) {
    const done: string[] = [];
    let now = "";
    const target: Target = {
        bringTo(version) {
            done.push((now = version));
            const answer = healthy[version];
            return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
        },
        verify: () =>
            Promise.resolve([
                { id: "relay", title: "", source: "", findings: [{ status: verified[now] ?? "pass", subject: now, got: "said", fix: "mend" }] },
            ]),
        close() {
            done.push("closed");
            return Promise.resolve();
        },
    };
    return { target, done };
}

test.each<[string, Record<string, boolean | Error>, Record<string, Status>, string, string[]]>([
    ["is well", { "v2.0.0": true }, {}, "updated", ["v2.0.0"]],
    ["is well, and something could not be told", { "v2.0.0": true }, { "v2.0.0": "unknown" }, "updated", ["v2.0.0"]],
    ["never becomes healthy", { "v2.0.0": false, "v1.0.0": true }, {}, "rolled back", ["v2.0.0", "v1.0.0"]],
    ["cannot be brought up", { "v2.0.0": new Error("no such image"), "v1.0.0": true }, {}, "rolled back", ["v2.0.0", "v1.0.0"]],
    ["is healthy and fails a check", { "v2.0.0": true, "v1.0.0": true }, { "v2.0.0": "fail" }, "rolled back", ["v2.0.0", "v1.0.0"]],
    ["has changed the data so that the old one does not run", { "v2.0.0": false, "v1.0.0": false }, {}, "failed", ["v2.0.0", "v1.0.0", "closed"]],
])("a version that %s", async (_, healthy, verified, outcome, steps) => {
    const { target, done } = stack(healthy, verified);
    const said: string[] = [];
    expect(await update(STEP, target, journal, (line) => said.push(line))).toBe(outcome);
    expect(done).toEqual(steps);
    expect(journal.entries().map(({ what }) => what)).toEqual(["begun", outcome]);
    expect(journal.unfinished()).toBeUndefined();
    if (outcome === "failed") expect(said.join("\n")).toContain(`npm run restore -- --set ${STEP.set}`);
    if (verified["v2.0.0"] === "fail") expect(said.join("\n")).toContain("fail: v2.0.0: said (mend)");
});

test("one that was killed is taken up; one that still runs is not disturbed", () => {
    const other = new Journal(path.join(folder, "updates", "prod.jsonl"), { host: new URL("http://elsewhere").hostname, pid: 1 });
    expect(journal.unfinished()).toBeUndefined();
    other.write({ ...STEP, what: "begun" });
    expect(journal.unfinished()).toMatchObject(STEP); // of another machine: nobody can tell
    const mine = new Journal(path.join(folder, "updates", "here.jsonl"), { host: "here", pid: 4 });
    new Journal(path.join(folder, "updates", "here.jsonl"), { host: "here", pid: 5 }).write({ ...STEP, what: "begun" });
    expect(() => mine.unfinished(() => true)).toThrow(/from v1\.0\.0 to v2\.0\.0 is under way \(process 5, since .*\)\. Fix: wait/);
    expect(mine.unfinished(() => false)).toMatchObject({ to: "v2.0.0" });
});

test("a line that a power cut left half is none", () => {
    journal.write({ ...STEP, what: "begun" });
    const file = path.join(folder, "updates", "prod.jsonl");
    writeFileSync(file, `${readFileSync(file, "utf8")}{"at": "20`);
    expect(journal.unfinished()).toMatchObject(STEP);
});

test.each([
    ["v2.15.0", "v2.15.1", true],
    ["v2.9.0", "v2.15.0", true],
    ["v2.15.0", "v2.15.0", false],
    ["v2.16.1-beta", "v2.15.0", false],
    ["v2.15", "v2.15.1", true],
    ["v3.0.0", "v2.99.9", false],
])("%s is older than %s: %s", (one, other, expected) => {
    expect(isOlder(one, other)).toBe(expected);
});
