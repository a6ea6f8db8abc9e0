import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Target, deliver, eventually, poll, readImap } from "./clients";
import { watchPorts } from "./internet";
import { inspectStack } from "../../operate/health";
import { hostName, stopRehearsal } from "../../operate/rehearsal";
import { PROJECT } from "../../operate/stackFile";
import { parse } from "yaml";

// The README's first screen, as a newcomer meets it: a fresh copy without node modules, its commands, what they print, a mail.
// Other ports than the README's, so that a dev stack of this machine may run meanwhile.

const OFFSET = 14_000;
const PORTS = [25, 465, 993, 995];
const README = readFileSync(path.join(PROJECT, "README.md"), "utf8");
const [START, , ...MAIL] = blocks("sh").slice(0, 2).join("").trim().split("\n");

let clone: string;
let readMail: string;
let login: { user: string; pass: string };
beforeAll(() => {
    clone = mkdtempSync(path.join(tmpdir(), "quickstart-"));
    const files = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], { cwd: PROJECT, encoding: "utf8" });
    for (const file of files.split("\0").filter(Boolean)) cpSync(path.join(PROJECT, file), path.join(clone, file));
    const config = path.join(clone, "Pulumi.dev.yaml");
    writeFileSync(config, readFileSync(config, "utf8").replace("portOffset: 10000", `portOffset: ${OFFSET}`));
    expect(parse(readFileSync(config, "utf8")).config["forwardemail:network"].portOffset).toBe(OFFSET);
});
afterAll(async () => {
    if (!clone) return;
    npm("down", "--delete-data", "forwardemail-dev");
    await stopRehearsal(hostName("dev", path.join(clone, "operate")), path.join(clone, ".work/rehearsal-dev"));
    rmSync(clone, { recursive: true });
});

function blocks(language: string): string[] {
    return [...README.matchAll(/^```(\w*)\n([^]*?)^```$/gm)].filter(([, of]) => of === language).map(([, , text]) => text);
}
const moved = (text: string) => text.replace(/:10(\d{3})\b/g, (_, port) => `:${OFFSET + Number(port)}`);
const npm = (script: string, ...args: string[]) => spawnSync("npm", ["run", "-s", script, "--", ...args], { cwd: clone, encoding: "utf8" });
const shell = (line: string) => execFileSync("sh", ["-c", moved(line)], { cwd: clone, encoding: "utf8" });

test("npm run up in a fresh copy ends with what the README shows, and changes no file", () => {
    expect(START).toMatch(/^git clone /);
    const before = readFileSync(path.join(clone, "Pulumi.dev.yaml"), "utf8");
    const { status, stdout, stderr } = npm("up", "--rehearse");
    expect(stdout, stderr).toContain(moved(blocks("")[0]));
    expect(status).toBe(0);
    expect(readFileSync(path.join(clone, "Pulumi.dev.yaml"), "utf8")).toBe(before);
});

test("first-run leads to a mailbox, where its one step in a browser is a browser's request; and the README's commands read a mail there", async () => {
    const { username, password } = JSON.parse(shell("npm run -s output -- firstRun"));
    const web = (user: string, page: string, form = "") =>
        shell(`curl -sS --fail --cacert authority.pem --user '${user}' ${form} https://mail.localhost:10443${page}`);
    const [trust, send, read, ...rest] = MAIL.map(moved);
    expect([trust, send, read, rest]).toEqual([
        expect.stringContaining("> authority.pem"),
        expect.stringContaining("--upload-file"),
        expect.stringContaining("imaps:"),
        [],
    ]);
    shell(trust);
    let token = "";
    const started = Date.now();
    const { status, text } = await onTerminal("npm run -s first-run -- --rehearse", [
        ["waiting for it", () => void web(`${username}:${password}`, "/setup", "-d email=root@example.localhost -d password=of-the-administrator")],
        ["API token (empty", () => "no-such-token"],
        ["Invalid API token", () => undefined],
        [
            "API token (empty",
            () => (token = /API token <code>(\w+)</.exec(web("root@example.localhost:of-the-administrator", "/my-account/security"))![1]),
        ],
        ["before @example.localhost", () => "you"],
        ["show it here this once", () => "y"],
    ]);
    console.log(`first-run: ${Date.now() - started} ms\n${text.replace(/password \w{24}/, "password …")}`);
    expect(text).toContain("All of it is done.");
    expect(status).toBe(0);
    for (const secret of [password, token, "no-such-token"]) expect(text).not.toContain(secret);
    const { done, steps } = JSON.parse((await command("first-run", "--json")).text) as {
        done: boolean;
        steps: Array<{ kind: string; done: boolean }>;
    };
    expect(steps.map(({ kind }) => kind)).toEqual(["admin", "domain", "domain", "mailbox", "system", "roles"]);
    expect(done).toBe(true);
    const [, generated] = /User name you@example\.localhost, password (\w+)/.exec(text)!;
    login = { user: "you@example.localhost", pass: generated };
    shell(send);
    readMail = read.replace("you@example.localhost ", `you@example.localhost:${generated} `); // curl would ask for it
    expect(shell(readMail)).toMatch(/^Subject: Hello\r$[^]*It works\./m);
});

