import * as net from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EXAMPLE, dnsPlan } from "../../components/dns/plan";
import { records } from "../../components/dns/records";
import type { Settings } from "../../components/settings/settings";
import { SERVICE_NAMES } from "../../components/services/catalogue";
import { SECRETS, hexKey } from "../../components/services/secrets";
import { allHealthy, converge } from "../../operate/converge";
import type { Records } from "../../operate/domainRecords";
import { findDomains } from "../../operate/domains";
import { remove } from "../../operate/down";
import { openStack } from "../../operate/session";
import { deliver, eventually, makeMailbox, openPorts, readImap, readPop3, request, startSink, submit } from "./clients";
import { dkimSignature } from "./dkim";
import { judge } from "./receiver";
import { tellFailures } from "./failures";
import { HOST, World } from "./world";

// One story, told in order: each test finds what the one before left. A real engine, a real Docker daemon, real servers.

const DOMAIN = "example.org";
const LOGIN = { user: `alice@${DOMAIN}`, pass: "a-mailbox-password" };
const ADMIN = { email: `root@${HOST}`, password: "an-admin-password" };
const PORTS = [25, 80, 443, 465, 993, 995];

let world: World;
tellFailures(() => world);
let domainRecords: Records = {};
let seenSecrets: string[] = [];
let oldKeys: Record<string, string> = {};
let sink: Awaited<ReturnType<typeof startSink>>;

beforeAll(async () => {
    sink = await startSink("0.0.0.0");
    const relay = World.addresses().machine4;
    world = await World.start({
        "forwardemail:version": "v2.15.0",
        "forwardemail:network": { ipv6: true },
        "forwardemail:environment": { RIG_OUTBOUND_RELAY: `${relay}:${sink.port}` },
    });
});
afterAll(async () => {
    sink?.close();
    await world?.stop();
});

const mail = (subject: string) => ({ from: "sender@example.net", to: LOGIN.user, subject, text: `text of ${subject}` });
const inbox = async (subject: string) => (await readImap(world.target, LOGIN)).find((source) => source.includes(`Subject: ${subject}`));

describe("a fresh stack", () => {
    test("comes up with every service healthy", async () => {
        const { ok, text } = await world.up();
        expect(text).not.toContain("error");
        expect(ok).toBe(true);
        const running = world.running();
        expect(running.map((c) => c.service).sort()).toEqual([...SERVICE_NAMES].sort());
        expect(running.filter((c) => c.health !== "healthy" || c.restarts > 0)).toEqual([]);
    });

    test("a second up and a refresh change nothing", async () => {
        const { ok, changes } = await world.up();
        expect(ok).toBe(true);
        expect(Object.keys(changes)).toEqual(["same"]);
        await world.session.stack.refresh({ expectNoChanges: true });
        await world.session.stack.preview({ expectNoChanges: true });
    });

    test("containers run without privileges, as a user of their own, with limits", () => {
        for (const { container, service } of world.running()) {
            const [{ HostConfig, Config }] = JSON.parse(world.docker("inspect", container));
            expect(HostConfig.CapDrop, service).toEqual(["ALL"]);
            expect(HostConfig.CapAdd ?? [], service).toEqual([]);
            expect(HostConfig.SecurityOpt, service).toContain("no-new-privileges:true");
            expect(HostConfig.Memory, service).toBeGreaterThan(0);
            expect(HostConfig.LogConfig.Config["max-size"], service).toBe("10m");
            expect(world.docker("exec", container, "id", "-u").trim(), `${service} (${Config.User})`).not.toBe("0");
        }
    });

    test("key files are readable by the application's user only", () => {
        const listing = world.docker(
            "exec",
            world.container("web"),
            "stat",
            "-c",
            "%a %U %n",
            "/app/ssl",
            "/app/ssl/privkey.pem",
            "/app/ssl/dkim.key",
        );
        expect(listing.trim().split("\n")).toEqual([
            "750 forwardemail /app/ssl",
            "440 forwardemail /app/ssl/privkey.pem",
            "440 forwardemail /app/ssl/dkim.key",
        ]);
        expect(() => world.docker("exec", world.container("web"), "sh", "-c", "echo x >> /app/ssl/dkim.key")).toThrow(/cannot create/);
    });
});

