import "reflect-metadata"; // @peculiar/x509 needs it loaded first
import { X509Certificate, createHash, webcrypto } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import * as x509 from "@peculiar/x509";
import { beforeAll, describe, expect, test } from "vitest";
import { policyText } from "../../components/dns/mtaSts";
import { dnsPlan, knownValues } from "../../components/dns/plan";
import { records } from "../../components/dns/records";
import { zoneFiles } from "../../components/dns/zoneFile";
import { CATALOGUE, servicesOf } from "../../components/services/catalogue";
import { told } from "../../operate/foreignRecords";
import type { Running } from "../../operate/health";
import { readStackFile, settingsFrom } from "../../operate/stackFile";
import { CHECKS, changedSince, chosen, table } from "../../operate/verify";
import { Deployment, Report, Status, exitCode, runChecks } from "../../operate/verify/check";
import { dial } from "../../operate/verify/dial";
import type { World } from "../../operate/verify/world";

// Each check sees a deployment that is well, and one that is broken in one way; it must tell the two apart.

const NOW = new Date("2026-11-26T12:00:00Z");
const IP = "203.0.113.7";
const MX = "mx.mail.example.com";
const config = {
    ...readStackFile("prod.example").config,
    "forwardemail:backups": { provider: "s3", bucket: "sets", endpoint: "https://s3.example.net", accessKeyId: "server" },
    "forwardemail:backupSecretKey": { secure: "v1:x" },
};
const settings = settingsFrom("prod.example", config, { allowUnpinned: true });
const declared = records(dnsPlan(settings, { ...knownValues(settings, ""), exchangers: [{ label: "mx", ipv4: IP }] }));
const zone = zoneFiles(declared, ["example.com"], 300);

let certificate: X509Certificate;
/** For every name of the deployment, from 30 days ago. */
async function certify(days: number, names = ["mail.example.com", "*.mail.example.com", "mta-sts.example.com"]): Promise<X509Certificate> {
    const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
    const keys = (await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"])) as webcrypto.CryptoKeyPair;
    const day = 24 * 3600 * 1000;
    const made = await x509.X509CertificateGenerator.createSelfSigned({
        keys,
        signingAlgorithm: algorithm,
        notBefore: new Date(NOW.getTime() - 30 * day),
        notAfter: new Date(NOW.getTime() + days * day),
        extensions: [new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: "dns" as const, value })))],
    });
    return new X509Certificate(Buffer.from(made.rawData));
}
beforeAll(async () => {
    certificate = await certify(60);
});

const spki = (one: X509Certificate) =>
    createHash("sha256")
        .update(one.publicKey.export({ type: "spki", format: "der" }))
        .digest("hex");

const deployment = (): Deployment => {
    const outputs = { zone, reverse: { [IP]: MX } };
    const tlsa = { name: `_25._tcp.${MX}`, type: "TLSA", content: `3 1 1 ${spki(certificate)}` };
    return { stack: "prod", settings, resources: [], outputs, records: [...told(outputs), tlsa], address: IP, isHere: false };
};

const running = (): Running[] =>
    servicesOf(settings.profile).map((service) => ({
        ...{ service, container: `forwardemail-prod-${service}`, id: service, health: "healthy", restarts: 0 },
        image: settings.images[CATALOGUE[service].image].reference,
    }));

/** DNS as it should be; a test takes names out or puts others in. */
const dnsOf = (changes: Record<string, string[]> = {}, nameServers = ["ns1.example.net"]): World["lookupAt"] => {
    const sets: Record<string, string[]> = { "example.com NS": nameServers, "ns1.example.net A": ["192.0.2.53"] };
    for (const { name, type, content } of told({ zone })) (sets[`${name} ${type}`] ??= []).push(content);
    return () => (name, type) => {
        const own = { ...sets, ...changes }[`${name} ${type}`];
        const alias = sets[`${name} CNAME`]?.[0];
        return Promise.resolve(own ?? (alias ? ({ ...sets, ...changes }[`${alias} ${type}`] ?? []) : []));
    };
};