/** Runs a command on a terminal of its own, and types what is said to what it asks, in order. */
async function onTerminal(line: string, answers: Array<[asked: string, say: () => string | undefined | void]>) {
    const child = spawn("script", ["-qec", line, "/dev/null"], { cwd: clone, stdio: ["pipe", "pipe", "inherit"] });
    let text = "";
    let heard = 0;
    child.stdout.on("data", (part: Buffer) => {
        text += String(part);
        while (answers.length > 0 && text.indexOf(answers[0][0], heard) >= 0) {
            const [asked, say] = answers.shift()!;
            heard = text.indexOf(asked, heard) + asked.length;
            const said = say();
            if (said) child.stdin.write(`${said}\r`);
        }
    });
    const [status] = (await once(child, "close")) as [number];
    return { status, text };
}

const FILE = "Pulumi.dev.yaml";
/** As an operator's shell would run it, while something else watches. */
async function command(script: string, ...args: string[]): Promise<{ status: number; text: string }> {
    const child = spawn("npm", ["run", "-s", script, "--", ...args, "--rehearse"], { cwd: clone });
    let text = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (part: Buffer) => (text += String(part)));
    const [status] = (await once(child, "close")) as [number];
    return { status, text };
}

test("verify finds nothing wrong, status has it on a screen, and logs show what a service said", async () => {
    const started = Date.now();
    const { status, text } = await command("verify");
    console.log(`verify: ${Date.now() - started} ms`);
    expect(text).toMatch(/^\d+ pass, 0 warn, 0 fail, 0 unknown$/m);
    expect(status).toBe(0);
    const shown = (await command("status")).text;
    for (const line of [
        /^services {5}15 of 15 healthy$/m,
        /^certificate {2}\d+ days left$/m,
        /^queue {8}0 mails wait$/m,
        /^disk {9}[\d.]+ of [\d.]+ GiB free$/m,
    ])
        expect(shown).toMatch(line);
    expect((await command("logs", "mx", "--lines", "5")).text).not.toBe("");
    expect(await command("logs", "mix")).toMatchObject({ status: 1, text: expect.stringContaining('Got "mix", wanted one of mongodb, redis') });
});

const target = (): Target => ({
    address: "127.0.0.1",
    host: "mail.localhost",
    ca: readFileSync(path.join(clone, "authority.pem"), "utf8"),
    portOffset: OFFSET,
});

/** Sends a mail every moment until `stop`, which answers the subjects of those that were accepted. */
function correspond(): { stop(): Promise<string[]> } {
    let isOn = true;
    const accepted: string[] = [];
    const loop = (async () => {
        while (isOn) {
            const subject = `sent at ${Date.now()}`;
            const mail = { from: "me@example.org", to: login.user, subject, text: "In between." };
            await deliver(target(), mail).then(
                () => accepted.push(subject),
                () => undefined, // a sender tries again
            );
            await new Promise((resolve) => setTimeout(resolve, 300));
        }
    })();
    return {
        async stop() {
            isOn = false;
            await loop;
            return accepted;
        },
    };
}

/**
 * What clients see while something is done: no web request fails, each mail port is closed for a moment at the most, and every mail that was
 * accepted meanwhile is there afterwards. Answers those mails.
 */