describe("first run", () => {
    test("the site asks for the generated password until an admin exists", async () => {
        expect((await request(world.target, "", "/")).status).toBe(401);
        const { username, password } = world.outputs.firstRun.value as { username: string; password: string };
        const auth = `${username}:${password}`;
        expect((await request(world.target, "", "/", { auth })).headers.location).toBe("/setup");
        expect((await request(world.target, "", "/setup", { method: "POST", auth, json: ADMIN })).status).toBe(303);
        expect((await request(world.target, "", "/")).status).toBe(200);
    });

    test("a domain and an alias", async () => {
        expect(await makeMailbox(world.target, ADMIN, LOGIN)).toEqual([200, 200, 200]);
    });

    test("what DNS must say of the domain is found in the application's database", async () => {
        const { domains, problems } = await findDomains(world.session);
        domainRecords = domains;
        expect(problems).toEqual({});
        expect(domains).toEqual({
            [DOMAIN]: {
                selector: expect.stringMatching(/^fe-[0-9a-f]{10}$/),
                publicKey: expect.stringMatching(/^MII[A-Za-z0-9+/]{380,}={0,2}$/), // 2048 bits
                returnPath: "fe-bounces",
                verification: expect.stringMatching(/^[A-Za-z0-9]{10}$/),
                previous: [],
            },
        });
    });
});

describe("mail", () => {
    test("in on 25 over IPv4 is read over IMAP and POP3, and MX saw the sender's real address", async () => {
        await deliver(world.target, mail("over IPv4"));
        const source = await eventually("mail in the inbox", 20, () => inbox("over IPv4"));
        expect(source).toContain(`X-Seen-Client: ${world.rehearsal.host.machine4}`);
        expect((await readPop3(world.target, LOGIN)).filter((text) => text.includes("Subject: over IPv4"))).toHaveLength(1);
    });

    test("in on 25 over IPv6, with the real address", async () => {
        await deliver(world.target, mail("over IPv6"), world.rehearsal.host.address6);
        const source = await eventually("mail in the inbox", 20, () => inbox("over IPv6"));
        expect(source).toContain(`X-Seen-Client: ${world.rehearsal.host.machine6}`);
    });

    test("to somebody else's domain is refused: no open relay", async () => {
        await expect(deliver(world.target, { ...mail("relay"), to: "victim@elsewhere.test" })).rejects.toThrow(/55\d/);
    });

    test("submitted on 465 reaches another server, signed with the domain's key; a wrong password is refused", async () => {
        await submit(world.target, LOGIN, { to: "bob@elsewhere.test", subject: "out", text: "hello" });
        const source = await eventually("mail at the sink", 30, async () => sink.received.find((text) => text.includes("Subject: out")));
        const signature = dkimSignature(source);
        expect(signature).toMatchObject({ domain: DOMAIN, selector: domainRecords[DOMAIN].selector });
        expect(signature.isBy(domainRecords[DOMAIN].publicKey)).toBe(true);
        expect(dkimSignature(source.replace("hello", "hullo")).isBy(domainRecords[DOMAIN].publicKey)).toBe(false);
        expect(sink.senders[sink.received.indexOf(source)]).toMatch(/^[^@]+@fe-bounces\.example\.org$/);
        // What a receiver makes of it with the records that the program computes, from this server and from another.
        const envelope = { ip: "192.0.2.7", helo: `mx.${HOST}`, sender: sink.senders[sink.received.indexOf(source)] };
        const dns = {
            provider: "zone-file",
            zones: [HOST, DOMAIN].map((name) => ({ name, dnssec: false })),
            spf: "fail",
            dmarc: { policy: "reject" },
        };
        const settings = { ...world.session.settings, dns, domains: [DOMAIN], applicationDomains: domainRecords } as unknown as Settings;
        const published = records(dnsPlan(settings, { ...EXAMPLE, exchangers: [{ label: "mx", ipv4: envelope.ip }] }));
        expect(await judge(source, envelope, published)).toEqual({ spf: "pass", dkim: [`${DOMAIN} pass`], dmarc: "pass" });
        const forged = source.replace("hello", "hullo");
        expect(await judge(forged, { ...envelope, ip: "198.51.100.9" }, published)).toEqual({
            spf: "fail",
            dkim: [`${DOMAIN} neutral`],
            dmarc: "fail",
        });
        await expect(submit(world.target, { ...LOGIN, pass: "wrong" }, { to: "bob@elsewhere.test", subject: "no", text: "" })).rejects.toThrow(
            /535|auth/i,
        );
    });

    test("submitted to a local mailbox arrives there", async () => {
        await submit(world.target, LOGIN, { to: LOGIN.user, subject: "to myself", text: "hello" });
        await eventually("mail in the inbox", 30, () => inbox("to myself"));
    });
});

