import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import type { Settings } from "../../components/settings/settings";
import { domainRecords } from "../../components/settings/dnsSchema";
import { Records, isDifferent, mergeDomains } from "../../operate/domainRecords";
import { findDomains, nextStep, writeRecords } from "../../operate/domains";
import { withConfig } from "../../operate/editStackFile";
import type { Running } from "../../operate/health";
import type { Session } from "../../operate/session";
import { PROJECT } from "../../operate/stackFile";
import { KEY, OTHER, THIRD, old, record } from "../fixtures/domainKeys";

const STORED = {
    name: "example.com",
    dkim_key_selector: "fe-0123456789",
    dkim_public_key: { $binary: { base64: KEY } },
    verification_record: "a1b2c3",
};

describe("writing the stack file", () => {
    const directory = mkdtempSync(path.join(tmpdir(), "domains-"));
    afterAll(() => rmSync(directory, { recursive: true }));
    const FILE = `# A server of ours.
secretsprovider: passphrase
encryptionsalt: v1:AAAA:v1:BBBB

config:
    # Where it lives.
    forwardemail:host:   mail.example.com # odd spaces stay
    forwardemail:domains: ["example.com",   'example.net']

    forwardemail:redisPassword:
        secure: v1:CCCC:${"D".repeat(200)}==
    # Ports.
    forwardemail:network: {ipv6: true,
        portOffset: 0}

# The end.
`;
    const write = (text: string, records: Records) => {
        const file = path.join(directory, "Pulumi.own.yaml");
        writeFileSync(file, text);
        writeRecords(file, records);
        return readFileSync(file, "utf8");
    };
    const config = (text: string) => parse(text).config["forwardemail:domainRecords"] as unknown;

    test("changes the key and not a letter beside it: comments, an encrypted key, layout", () => {
        const records = { "example.com": record({ verification: "0123", previous: [old("one"), old("two", THIRD)] }) };
        const written = write(FILE, records);
        const [before, after] = FILE.split(/(?<=portOffset: 0}\n)/);
        expect(written.startsWith(before)).toBe(true);
        expect(written.endsWith(after)).toBe(true);
        expect(config(written)).toEqual(records);
        expect(written).toContain(`\n            publicKey: ${KEY}\n`);
        expect(write(written, {})).toBe(FILE);
    });

    test("another value replaces the old one in its place; comments inside stay at what they are about", () => {
        const commented = write(FILE, { "a.example": record(), "b.example": record() }).replace(
            /( +)b\.example:/,
            "$1# Rotated in spring.\n$1b.example:",
        );
        const moved = commented.replace("# The end.\n", "") + "    forwardemail:version: v2.15.0\n";
        const written = write(moved, { "a.example": record({ publicKey: OTHER }), "b.example": record() });
        expect(written).toBe(moved.replace(KEY, OTHER));
        expect(write(moved, { "b.example": record() })).toMatch(/domainRecords:\n +# Rotated in spring\.\n +b\.example:/);
    });

    test.each(["Pulumi.dev.yaml", "Pulumi.prod.example.yaml", "Pulumi.aws.example.yaml"])("%s gets lines, and loses none", (name) => {
        const text = readFileSync(path.join(PROJECT, name), "utf8");
        const written = write(text, { "example.com": record() });
        const rest = written
            .split("\n")
            .filter((line) => !/^ {2}forwardemail:domainRecords:|^ {4}example\.com:$|^ {6}(selector|publicKey|returnPath|verification): /.test(line));
        expect(rest.join("\n")).toBe(text);
    });

    test.each([
        "",
        "config:\n",
        "config: {}\n",
        "config: {forwardemail:host: mail.example.com}\n",
        "encryptionsalt: v1:AAAA\n",
        "config:\n  forwardemail:host: a.example",
    ])("also where the file is %j", (text) => {
        const written = parse(write(text, { "example.com": record() }));
        expect(written.config["forwardemail:domainRecords"]["example.com"].publicKey).toBe(KEY);
        const { config: before, ...others } = (parse(text) ?? {}) as Record<string, unknown>;
        expect(written).toMatchObject({ ...others, config: before ?? {} });
    });

    test("is read as what was found: the next run finds no difference", () => {
        const domains = { "example.com": record({ verification: "0123" }), "example.net": record({ returnPath: "bounces" }) };
        const read = domainRecords.parse(config(write(FILE, domains)));
        expect(isDifferent(mergeDomains({ domains, problems: {} }, read), read)).toBe(false);
    });

    test("refuses what is no YAML", () => expect(() => withConfig("config: [", "a", { b: 1 })).toThrow(/not YAML.*Fix/s));

    test("says how it gets into DNS", () => {
        expect(nextStep("home", "route53")).toMatch(/npm run up -- --stack home` publishes/);
        expect(nextStep("home", "zone-file")).toMatch(/outputs zone and records/);
        expect(nextStep("home", undefined)).toMatch(/dns\.provider is none/);
    });
});

describe("asking the database", () => {
    const settings = { name: "forwardemail-home", servers: [{ name: "main", dockerHost: "unix:///run/docker.sock" }] } as Settings;
    const session = { stack: {} as Session["stack"], settings };
    const mongodb: Running = { service: "mongodb", container: "db-1", id: "1", health: "healthy", restarts: 0, image: "mongo" };
    const host = (running: Running[], answer: () => string) => ({ inspectStack: () => running, docker: answer });
    const problem = async (...args: Parameters<typeof findDomains>) => ((await findDomains(...args).catch((error: Error) => error)) as Error).message;

    test("runs the shell in the stack's own container and reads its last line", async () => {
        let asked: string[] = [];
        const docker = (args: string[]) => {
            asked = args;
            return `Warning: something\n${JSON.stringify([STORED])}\n`;
        };
        expect(await findDomains(session, { inspectStack: () => [{ ...mongodb, service: "redis", container: "cache-1" }, mongodb], docker })).toEqual(
            {
                domains: { "example.com": record() },
                problems: {},
            },
        );
        expect(asked.slice(0, 3)).toEqual(["exec", "db-1", "mongosh"]);
    });

    test("a stack that does not run, a database or a Docker that does not answer: one error, with its fix", async () => {
        const never = () => expect.unreachable();
        for (const running of [[], [{ ...mongodb, health: "exited" }]])
            expect(await problem(session, host(running, never))).toMatch(/does not run.*Fix: npm run up -- --stack home$/);
        const refused = () => {
            throw new Error("docker exec: MongoServerError: Authentication failed.");
        };
        expect(await problem(session, host([mongodb], refused))).toMatch(
            /db-1, healthy.*Authentication failed\.\n {2}fix: npm run up -- --stack home$/,
        );
        expect(
            await problem(
                session,
                host([mongodb], () => "nonsense"),
            ),
        ).toMatch(/it answered "nonsense"\n {2}fix: /);
        const gone = { inspectStack: () => expect.unreachable("Cannot connect to the Docker daemon"), docker: never };
        expect(await problem(session, gone)).toMatch(/Docker does not answer at .*\n {2}fix: start Docker/);
    });

    test("a server that is still to be made", async () => {
        const servers = [{ ...settings.servers[0], aws: {} as never, ssh: undefined }];
        const stack = { exportStack: async () => ({ deployment: {} }) } as never;
        expect(await problem({ stack, settings: { ...settings, servers } }, host([], String))).toMatch(/does not exist yet\. Fix: npm run up/);
    });
});