const OPEN = [25, 80, 443, 465, 993, 995];
const PREFLIGHT = "pass\tdisk\t90 GiB free for /srv/forwardemail\t\n";
const well = (changes: Partial<World> = {}, doors: Partial<World["dial"]> = {}): World => ({
    lookupAt: dnsOf(),
    reverse: () => Promise.resolve([MX]),
    dial: {
        isOpen: (_, port) => Promise.resolve(OPEN.includes(port)),
        certificate: () => Promise.resolve({ certificate, protocol: "TLSv1.3" }),
        smtp: () => Promise.resolve([`220 ${MX} ESMTP`, "250 ok", "250 ok", "550 not here", "221 bye"]),
        get: () => Promise.resolve({ status: 200, type: "text/plain", body: policyText(settings.mtaSts!, [MX]) }),
        ...doors,
    },
    now: () => NOW,
    containers: running,
    read: () => certificate.toString(),
    preflight: () => Promise.resolve(PREFLIGHT),
    sets: () => Promise.resolve(["20261125T120000Z", "20261126T060000Z"]),
    drift: () => Promise.resolve([]),
    ...changes,
});

/** What a check makes of a world: status and subject of each finding. */
async function verdict(id: string, world: World, of = deployment()): Promise<string[]> {
    const [{ findings }] = await runChecks(chosen([id]), of, world);
    for (const { status, fix } of findings) if (status === "fail") expect(fix, `a fix of ${id}`).toBeTruthy();
    return findings.filter(({ status }) => status !== "pass").map(({ status, subject }) => `${status} ${subject}`);
}

test("a deployment that is well passes every check, and each of them looked at something", async () => {
    const reports = await runChecks(CHECKS, deployment(), well());
    expect(reports.filter(({ findings }) => findings.length === 0).map(({ id }) => id)).toEqual([]);
    expect(reports.flatMap(({ id, findings }) => findings.filter(({ status }) => status !== "pass").map(({ got }) => `${id}: ${got}`))).toEqual([]);
    expect(exitCode(reports)).toBe(0);
});

const without = (service: string) => () => running().filter((one) => one.service !== service);
const changed = (service: string, change: Partial<Running>) => () => running().map((one) => (one.service === service ? { ...one, ...change } : one));