describe("the outside", () => {
    test("six ports answer on IPv4 and on IPv6, and no other below 30000", async () => {
        const all = Array.from({ length: 30_000 }, (_, at) => at + 1);
        expect(await openPorts(world.rehearsal.host.address4, all)).toEqual(PORTS);
        expect(await openPorts(world.rehearsal.host.address6, all)).toEqual(PORTS);
    });

    test("port 80 leads to https", async () => {
        const answer = await fetch(`http://${world.rehearsal.host.address4}/path?x=1`, { redirect: "manual" });
        expect([answer.status, answer.headers.get("location")]).toEqual([301, `https://${HOST}/path?x=1`]);
    });

    test("MongoDB and Redis refuse who has no password", () => {
        const find = 'try { db.getSiblingDB("forwardemail_production").users.findOne(); print("READ") } catch (e) { print("REFUSED " + e.codeName) }';
        expect(world.docker("exec", world.container("mongodb"), "mongosh", "--quiet", "--eval", find)).toMatch(/REFUSED/);
        expect(world.docker("exec", "-e", "REDISCLI_AUTH=", world.container("redis"), "redis-cli", "keys", "*")).toMatch(/NOAUTH/);
    });

    test("each name is served by its own service, with a certificate for it", async () => {
        expect((await request(world.target, "api", "/v1/test")).status).toBe(200);
        expect((await request(world.target, "caldav", "/")).status).toBe(401);
        expect((await request(world.target, "carddav", "/")).status).toBe(401);
    });
});

describe("secrets", () => {
    test("are in no state, log, label or process list", async () => {
        const secrets = await secretValues();
        expect(secrets.length).toBeGreaterThanOrEqual(Object.keys(SECRETS).length);
        seenSecrets = secrets;
        const labels = world.running().map(({ container }) => JSON.stringify(JSON.parse(world.docker("inspect", container))[0].Config.Labels));
        const commands = world.running().map(({ container }) => JSON.stringify(JSON.parse(world.docker("inspect", container))[0].Config.Cmd));
        const places = {
            state: world.stateFile(),
            log: world.log.join("\n"),
            processes: world.onHost(["ps", "axww", "-o", "args="]),
            labels: labels.join(),
            commands: commands.join(),
        };
        for (const [place, text] of Object.entries(places))
            for (const secret of secrets) expect(text.includes(secret), `a secret in ${place}`).toBe(false);
    });

    test("the search above would find one: the containers' environment holds them", async () => {
        const environment = world.docker("inspect", "-f", "{{json .Config.Env}}", world.container("web"));
        const found = (await secretValues()).filter((secret) => environment.includes(secret));
        expect(found.length).toBeGreaterThanOrEqual(Object.keys(SECRETS).length);
    });
});

