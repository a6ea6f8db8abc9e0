import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import * as path from "node:path";
import { describe, expect, test } from "vitest";
import { confirmDeletion } from "../../operate/down";
import { redactor } from "../../operate/health";
import { Progress, knownFix } from "../../operate/progress";
import { entryOf } from "../../operate/output";
import { REFERENCE, reference } from "../../operate/reference";
import { mustHaveBucket } from "../../operate/restore";
import { PROJECT, settingsFrom } from "../../operate/stackFile";

test("a zone is a text to paste where it is the only one; of several, one is named; other outputs are as they are", () => {
    expect(entryOf({ "a.example": "text" }, ["zone"])).toBe("text");
    const two = { "a.example": "1", "b.example": "2" };
    expect(entryOf(two, ["zone"])).toBe(two);
    expect(entryOf(two, ["zone", "b.example"])).toBe("2");
    expect(() => entryOf(two, ["zone", "c.example"])).toThrow('zone has no "c.example"; wanted one of a.example, b.example.');
    expect(entryOf({ username: "admin" }, ["firstRun"])).toEqual({ username: "admin" });
});

test("a restore asks for a bucket that the program has made, unless it takes a folder over: that one begins in an empty bucket", () => {
    const lock = { "forwardemail:images": { lockFile: "test/fixtures/images.lock.json" } };
    const backups = { provider: "aws", region: "eu-central-1" };
    const settings = settingsFrom("x", { "forwardemail:host": "mail.example.com", "forwardemail:backups": backups, ...lock });
    const missing = (set: string, ...types: string[]) =>
        mustHaveBucket(
            set,
            { settings },
            types.map((type) => ({ type })),
        );
    expect(() => missing("latest", "docker:index/volume:Volume")).toThrow("The state knows no bucket");
    expect(() => missing("latest", "aws:s3/bucket:Bucket")).not.toThrow();
    expect(() => missing("/root/upstream")).not.toThrow();
});

describe("known fixes", () => {
    test.each([
        [
            "driver failed programming external connectivity on endpoint mx: Error starting userland proxy: listen tcp4 0.0.0.0:25: bind: address already in use",
            "network.portOffset",
        ],
        ["Bind for 0.0.0.0:25 failed: port is already allocated", "network.portOffset"],
        ["failed to register layer: write /usr/lib/x: no space left on device", "the disk is full"],
        ["manifest for 127.0.0.1:5000/x@sha256:00 not found: manifest unknown: manifest unknown", "the registry does not have this image"],
        ["Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?", "start Docker"],
        ["invalid pool request: Pool overlaps with other one on this address space", "network.subnet"],
        ["error setting rlimit type 7: operation not permitted", "lower openFiles"],
    ])("%s", (message, fix) => expect(knownFix(message)).toContain(fix));

    test("an unknown error has none", () => expect(knownFix("something else")).toBeUndefined());
});

describe("progress", () => {
    const event = (severity: "error" | "warning", message: string) =>
        ({
            sequence: 1,
            timestamp: 1,
            diagnosticEvent: { severity, message, color: "never", urn: "urn:pulumi:s::p::docker:index/container:Container::x-mx" },
        }) as never;

    test("an error is told once, without the provider's prefixes, and kept", () => {
        const lines: string[] = [];
        const progress = new Progress((line) => lines.push(line));
        progress.onEvent(
            event("error", "<{%reset%}>  sdk-v2/provider2.go:571: sdk.helper_schema: Unable to start: provider=docker@5.2.0<{%reset%}>\n"),
        );
        expect(lines).toEqual(["  error: Container x-mx: Unable to start"]);
        expect(progress.errors).toEqual(["Unable to start"]);
    });

    test("a failed script is told by what it said, not by its text", () => {
        const lines: string[] = [];
        const message = 'exit status 3: running "docker run -c \'set -eu\\nrefuse() { echo \\"REFUSED\\" >&2; }\'":\nREFUSED: the mongodb data';
        new Progress((line) => lines.push(line)).onEvent(event("error", message));
        expect(lines).toEqual(["  error: Container x-mx: exit status 3: REFUSED: the mongodb data"]);
    });

    test("what is normal in a rehearsal is not a warning", () => {
        const lines: string[] = [];
        new Progress((line) => lines.push(line)).onEvent(event("warning", "using pulumi-resource-tls from $PATH at /x"));
        expect(lines).toEqual([]);
    });
});

test("a log line loses the secrets of its container", () => {
    const hide = redactor([
        "API_SECRETS=abcdefabcdef,",
        "MONGO_URI=mongodb://u:s3cretpassword@mongodb:27017/x",
        "WEB_SSL_KEY_PATH=/app/ssl/privkey.pem",
        "SMTP_PASS=short",
    ]);
    expect(hide("x abcdefabcdef y s3cretpassword z /app/ssl/privkey.pem")).toBe("x [secret] y [secret] z /app/ssl/privkey.pem");
});

test("data is deleted only for the typed name of the deployment", () => {
    expect(() => confirmDeletion("forwardemail-prod", "forwardemail-dev")).toThrow(
        /wanted the name of this deployment, "forwardemail-dev"\. Nothing was removed/,
    );
    expect(() => confirmDeletion("", "forwardemail-dev")).toThrow();
    for (const typed of ["forwardemail-dev", undefined]) confirmDeletion(typed, "forwardemail-dev");
});

describe("docs/configuration.md", () => {
    test("is what the schema says now", () => expect(readFileSync(REFERENCE, "utf8")).toBe(reference()));
    test("gives every key a meaning", () => expect(reference()).not.toMatch(/\|\s+\|$/m));
});

describe("the commands", () => {
    const run = (command: string, ...args: string[]) => {
        const tsx = path.join(PROJECT, "node_modules/.bin/tsx");
        return spawnSync(tsx, [path.join(PROJECT, "operate", `${command}.ts`), ...args], { cwd: PROJECT, encoding: "utf8" });
    };

    test("a bad option or a stack that is not there ends with one line and not with 0", () => {
        expect(run("test", "--e3e").status).toBe(2);
        expect(run("down", "--delete-data", "forwardemail-prod")).toMatchObject({
            status: 1,
            stderr: expect.stringContaining("Nothing was removed"),
        });
        for (const [args, message] of [
            [["--stack", "prod"], /no terminal\. Fix: add --yes/],
            [["--nonsense"], /Unknown option '--nonsense'/],
            [["--stack", "nowhere", "--rehearse"], /There is no stack file Pulumi\.nowhere\.yaml\. Fix: /],
        ] as const) {
            const { status, stderr } = run("up", ...args);
            expect(status).toBe(1);
            expect(stderr).toMatch(message);
            expect(stderr).not.toMatch(/\n\s+at /);
        }
    });

    test("plan shows a tree, and JSON that a tool can read", () => {
        const { stdout } = run("plan", "dev");
        expect(stdout).toMatch(/forwardemail-dev-mx .*127\.0\.0\.1:10025/);
        expect(stdout).toMatch(/forwardemail-dev-web .*\[no gap\]/);
        expect(stdout).toMatch(/certificates: self-signed; DNS records: none\n$/);
        expect(JSON.parse(run("plan", "dev", "--json").stdout).length).toBeGreaterThan(50);
        expect(run("plan", "--stack", "prod.example", "--records").stdout).toMatch(/^mx\.mail\.example\.com +A +203\.0\.113\.7 /m);
    });
});