describe("a deployment that is broken", () => {
    test.each<[string, string, () => World | Promise<World>, string[]]>([
        ["a service that is gone", "services", () => well({ containers: without("mx") }), ["fail mx"]],
        ["one that is sick", "services", () => well({ containers: changed("api", { health: "unhealthy" }) }), ["fail api"]],
        ["one of another image", "services", () => well({ containers: changed("web", { image: "other" }) }), ["fail web"]],
        ["one that restarted", "services", () => well({ containers: changed("bree", { restarts: 3 }) }), ["warn bree"]],
        [
            "a port that is shut",
            "ports",
            () => well({}, { isOpen: (_, port) => Promise.resolve(OPEN.includes(port) && port !== 465) }),
            [`fail ${IP}:465`],
        ],
        [
            "a port that is open",
            "ports",
            () => well({}, { isOpen: (_, port) => Promise.resolve([...OPEN, 27017].includes(port)) }),
            [`fail ${IP}:27017`],
        ],
        ["an open relay", "relay", () => well({}, { smtp: () => Promise.resolve([`220 ${MX}`, "250", "250", "250 yes", "221"]) }), [`fail ${MX}:25`]],
        [
            "a server that puts off",
            "relay",
            () => well({}, { smtp: () => Promise.resolve([`220 ${MX}`, "250", "250", "451 later", "221"]) }),
            [`unknown ${MX}:25`],
        ],
        ["another name", "relay", () => well({}, { smtp: () => Promise.resolve(["220 localhost", "250", "250", "550", "221"]) }), [`warn ${MX}:25`]],
        ["a record that is gone", "records", () => well({ lookupAt: dnsOf({ [`${MX} A`]: [] }) }), [`fail ${MX} A`]],
        [
            "another policy",
            "records",
            () => well({ lookupAt: dnsOf({ "_dmarc.example.com TXT": ["v=DMARC1; p=none"] }) }),
            ["fail _dmarc.example.com TXT"],
        ],
        ["no delegation", "records", () => well({ lookupAt: dnsOf({}, []) }), ["fail example.com"]],
        [
            "a second SPF record",
            "foreign",
            () => well({ lookupAt: dnsOf({ "example.com TXT": ["v=spf1 mx ~all", "v=spf1 a -all"] }) }),
            ["fail example.com"],
        ],
        ["no reverse name", "reverse", () => well({ reverse: () => Promise.resolve([]) }), [`fail ${IP}`]],
        ["a provider's reverse name", "reverse", () => well({ reverse: () => Promise.resolve(["static.203.example.net"]) }), [`fail ${IP}`]],
        ["a reverse name without a way back", "reverse", () => well({ lookupAt: dnsOf({ [`${MX} A`]: ["192.0.2.9"] }) }), [`fail ${MX}`]],
        ["a silent resolver", "reverse", () => well({ reverse: () => Promise.reject(new Error("ETIMEOUT")) }), ["unknown reverse"]],
        [
            "SPF of others alone",
            "spf",
            () => well({ lookupAt: dnsOf({ "example.com TXT": ["v=spf1 ip4:192.0.2.1 -all"] }) }),
            [`fail example.com from ${IP}`],
        ],
        [
            "a policy that is not served",
            "mta-sts",
            () => well({}, { get: () => Promise.resolve({ status: 404, type: "text/html", body: "" }) }),
            ["fail mta-sts.example.com"],
        ],
        [
            "a block list",
            "host",
            () => well({ preflight: () => Promise.resolve("warn\tlist zen\t203.0.113.7 is listed\ttake it off\n") }),
            ["warn list zen"],
        ],
        [
            "a list that answers nobody",
            "host",
            () => well({ preflight: () => Promise.resolve("warn\tlist zen\tcannot be asked from here\tlook it up\n") }),
            ["unknown list zen"],
        ],
        ["a server that does not answer", "host", () => well({ preflight: () => Promise.reject(new Error("ssh: no route")) }), ["unknown host"]],
        ["an old backup", "backups", () => well({ sets: () => Promise.resolve(["20261125T120000Z"]) }), ["fail 20261125T120000Z"]],
        ["no backup", "backups", () => well({ sets: () => Promise.resolve([]) }), ["fail sets"]],
        ["a bucket that does not answer", "backups", () => well({ sets: () => Promise.reject(new Error("denied")) }), ["unknown backups"]],
        ["drift", "drift", () => well({ drift: () => Promise.resolve(["forwardemail-prod-mx"]) }), ["warn forwardemail-prod-mx"]],
    ])("%s is told by %s", async (_, id, world, expected) => {
        expect(await verdict(id, await world())).toEqual(expected);
    });

    const all = (status: Status) =>
        [...["mx.mail.example.com:25", "smtp.mail.example.com:465"], ...ROUTED].map((subject) => `${status} ${subject}`).sort();
    const ROUTED = ["mail", "api.mail", "imap.mail", "pop3.mail", "caldav.mail", "carddav.mail"].map(
        (name) => `${name}.example.com:${{ "imap.mail": 993, "pop3.mail": 995 }[name] ?? 443}`,
    );
    test.each<[string, (given: X509Certificate) => Promise<World> | World, Status]>([
        ["that has expired", async () => well({}, await shows(await certify(-1))), "fail"],
        ["that ends soon", async () => withDisk(await certify(9)), "warn"],
        ["for other names", async () => well({}, await shows(await certify(60, ["other.example.com"]))), "fail"],
        [
            "that nobody trusts",
            (given) =>
                well({}, { certificate: () => Promise.resolve({ certificate: given, protocol: "TLSv1.3", problem: "self-signed certificate" }) }),
            "fail",
        ],
        ["over an old TLS", (given) => well({}, { certificate: () => Promise.resolve({ certificate: given, protocol: "TLSv1.1" }) }), "fail"],
        ["that is not the one on the disk", async () => well({}, await shows(await certify(60))), "fail"],
        ["that nobody shows", () => well({}, { certificate: () => Promise.reject(new Error("ECONNREFUSED")) }), "fail"],
    ])("a certificate %s is told of every port", async (_, world, status) => {
        expect((await verdict("tls", await world(certificate))).sort()).toEqual(all(status));
    });
    const shows = (one: X509Certificate): Promise<Partial<World["dial"]>> =>
        Promise.resolve({ certificate: () => Promise.resolve({ certificate: one, protocol: "TLSv1.3" }) });
    const withDisk = async (one: X509Certificate) => well({ read: () => one.toString() }, await shows(one));

    test("a key that no TLSA record names is told", async () => {
        expect(await verdict("dane", well({}, await shows(await certify(60))))).toEqual([`fail _25._tcp.${MX}`]);
    });
});