/** Every value that must stay secret: as the stack's decrypted state has it, and as the application gets it. */
async function secretValues(): Promise<string[]> {
    const { deployment } = await world.session.stack.exportStack();
    const resources = deployment.resources as Array<{ type: string; outputs?: Record<string, string | { plaintext?: string }> }>;
    const reveal = (value: string | { plaintext?: string } | undefined) =>
        (typeof value === "object" ? JSON.parse(value.plaintext ?? '""') : (value ?? "")) as string;
    const passwords = resources.filter((r) => r.type === "random:index/randomPassword:RandomPassword").map((r) => reveal(r.outputs?.result));
    const keys = resources.filter((r) => r.type === "tls:index/privateKey:PrivateKey").map((r) => reveal(r.outputs?.privateKeyPem).split("\n")[1]);
    return [...new Set([...passwords, ...keys, ...environmentSecrets()])].filter((value) => value.length > 10);
}

/** Derived forms are secrets too: hexadecimal keys, shortened passwords. */
function environmentSecrets(): string[] {
    const lines = JSON.parse(world.docker("inspect", "-f", "{{json .Config.Env}}", world.container("web"))) as string[];
    const secret = lines.filter((line) => /^(\w*(PASS|PASSWORD|SECRET|SECRETS|_KEY))=/.test(line));
    return secret.map((line) => line.slice(line.indexOf("=") + 1).replace(/,$/, ""));
}

test("containers that were removed come back, and one that is sick is replaced: it never turns green by itself", async () => {
    const id = () => world.docker("inspect", "-f", "{{.Id}}", world.container("pop3")).trim();
    const sick = id();
    world.docker("kill", "--signal", "STOP", sick); // it hangs: its port is open, but nobody greets
    await eventually("Docker notices", 60, async () => world.running().find((c) => c.service === "pop3")?.health === "unhealthy" || undefined);
    expect(await allHealthy(world.session.settings, (line) => world.log.push(line))).toBe(false); // and says so, with its log
    await world.session.stack.refresh(); // by itself, this makes Pulumi forget that something was wrong
    for (const service of ["mx", "redis", "web"]) world.docker("rm", "-f", "-v", world.container(service));
    expect((await world.up()).ok).toBe(true);
    expect(id()).not.toBe(sick);
    const running = world.running().map((c) => c.service);
    expect(running.sort()).toEqual([...SERVICE_NAMES].sort());
    expect((await request(world.target, "", "/")).status).toBe(200);
    expect(await inbox("over IPv4")).toBeDefined();
});

// What updates do: quickstart.test.ts, and test/long/deployment.test.ts.
test("a version that is not in the lock file is refused before anything runs", async () => {
    await expect(world.up({ "forwardemail:version": "v9.9.9" })).rejects.toThrow(/version: got "v9\.9\.9", wanted a tag of/);
});

test("a Docker that does not answer is named with its fix, and nothing is created", async () => {
    const nowhere = [{ name: "main", kind: "local", dockerHost: "unix:///run/nowhere.sock" }];
    const rehearsal = { ...world.rehearsal, overlay: { ...world.rehearsal.overlay, "forwardemail:servers": nowhere } };
    const { stack, settings } = await openStack("nowhere", { "forwardemail:host": HOST }, rehearsal);
    const lines: string[] = [];
    expect((await converge({ stack, settings }, (line) => lines.push(line))).ok).toBe(false);
    expect(lines.join("\n")).toMatch(/fix: start Docker/);
    await stack.workspace.removeStack("nowhere", { force: true });
});