async function watched(action: () => Promise<void>): Promise<string[]> {
    const web = poll(target(), ["", "api", "caldav", "carddav"]);
    const sender = correspond();
    const ports = PORTS.map((port) => port + OFFSET);
    const mail = watchPorts("127.0.0.1", ports, OFFSET);
    await action();
    const { requests, failures } = await web.stop();
    console.log(`${requests} web requests, longest gaps of mail ports ${JSON.stringify(mail.stop())} ms`);
    const accepted = await sender.stop();
    expect(failures).toEqual([]);
    expect(shell(readMail)).toContain("It works.");
    return eventually("every mail that was accepted", 30, async () => {
        const mails = await readImap(target(), login);
        return accepted.every((subject) => mails.some((mail) => mail.includes(`Subject: ${subject}\r\n`))) ? mails : undefined;
    });
}

/** Containers and images of the stack, whatever they are called. */
const containers = () => inspectStack("forwardemail-dev", dockerHost()).map(({ service, id, image }) => ({ service, id, image }));
const imageOf = (service: string) => containers().find((one) => one.service === service)?.image;
/** The rehearsal's. */
function dockerHost(): string {
    const config = parse(readFileSync(path.join(clone, ".work/dev/Pulumi.dev.yaml"), "utf8")) as {
        config: Record<string, Array<{ dockerHost: string }>>;
    };
    return config.config["forwardemail:servers"][0].dockerHost;
}
/** What `--json` ends with. */
const reportIn = (text: string) => JSON.parse(text.trim().split("\n").at(-1)!) as Record<string, unknown>;

test("an update with nothing new changes nothing and is quick", async () => {
    const before = containers();
    const started = Date.now();
    const { status, text } = await command("update", "--yes", "--json");
    console.log(`nothing to do: ${Date.now() - started} ms`);
    expect(text).toContain("v2.15.1 runs already, and the lock file knows none that is newer.");
    expect([status, reportIn(text)]).toEqual([
        3,
        expect.objectContaining({ stack: "dev", outcome: "nothing to do", from: "v2.15.1", to: "v2.15.1" }),
    ]);
    expect(containers()).toEqual(before);
    expect(Date.now() - started).toBeLessThan(60_000); // an update takes minutes on the same machine
});

test("an update that is healthy and relays for anybody goes back by itself, to Redis's image too: no web request fails, and mail is kept", async () => {
    const before = readFileSync(path.join(clone, FILE), "utf8");
    const lock = path.join(clone, ".work/state/.pulumi/locks/organization/forwardemail/dev/5a1a1a1a-1111-4111-8111-111111111111.json");
    mkdirSync(path.dirname(lock), { recursive: true });
    writeFileSync(lock, JSON.stringify({ pid: 1, username: "root", hostname: "gone", timestamp: new Date().toISOString() }));
    const locked = await command("update", "--version", "v2.16.4-openrelay", "--yes");
    expect(locked).toMatchObject({ status: 1, text: expect.stringContaining("npm run update -- --stack dev --rehearse --unlock") });
    rmSync(lock);
    const mails = await watched(async () => {
        const { status, text } = await command("update", "--version", "v2.16.4-openrelay", "--redis", "7.4.6", "--yes", "--json");
        expect(text).toContain("is given up: --redis asks for 7.4.6."); // that which the lock ended, a moment ago
        expect(text).toContain("Update from v2.15.1 to v2.16.4-openrelay, redis from 7.4.7 to 7.4.6");
        expect(text).toMatch(/fail: mx\.mail\.localhost:\d+: 250 .* for postmaster@example\.com/);
        expect(text).toContain("v2.16.4-openrelay was not well: v2.15.1 runs again.");
        expect([status, reportIn(text)]).toEqual([4, expect.objectContaining({ outcome: "rolled back", from: "v2.15.1" })]);
    });
    expect(mails.some((mail) => /^ by \S+ \(v2\.16\.4-openrelay\) with /m.test(mail))).toBe(true); // the new version has taken one
    expect([imageOf("redis"), imageOf("mx")]).toEqual([expect.stringContaining(":7.4.7@sha256:"), expect.stringContaining(":v2.15.1@sha256:")]);
    const older = await command("update", "--version", "v2.15.0", "--yes", "--json");
    expect(older).toMatchObject({ status: 1, text: expect.stringContaining("v2.15.0 is older than v2.15.1, which runs") });
    expect(reportIn(older.text)).toMatchObject({ outcome: "failed", error: expect.stringContaining("--version: v2.15.0 is older") });
    expect(await command("update", "--version", "v2.15.1")).toMatchObject({ status: 3, text: expect.stringContaining("v2.15.1 runs already") });
    expect(readFileSync(path.join(clone, FILE), "utf8")).toBe(before); // what a rehearsal runs is none of the file's business
});