test("a check that hangs is unknown in time, and holds up no other", async () => {
    const checks = chosen(["services", "reverse"]).map((check) => ({ ...check, patience: 100 }));
    const [services, reverse] = await runChecks(checks, deployment(), well({ reverse: () => new Promise(() => undefined) }));
    expect(reverse.findings).toEqual([{ status: "unknown", subject: "reverse", got: "no answer within 0.1 s" }]);
    expect(exitCode([services])).toBe(0);
    expect(exitCode([services, reverse])).toBe(3);
});

test("on this machine, what else listens is not the deployment's", async () => {
    const open = well({}, { isOpen: () => Promise.resolve(true) });
    expect(await verdict("ports", open, { ...deployment(), isHere: true })).toEqual([]);
    expect(await verdict("ports", open)).not.toEqual([]);
});

test("a check that is not there is named with those that are", () => {
    expect(() => chosen(["tls", "tsl"])).toThrow(/--only: got tsl, wanted services, /);
});

describe("the table", () => {
    const report = (...findings: Report["findings"]): Report => ({ id: "tls", title: "certificates", source: "RFC 5280", findings });
    const pass = { status: "pass", subject: "a:443", got: "60 days left" } as const;
    const fail = { status: "fail", subject: "b:443", got: "expired", expected: "time left", fix: "renew" } as const;

    test("shows what wants a look with its fix and its source, and counts the rest", () => {
        const lines = table([report(pass, fail)], false).join("\n");
        expect(lines).toMatch(
            /^fail {4}tls .*\n.*fail {4}b:443: expired; wanted time left\n.*fix: renew\n.*see: RFC 5280\n\n1 pass, 0 warn, 1 fail, 0 unknown$/,
        );
        expect(table([report(pass, fail)], true).join("\n")).toContain("a:443");
    });

    test("since the last time: what is another, new or well again", () => {
        const better = { ...fail, status: "pass" as const };
        expect(changedSince([report(pass, fail)], [report(pass, better)])).toEqual([report(better)]);
        expect(changedSince([report(pass, fail)], [report(pass, fail)])).toEqual([]);
        expect(changedSince([], [report(pass)])).toEqual([report(pass)]);
    });
});

test("an SMTP conversation waits for answers of several lines, and says who hung up", async () => {
    const server = createServer((socket) => {
        socket.write("220 here\r\n");
        socket.on("data", (data) => {
            if (String(data).startsWith("EHLO")) socket.write("250-here\r\n250-SIZE 1\r\n250 HELP\r\n");
            else socket.end();
        });
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    expect(await dial.smtp("127.0.0.1", port, ["EHLO x"])).toEqual(["220 here", "250-here\r\n250-SIZE 1\r\n250 HELP"]);
    await expect(dial.smtp("127.0.0.1", port, ["MAIL FROM:<>"])).rejects.toThrow("the server hung up");
    server.close();
});
