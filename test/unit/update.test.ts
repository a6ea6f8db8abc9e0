import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { hostname, tmpdir } from "node:os";
import * as path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { CATALOGUE, servicesOf } from "../../components/services/catalogue";
import { isOlder } from "../../components/settings/images";
import { refuseOlder } from "../../operate/refusals";
import { Held, Target, baseline, update } from "../../operate/update/core";
import { pinsBack } from "../../operate/update/images";
import { Journal, whyGivenUp } from "../../operate/update/journal";
import { tell } from "../../operate/update/report";
import { aimOf, isHeld, isUntouched, mustStillRun } from "../../operate/update/steps";
import type { Finding, Report, Status } from "../../operate/verify/check";

let folder: string;
let journal: Journal;
beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), "update-"));
    journal = new Journal(path.join(folder, "updates", "prod.jsonl"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const STEP = { from: "v1.0.0", to: "v2.0.0", set: "20261126T060000Z" };
const command = (script: string, ...words: string[]) => ["npm run", script, "-- --stack prod", ...words].join(" ");

const finding = (subject: string, status: Status): Finding => ({ status, subject, got: "said", ...(status === "fail" ? { fix: "mend" } : {}) });
const report = (id: string, ...findings: Finding[]): Report => ({ id, title: "", source: "", findings });
const WELL = [report("services", finding("mx", "pass")), report("relay", finding("mx:25", "pass"))];
const RELAYS = [WELL[0], report("relay", finding("mx:25", "fail"))];
const SICK = [report("services", finding("mx", "fail")), WELL[1]];
const UNASKED = [report("services", finding("services", "unknown")), WELL[1]];
const OTHER = [...WELL, report("version", finding("mx", "fail"))];

/** What becomes of a version: whether its operation ends well, and what the checks say then. */
type Fate = [healthy: boolean | Error, reports: Report[] | Error];
const OK: Fate = [true, WELL];
const UNHEALTHY: Fate = [false, SICK];

function stack(fates: Record<string, Fate>, closing?: Error) {
    const done: string[] = [];
    const answer = async <T>(value: T | Error): Promise<T> => {
        if (value instanceof Error) throw value;
        return value;
    };
    const target: Target = {
        command,
        bringTo(version, images) {
            done.push([version, ...Object.values(images)].join(" "));
            return answer(fates[version][0]);
        },
        verify: (version) => answer(fates[version][1]),
        back(images) {
            done.push(...images.map(({ name, from }) => `${name} back to ${from}`));
            return Promise.resolve(pinsBack(images, []));
        },
        close() {
            done.push("closed");
            return answer<void>(closing ?? undefined);
        },
    };
    const said: string[] = [];
    return { target, done, said, log: (line: string) => said.push(line) };
}

const BACK = ["v2.0.0", "v1.0.0"];
test.each<[string, Fate, Fate, string, string[]]>([
    ["is well", OK, OK, "updated", ["v2.0.0"]],
    ["is well, and something could not be told", [true, UNASKED], OK, "updated", ["v2.0.0"]],
    ["is healthy, and no check can run", [true, new Error("no state")], OK, "updated", ["v2.0.0"]],
    ["never becomes healthy", UNHEALTHY, OK, "rolled back", BACK],
    ["is not brought to its end, though nothing fails", [false, WELL], OK, "rolled back", BACK],
    ["cannot be brought up", [new Error("no such image"), WELL], OK, "rolled back", BACK],
    ["is healthy and fails a check", [true, RELAYS], OK, "rolled back", BACK],
    ["is not well, and the old one is, whatever its operation says", UNHEALTHY, [new Error("locked"), WELL], "rolled back", BACK],
    ["is not well, and of the old one only its operation tells", UNHEALTHY, [true, UNASKED], "rolled back", BACK],
    ["has changed the data so that the old one does not run", UNHEALTHY, UNHEALTHY, "failed", [...BACK, "closed"]],
    ["is not well, and the old one is sick, though its operation ended well", UNHEALTHY, [true, SICK], "failed", [...BACK, "closed"]],
    ["is not well, and nobody tells how the old one is", UNHEALTHY, [false, UNASKED], "failed", BACK],
    ["is not well, and no check of the old one can run", UNHEALTHY, [new Error("no way"), new Error("no way")], "failed", BACK],
    ["is not well, and still runs", UNHEALTHY, [false, OTHER], "failed", BACK],
])("a version that %s", async (_, there, back, outcome, steps) => {
    const { target, done, said, log } = stack({ "v2.0.0": there, "v1.0.0": back });
    expect(await update(STEP, target, journal, log)).toBe(outcome);
    expect(done).toEqual(steps);
    expect(journal.entries().map(({ what }) => what)).toEqual(["begun", ...(outcome === "updated" ? [] : ["going back"]), outcome]);
    expect(journal.unfinished()).toBeUndefined();
    const text = said.join("\n");
    if (done.includes("closed")) expect(text).toContain(`npm run restore -- --stack prod --set ${STEP.set}`);
    else if (outcome === "failed") expect(text).toMatch(/ports are left as they are\. Fix: see npm run \w+ -- --stack prod/);
    if (there[1] === RELAYS) expect(text).toContain("fail: mx:25: said (mend)");
});

test("ports that cannot be closed are told, and the update has an end all the same", async () => {
    const { target, said, log } = stack({ "v2.0.0": UNHEALTHY, "v1.0.0": UNHEALTHY }, new Error("no route"));
    expect(await update(STEP, target, journal, log)).toBe("failed");
    expect(said.join("\n")).toContain("The ports could not be closed: no route");
    expect(journal.entries().at(-1)).toMatchObject({ ...STEP, what: "failed" });
});

test("going back means the recorded images of the databases and of nginx too; forward, the config names only what the operator did", async () => {
    const images = [
        { name: "redis" as const, from: "7.4.7@sha256:a", to: "7.4.8@sha256:b" },
        { name: "mongodb" as const, from: "7.0.28@sha256:c", to: "8.0.15@sha256:d", isTold: true as const },
    ];
    const { target, done, log } = stack({ "v2.0.0": UNHEALTHY, "v1.0.0": OK });
    expect(await update({ ...STEP, images }, target, journal, log)).toBe("rolled back");
    expect(done).toEqual([
        "v2.0.0 8.0.15",
        "redis back to 7.4.7@sha256:a",
        "mongodb back to 7.0.28@sha256:c",
        "v1.0.0 7.4.7@sha256:a 7.0.28@sha256:c",
    ]);
    expect(journal.entries().map((entry) => entry.images)).toEqual([images, images, images]);
});

test("what failed before an update is not held against it; what else fails of the same check is", async () => {
    const before = baseline(RELAYS, command, () => undefined);
    expect(before).toEqual(["relay mx:25"]);
    const same = stack({ "v2.0.0": [true, RELAYS] });
    expect(await update({ ...STEP, before }, same.target, journal, same.log)).toBe("updated");
    const others = [WELL[0], report("relay", finding("mx:25", "fail"), finding("mx:465", "fail")), report("tls", finding("mx:25", "fail"))];
    const other = stack({ "v2.0.0": [true, others], "v1.0.0": [true, RELAYS] });
    expect(await update({ ...STEP, before }, other.target, journal, other.log)).toBe("rolled back");
    expect(other.said.filter((line) => line.includes("fail:"))).toHaveLength(2);
});

test("an update does not begin where a service is not well", () => {
    expect(() => baseline(SICK, command, () => undefined)).toThrow(
        "Not every service is healthy before the update (mx: said), so nothing was changed. Fix: npm run up -- --stack prod",
    );
    expect(baseline(UNASKED, command, () => undefined)).toEqual([]);
});

test("one that was killed on its way back goes on going back, and knows what failed before", async () => {
    const dead = new Journal(journal.file, { host: hostname(), pid: 4 });
    for (const what of ["begun", "going back"] as const) dead.write({ ...STEP, before: ["relay mx:25"], what });
    const { what, ...entry } = journal.unfinished(() => false)!;
    expect(entry).toMatchObject({ ...STEP, before: ["relay mx:25"] });
    const { target, done, log } = stack({ "v2.0.0": OK, "v1.0.0": [true, RELAYS] });
    expect(await update(entry, target, journal, log, what)).toBe("rolled back");
    expect(done).toEqual(["v1.0.0"]);
    expect(journal.entries().map(({ what }) => what)).toEqual(["begun", "going back", "going back", "rolled back"]);
});

test("one that was killed is taken up; one that still runs is not disturbed, and another machine's is told", () => {
    const elsewhere = new Journal(journal.file, { host: "elsewhere", pid: 1 });
    expect(journal.unfinished()).toBeUndefined();
    elsewhere.write({ ...STEP, what: "begun" });
    const found = journal.unfinished(() => true);
    expect(found).toMatchObject(STEP);
    expect(journal.elsewhere(found!)).toBe("elsewhere");
    const file = path.join(folder, "updates", "here.jsonl");
    const mine = new Journal(file, { host: "here", pid: 4 });
    new Journal(file, { host: "here", pid: 5 }).write({ ...STEP, what: "going back" });
    expect(() => mine.unfinished(() => true)).toThrow(/from v1\.0\.0 to v2\.0\.0 is under way \(process 5, since .*\)\. Fix: wait .*here\.jsonl/);
    const left = mine.unfinished(() => false)!;
    expect(left).toMatchObject({ to: "v2.0.0", what: "going back" });
    expect(mine.elsewhere(left)).toBeUndefined();
    mine.write({ ...left, what: "given up" });
    expect(mine.unfinished(() => true)).toBeUndefined();
});

test.each([
    ["v1.0.0", {}, undefined],
    ["v2.0.0", { version: "v2.0.0" }, undefined],
    ["v1.5.0", {}, "v1.5.0 runs by now"],
    ["v1.0.0", { version: "v3.0.0" }, "--version asks for v3.0.0"],
    ["v1.0.0", { version: "v1.0.0" }, "--version asks for v1.0.0"],
    ["v1.0.0", { redis: "7.4.6" }, undefined],
    ["v1.0.0", { redis: "7.4.7" }, "--redis asks for 7.4.7"],
    ["v1.0.0", { version: "v2.0.0", mongodb: "8.0.15" }, "--mongodb asks for 8.0.15"],
])("one that was cut short, where %s runs and %j is asked for, is given up: %s", (running, wish, reason) => {
    const images = [{ name: "redis" as const, from: "7.4.7@sha256:aa", to: "7.4.6@sha256:bb" }];
    expect(whyGivenUp({ ...STEP, images }, running, wish)).toBe(reason);
});

test("a line that a power cut left half is none, and takes no other with it", () => {
    journal.write({ ...STEP, what: "begun" });
    appendFileSync(journal.file, '{"at": "20');
    expect(journal.unfinished()).toMatchObject(STEP);
    journal.write({ ...STEP, what: "updated" });
    expect(journal.entries().map(({ what }) => what)).toEqual(["begun", "updated"]);
    expect(readFileSync(journal.file, "utf8")).toMatch(/\}\n\{"at": "20\n\{.*\}\n$/);
});

test("a version that another run has changed meanwhile is not written over", async () => {
    const here = (version?: string) => ({ session: { stack: { outputs: async () => (version ? { version: { value: version } } : {}) } }, command });
    const look = (versions: string[], version?: string) => mustStillRun(versions, here(version) as never);
    await look(["v1.0.0"], "v1.0.0");
    await look(["v1.0.0", "v2.0.0"], "v2.0.0");
    await expect(look(["v1.0.0"], "v3.0.0")).rejects.toThrow(
        "v3.0.0 runs by now, and v1.0.0 did before, so nothing was changed. Fix: look again: npm run update -- --stack prod",
    );
    await expect(look(["v1.0.0"])).rejects.toThrow("No version runs by now");
});

test("an update that was cut short has a new set where it has changed nothing yet, and the old one where it may have", () => {
    const images = (tag: string) =>
        Object.fromEntries(["forwardemail", "mongodb", "redis", "nginx"].map((name) => [name, { reference: `${name}:${tag}` }]));
    const known = { profile: "full", images: images("v1") } as never;
    const all = servicesOf("full").map((service) => ({ service, image: `${CATALOGUE[service].image}:v1` }));
    const watcher = { service: "prometheus", image: "prometheus:v3" };
    expect(isUntouched(known, [...all, watcher] as never)).toBe(true);
    expect(isUntouched(known, all.slice(1) as never)).toBe(false);
    expect(isUntouched(known, [...all, { ...all[0], image: "mongodb:v2" }] as never)).toBe(false);
});

/** A run that asks nobody, and what it says. */
function unattended(yes = true) {
    const said: string[] = [];
    return { said, options: { stack: "prod", yes }, journal, command, log: (line: string) => void said.push(line) };
}

test("where what runs is newer than all that the lock file knows, an update that names no version has nothing to do", () => {
    expect(aimOf("v3.0.0", "v2.0.0", unattended())).toEqual({ to: "v3.0.0" });
    expect(aimOf("v1.0.0", "v2.0.0", unattended())).toEqual({ to: "v2.0.0" });
});

test.each(["rolled back", "failed"] as const)("a version of which the last try %s is not taken again, unless somebody wants it", (what) => {
    const here = unattended();
    for (const one of ["begun", "going back", what] as const) journal.write({ ...STEP, what: one });
    expect(aimOf("v1.0.0", "v2.0.0", here)).toEqual({ to: "v1.0.0", held: true });
    expect(here.said).toEqual([
        expect.stringMatching(
            /^The update from v1\.0\.0 to v2\.0\.0 (was rolled back|failed) on 20.*: npm run update -- --stack prod --version v2\.0\.0 does it\.$/,
        ),
    ]);
    expect(aimOf("v1.0.0", "v2.1.0", here)).toEqual({ to: "v2.1.0" });
    const asked = unattended(false);
    expect(aimOf("v1.0.0", "v2.0.0", asked)).toEqual({ to: "v2.0.0" });
    expect(asked.said).toEqual([expect.stringMatching(/^ {2}warning: The update from v1\.0\.0 to v2\.0\.0 .*Z\.$/)]);
    journal.write({ ...STEP, what: "updated" });
    expect(aimOf("v1.0.0", "v2.0.0", here)).toEqual({ to: "v2.0.0" });
});

test("images that were taken back are not taken again by themselves; others are, and a version is another matter", () => {
    const redis = (to: string) => [{ name: "redis" as const, from: "7.4.7@sha256:a", to }];
    const alone = (to: string) => ({ from: "v1.0.0", to: "v1.0.0", images: redis(to) });
    journal.write({ ...alone("7.4.8@sha256:b"), what: "rolled back" });
    expect(isHeld(alone("7.4.8@sha256:b"), unattended())).toBe(true);
    expect(isHeld(alone("7.4.8@sha256:c"), unattended())).toBe(false);
    expect(isHeld({ ...STEP, to: "v1.0.0", from: "v0.9.0" }, unattended())).toBe(false);
    journal.write({ ...STEP, images: redis("7.4.8@sha256:c"), what: "rolled back" });
    expect(isHeld(alone("7.4.8@sha256:c"), unattended())).toBe(false);
});

test("a stack that another operation holds ends the run, and the next one goes on where it was", async () => {
    const forth = stack({ "v2.0.0": [new Held("held"), WELL] });
    await expect(update(STEP, forth.target, journal, forth.log)).rejects.toThrow("held");
    expect([forth.done, journal.unfinished()]).toEqual([["v2.0.0"], expect.objectContaining({ ...STEP, what: "begun" })]);
    const back = stack({ "v2.0.0": UNHEALTHY, "v1.0.0": [new Held("held"), WELL] });
    await expect(update(STEP, back.target, journal, back.log)).rejects.toThrow("held");
    expect(journal.unfinished()).toMatchObject({ what: "going back" });
});

test("the webhook is told how it ended; one that does not answer is a warning without its address, and none is not asked for", async () => {
    const bodies: string[] = [];
    const hook = createServer((message, answer) => message.on("data", (body: Buffer) => bodies.push(body.toString())).on("end", () => answer.end()));
    await new Promise<void>((resolve) => hook.listen(0, "127.0.0.1", resolve));
    const value = `http://127.0.0.1:${(hook.address() as AddressInfo).port}/secret`;
    const session = (alertWebhook: boolean) => ({ stack: { getConfig: () => Promise.resolve({ value }) }, settings: { alertWebhook } }) as never;
    const said: string[] = [];
    const log = (line: string) => void said.push(line);
    await tell(session(false), "unheard", log);
    await tell(session(true), "x: update: updated from v1.0.0 to v2.0.0", log);
    expect([bodies, said]).toEqual([['{"text":"x: update: updated from v1.0.0 to v2.0.0"}'], []]);
    await new Promise((resolve) => hook.close(resolve));
    await tell(session(true), "nobody hears", log);
    expect(said).toEqual(["  warning: the webhook could not be told"]);
});

test("an older version than the one that runs is refused with a command for this very stack", () => {
    const settings = { images: { forwardemail: { tag: "v1.0.0" } } };
    const session = { stack: { name: "prod" }, settings, rehearsal: {} } as never;
    const running = (version: string) => [{ urn: "", type: "pulumi:pulumi:Stack", outputs: { version } }];
    expect(() => refuseOlder(session, running("v2.0.0"))).toThrow("npm run update -- --stack prod --rehearse --version v1.0.0 --force");
    refuseOlder(session, running("v1.0.0"));
    const built = { images: { forwardemail: { tag: "v1.0.0-abc" } }, build: {} };
    expect(() => refuseOlder({ ...(session as object), settings: built } as never, running("v2.0.0-def"))).toThrow(
        /^image\.build\.context: v1.*pulumi up --stack prod/,
    );
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