if (process.env.E2E_LONG === "true")
    test("an update that is well stays", async () => {
        await watched(async () => {
            const { status, text } = await command("update", "--version", "v2.15.0", "--yes", "--force", "--json");
            expect(reportIn(text)).toMatchObject({ outcome: "updated", from: "v2.15.1", to: "v2.15.0" });
            expect(status).toBe(0);
        });
    });

if (process.env.E2E_LONG === "true")
    test("an update that is killed in the middle is taken up by the next one", async () => {
        const args = ["run", "-s", "update", "--", "--version", "v2.15.1", "--yes", "--rehearse"];
        const child = spawn("npm", args, { cwd: clone, detached: true, stdio: ["ignore", "pipe", "inherit"] });
        for await (const part of child.stdout) if (String(part).includes("created anew")) break;
        process.kill(-child.pid!, "SIGKILL");
        const locked = await command("update", "--yes");
        expect(locked).toMatchObject({ status: 1, text: expect.stringContaining("add --unlock: npm run update -- --stack dev --rehearse --unlock") });
        const { status, text } = await command("update", "--yes", "--unlock");
        expect(text).toMatch(/The update from v2\.15\.0 to v2\.15\.1 was cut short on .*: going on with it\./);
        expect(text).toContain("updated from v2.15.0 to v2.15.1.");
        expect(status).toBe(0);
        expect(await command("verify")).toMatchObject({ status: 0 });
    });

if (process.env.E2E_LONG === "true")
    test("an update whose SMTP never becomes healthy goes back by itself, and mail flows", async () => {
        const mails = await watched(async () => {
            const { status, text } = await command("update", "--version", "v2.16.1-smtpcrash", "--yes", "--json");
            expect(text).toMatch(/Service smtp is (unhealthy|starting|restarting|exited)/);
            expect([status, reportIn(text)]).toEqual([
                4,
                expect.objectContaining({ outcome: "rolled back", from: "v2.15.1", to: "v2.16.1-smtpcrash" }),
            ]);
        });
        expect(mails.length).toBeGreaterThan(1);
        await deliver(target(), { from: "me@example.org", to: login.user, subject: "after it", text: "Still here." });
        await eventually("the mail", 20, async () => (await readImap(target(), login)).find((mail) => mail.includes("Subject: after it")));
        expect(await command("verify")).toMatchObject({ status: 0 });
    });

if (process.env.E2E_LONG === "true")
    test("MongoDB goes to its next major release when it is told, not back, and on only when its data may", async () => {
        const { status, text } = await command("update", "--mongodb", "8.0.15", "--yes");
        expect(text).toContain("mongodb does not go back from 8.0 to 7.0: only a set of backups does.");
        expect(text).toContain("updated mongodb from 7.0.28 to 8.0.15.");
        expect([status, imageOf("mongodb")]).toEqual([0, expect.stringContaining(":8.0.15@sha256:")]);
        expect(shell(readMail)).toContain("It works.");
        // A rehearsal writes no file, so the next up asks for the release before.
        expect(await command("up")).toMatchObject({
            status: 1,
            text: expect.stringContaining("images.mongodb: 7.0.28 is older than 8.0.15, which runs"),
        });
        const raised = await command("update", "--mongodb-features", "--yes");
        expect(raised).toMatchObject({ status: 0, text: expect.stringContaining("MongoDB's featureCompatibilityVersion is 8.0 now.") });
        expect(await command("update", "--mongodb-features", "--yes")).toMatchObject({ status: 3 });
    });

// That the next up finds the mail again: deployment.test.ts.
test("down stops it, and says what it kept", () => {
    const { status, stdout } = npm("down");
    expect(stdout).toMatch(/^Kept: .*Volume forwardemail-dev-mailboxes/m);
    expect(status).toBe(0);
    expect(() => shell(readMail)).toThrow();
});