describe("down and up again", () => {
    test("down leaves data and keys and nothing else", async () => {
        await remove(world.session, false, (line) => world.log.push(line));
        expect(world.docker("ps", "-aq").trim()).toBe("");
        expect(world.docker("volume", "ls", "-q").trim().split("\n").sort()).toEqual([
            "forwardemail-e2e-mailboxes",
            "forwardemail-e2e-mongodb",
            "forwardemail-e2e-redis",
        ]);
        expect(world.docker("network", "ls", "--filter", "type=custom", "-q").trim()).toBe("");
        await expect(
            new Promise((resolve, reject) => net.connect(993, world.rehearsal.host.address4, () => resolve(0)).on("error", reject)),
        ).rejects.toThrow();
    });

    test("up finds the mail, the domain and the queue again", async () => {
        expect((await world.up()).ok).toBe(true);
        for (const subject of ["over IPv4", "over IPv6", "to myself"]) expect(await inbox(subject), subject).toBeDefined();
        await deliver(world.target, mail("after down"));
        await eventually("mail in the inbox", 20, () => inbox("after down"));
    });

    test("a lost state is noticed, new keys never meet old data, and the old keys open it again", async () => {
        await remove(world.session, false, () => undefined);
        const { deployment } = await world.session.stack.exportStack();
        const generated = (deployment.resources as Array<{ urn: string; outputs?: { result?: { plaintext: string } } }>).filter(
            (r) => r.outputs?.result,
        );
        const result = (key: string) => JSON.parse(generated.find((r) => r.urn.endsWith(key))?.outputs?.result?.plaintext ?? "") as string;
        oldKeys = { helperEncryptionKey: result("helperEncryptionKey"), txtEncryptionKey: hexKey(result("txtEncryptionKey"), 32) };
        await world.forget();
        const { ok, text } = await world.up();
        expect(ok).toBe(false);
        expect(text).toMatch(/REFUSED: the (mailboxes|mongodb|redis) data/);
        expect(world.docker("ps", "-aq").trim()).toBe("");

        const { stack, settings } = world.session;
        for (const [key, value] of Object.entries(oldKeys)) await stack.setConfig(`forwardemail:${key}`, { value, secret: true });
        expect((await converge({ stack, settings }, (line) => world.log.push(line))).ok).toBe(true); // with other database passwords, too
        world.outputs = await stack.outputs();
        expect(await inbox("over IPv4")).toBeDefined();
    });

    test("a lost database is not replaced by an empty one beside full mailboxes: the application would delete them", async () => {
        for (const { container } of world.running()) world.docker("rm", "-f", "-v", container);
        world.docker("volume", "rm", "forwardemail-e2e-mongodb");
        const { ok, text } = await world.up(); // without the old keys, too: whichever is seen first
        expect(ok).toBe(false);
        expect(text).toMatch(/REFUSED/);
        expect(world.docker("ps", "-aq").trim()).toBe("");
        await world.forget(); // a state that was lost, too, knows of no data before
        world.docker("network", "rm", "forwardemail-e2e"); // as docs/disaster-recovery.md has it
        await world.open({});
        const { stack, settings } = world.session;
        for (const [key, value] of Object.entries(oldKeys)) await stack.setConfig(`forwardemail:${key}`, { value, secret: true });
        const lines: string[] = [];
        expect((await converge({ stack, settings }, (line) => lines.push(line))).ok).toBe(false);
        expect(lines.join("\n")).toMatch(/REFUSED: there are mailboxes, but the mongodb data that knows their owners is gone/);
        expect(world.docker("ps", "-aq").trim()).toBe("");
    });

    test("no failure report of this story told a secret", () => {
        expect(world.log.join("\n")).toMatch(/ \| /); // there were reports with log lines
        for (const secret of seenSecrets) expect(world.log.join("\n").includes(secret)).toBe(false);
    });

    test("deleting the data is a step of its own and removes everything", async () => {
        await remove(world.session, true, (line) => world.log.push(line));
        expect(world.docker("ps", "-aq").trim()).toBe("");
        expect(world.docker("volume", "ls", "-q").trim()).toBe("");
        const { deployment } = await world.session.stack.exportStack();
        expect(deployment.resources ?? []).toEqual([]);
    });
});
