import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { told } from "../../operate/foreignRecords";
import { runAside } from "../../operate/health";
import type { Running } from "../../operate/health";
import type { Session } from "../../operate/session";
import { versionCheck } from "../../operate/update/target";
import { CHECKS, changedSince, chosen, memoryOf, sinceLast, table } from "../../operate/verify";
import { Check, Report, Status, exitCode, runChecks } from "../../operate/verify/check";
import { deployed } from "../../operate/verify/deployed";
import { dial } from "../../operate/verify/dial";
import { Ways, World, theWorld, tlsaOf } from "../../operate/verify/world";
import { IP, MX, OPEN, POLICIES, TALK, certificate, certify, deployment, dnsOf, isOpen, prepare } from "../fixtures/verify";
import { running, settings, silentAt, spoken, talk, tlsa, verdict, well, zone } from "../fixtures/verify";

// Each check sees a deployment that is well, and one that is broken in one way; it must tell the two apart.

beforeAll(prepare);

test("a deployment that is well passes every check, and each of them looked at something", async () => {
    const reports = await runChecks(CHECKS, deployment(), well());
    expect(reports.filter(({ findings }) => findings.length === 0).map(({ id }) => id)).toEqual([]);
    expect(reports.flatMap(({ id, findings }) => findings.filter(({ status }) => status !== "pass").map(({ got }) => `${id}: ${got}`))).toEqual([]);
    expect(exitCode(reports)).toBe(0);
});

/** The one name server of the zone. */
const SILENT_SERVER = "warn name server ns1.example.net";
/** Findings where nobody answers for a name. */
const unheard = (name: string) => [
    SILENT_SERVER,
    ...told({ zone })
        .filter((record) => record.name === name)
        .map(({ type }) => `unknown ${name} ${type}`),
];
const without = (service: string) => () => Promise.resolve(running().filter((one) => one.service !== service));
const changed = (service: string, change: Partial<Running>) => () =>
    Promise.resolve(running().map((one) => (one.service === service ? { ...one, ...change } : one)));

const beside = (service: string, change: Partial<Running>) => () =>
    Promise.resolve([...running(), ...running().flatMap((one) => (one.service === service ? [{ ...one, id: "stray", ...change }] : []))]);

test("an image that is held although the lock file has a better one is told with both", async () => {
    const { nginx } = settings.images;
    const held = { ...settings, images: { ...settings.images, nginx: { ...nginx, better: "nginx:1.28.0@sha256:new" } } };
    const [{ findings }] = await runChecks(chosen(["services"]), { ...deployment(), settings: held }, well());
    expect(findings.filter(({ status }) => status !== "pass")).toEqual([
        {
            ...{ status: "warn", subject: "router", expected: "nginx:1.28.0@sha256:new", got: `held at ${nginx.reference}` },
            fix: "take images.nginx out of Pulumi.prod.yaml, and npm run update -- --stack prod",
        },
    ]);
});

test("where the network lets nobody reach port 25, nobody can tell of ours; where others answer there, it is shut", async () => {
    const { isOpen } = well().dial;
    const refused = () => Promise.reject(new Error("does not answer"));
    const certificate = (args: { port: number }) => (args.port === 25 ? refused() : well().dial.certificate(args as never));
    const shut = {
        isOpen: (address: string, port: number) => (port === 25 ? Promise.resolve("closed" as const) : isOpen(address, port)),
        certificate,
    };
    const ours = {
        ...shut,
        isOpen: (address: string, port: number) => (address === IP ? shut.isOpen(address, port) : Promise.resolve("open" as const)),
    };
    for (const [dial, status] of [
        [shut, "unknown"],
        [ours, "fail"],
    ] as const) {
        expect(await verdict("ports", well({}, dial))).toEqual([`${status} ${IP}:25`]);
        expect(await verdict("tls", well({}, dial))).toEqual([`${status} ${MX}:25`]);
    }
});

describe("a deployment that is broken", () => {
    test.each<[string, string, () => World | Promise<World>, string[]]>([
        ["a service that is gone", "services", () => well({ containers: without("mx") }), ["fail mx"]],
        ["one that is sick", "services", () => well({ containers: changed("api", { health: "unhealthy" }) }), ["fail api"]],
        ["one of another image", "services", () => well({ containers: changed("web", { image: "other" }) }), ["warn web"]],
        ["one that an update left behind", "services", () => well({ containers: beside("web", { image: "old" }) }), ["warn web"]],
        ["one that is sick and left behind", "services", () => well({ containers: beside("web", { health: "unhealthy" }) }), ["fail web"]],
        ["two of a service", "services", () => well({ containers: beside("web", {}) }), ["warn web"]],
        [
            "Docker that cannot be asked",
            "services",
            () => well({ containers: () => Promise.reject(new Error("ssh: no route")) }),
            ["unknown services"],
        ],
        ["one that restarted", "services", () => well({ containers: changed("bree", { restarts: 3 }) }), ["warn bree"]],
        ["a port that is shut", "ports", () => well({}, { isOpen: isOpen(OPEN.filter((port) => port !== 465)) }), [`fail ${IP}:465`]],
        ["a port that is open", "ports", () => well({}, { isOpen: isOpen([...OPEN, 27017]) }), [`fail ${IP}:27017`]],
        ["an open relay", "relay", () => well({}, talk(...spoken(5, "250 queued"))), [`fail ${MX}:25`]],
        ["one that does not say goodbye", "relay", () => well({}, talk(...spoken(5, "250 queued").slice(0, 6))), [`fail ${MX}:25`]],
        ["a server that puts off a recipient", "relay", () => well({}, talk(...TALK.slice(0, 3), "451 later", "221")), [`unknown ${MX}:25`]],
        ["one that puts off DATA", "relay", () => well({}, talk(...TALK.slice(0, 4), "451 later", "221 bye")), [`unknown ${MX}:25`]],
        ["one that puts off the message", "relay", () => well({}, talk(...spoken(5, "451 later"))), [`unknown ${MX}:25`]],
        ["one that takes no sender", "relay", () => well({}, talk(...TALK.slice(0, 2), "550 not you", "221")), [`unknown ${MX}:25`]],
        ["one that hangs up after the recipient", "relay", () => well({}, talk(...TALK.slice(0, 4))), [`unknown ${MX}:25`]],
        ["one that hangs up after the message", "relay", () => well({}, talk(...TALK.slice(0, 5))), [`unknown ${MX}:25`]],
        ["one that does not answer", "relay", () => well({}, { smtp: () => Promise.reject(new Error("ECONNREFUSED")) }), [`unknown ${MX}:25`]],
        ["another name", "relay", () => well({}, talk(...spoken(0, "220 localhost"))), [`warn greeting of ${MX}:25`]],
        ["a record that is gone", "records", () => well({ lookupAt: dnsOf({ [`${MX} A`]: [] }) }), [`fail ${MX} A`]],
        [
            "another policy",
            "records",
            () => well({ lookupAt: dnsOf({ "_dmarc.example.com TXT": ["v=DMARC1; p=none"] }) }),
            ["fail _dmarc.example.com TXT"],
        ],
        ["no delegation", "records", () => well({ lookupAt: dnsOf({}, []) }), ["fail example.com"]],
        ["DNS that is silent", "records", () => well({ lookupAt: silentAt(() => true) }), ["unknown example.com"]],
        ["silence about a record", "records", () => well({ lookupAt: silentAt((name) => name === MX) }), unheard(MX)],
        [
            "a record that others' resolvers do not have yet",
            "records",
            () => well({ lookupAt: (servers) => (servers ? dnsOf() : dnsOf({ [`${MX} A`]: ["192.0.2.1"] }))(servers) }),
            [`warn ${MX} A`],
        ],
        ["silence at every name server", "records", () => well({ lookupAt: silentAt((_, __, servers) => servers !== undefined) }), [SILENT_SERVER]],
        ["DNS that is silent", "foreign", () => well({ lookupAt: silentAt(() => true) }), ["unknown foreign"]],
        ["silence about a record", "foreign", () => well({ lookupAt: silentAt((name) => name === "example.com") }), ["unknown foreign"]],
        [
            "a second SPF record",
            "foreign",
            () => well({ lookupAt: dnsOf({ "example.com TXT": ["v=spf1 mx ~all", "v=spf1 a -all"] }) }),
            ["fail example.com"],
        ],
        ["no reverse name", "reverse", () => well({ reverse: () => Promise.resolve([]) }), [`fail ${IP}`]],
        ["a provider's reverse name", "reverse", () => well({ reverse: () => Promise.resolve(["static.203.example.net"]) }), [`fail ${IP}`]],
        ["a reverse name without a way back", "reverse", () => well({ lookupAt: dnsOf({ [`${MX} A`]: ["192.0.2.9"] }) }), [`fail ${MX}`]],
        ["a second reverse name", "reverse", () => well({ reverse: () => Promise.resolve(["static.example.net", MX]) }), [`warn ${IP}`]],
        ["a silent resolver", "reverse", () => well({ reverse: () => Promise.reject(new Error("ETIMEOUT")) }), [`unknown ${IP}`]],
        ["silence about the way back", "reverse", () => well({ lookupAt: silentAt((name) => name === MX) }), [`unknown ${IP}`]],
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
        ["an old backup", "backups", () => well({ sets: () => Promise.resolve(["20261125T120000Z"]) }), ["fail newest set"]],
        ["no backup", "backups", () => well({ sets: () => Promise.resolve([]) }), ["fail newest set"]],
        ["a bucket that does not answer", "backups", () => well({ sets: () => Promise.reject(new Error("denied")) }), ["unknown backups"]],
        ["drift", "drift", () => well({ drift: () => Promise.resolve(["forwardemail-prod-mx"]) }), ["warn forwardemail-prod-mx"]],
    ])("%s is told by %s", async (_, id, world, expected) => {
        expect(await verdict(id, await world())).toEqual(expected);
    });

    const all = (status: Status) =>
        [...["mx.mail.example.com:25", "smtp.mail.example.com:465"], ...ROUTED, ...POLICIES.map((name) => `${name}:443`)]
            .map((subject) => `${status} ${subject}`)
            .sort();
    const ROUTED = ["mail", "api.mail", "imap.mail", "pop3.mail", "caldav.mail", "carddav.mail"].map(
        (name) => `${name}.example.com:${{ "imap.mail": 993, "pop3.mail": 995 }[name] ?? 443}`,
    );
    test.each<[string, (given: X509Certificate) => Promise<World> | World, Status]>([
        ["that has expired", async () => well({}, await shows(await certify(-1))), "fail"],
        ["that ends soon", async () => withDisk(await certify(16, undefined, 74)), "warn"],
        ["that is nearly over", async () => withDisk(await certify(5, undefined, 85)), "fail"],
        ["of a few days that ends in hours", async () => withDisk(await certify(1, undefined, 5)), "warn"],
        ["of a year that ends soon", async () => withDisk(await certify(20, undefined, 345)), "warn"],
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
    const withDisk = async (one: X509Certificate) => well({ read: () => Promise.resolve(one.toString()) }, await shows(one));

    test.each([
        ["of a few days with two left", 2, 4],
        ["of three months with 20 days left", 20, 70],
    ])("a certificate %s has enough", async (_, days, since) => {
        expect(await verdict("tls", await withDisk(await certify(days, undefined, since)))).toEqual([]);
    });

    test("a name of a policy that the certificate lacks is told, and no other", async () => {
        const one = await certify(60, ["mail.example.com", "*.mail.example.com", ...POLICIES.slice(0, 2)]);
        expect(await verdict("tls", await withDisk(one))).toEqual(["fail autodiscover.example.com:443"]);
    });

    test("what is on the disk is read in a container that runs; where none can be read, the rest is told", async () => {
        const asked: string[] = [];
        const other = await certify(60);
        const read = (container: string) => {
            asked.push(container);
            return Promise.resolve(other.toString());
        };
        const some = async () => (await changed("smtp", { health: "exited" })()).filter(({ service }) => ["smtp", "mx"].includes(service));
        expect(await verdict("tls", well({ containers: some, read }))).toEqual(expect.arrayContaining([`fail ${MX}:25`]));
        expect(asked).toEqual(["forwardemail-prod-mx"]);
        expect(await verdict("tls", well({ read: () => Promise.reject(new Error("no such container")) }))).toEqual([]);
        expect(await verdict("tls", well({ containers: () => Promise.reject(new Error("ssh: no route")) }))).toEqual([]);
    });

    const DANE = `_25._tcp.${MX}`;
    test.each<[string, () => World | Promise<World>, string[]]>([
        ["a key that no TLSA record names", async () => well({}, await shows(await certify(60))), [`fail ${DANE}`]],
        ["a key that DNS does not name yet", () => well({ tlsa: () => Promise.resolve(tlsa().slice(1)) }), [`fail ${DANE}`]],
        ["a record that DNS does not have", () => well({ tlsa: () => Promise.resolve(tlsa().slice(0, 1)) }), [`fail ${DANE}`]],
        ["no record", () => well({ tlsa: () => Promise.resolve([]) }), [`fail ${DANE}`]],
        ["DNS that is silent", () => well({ tlsa: () => Promise.reject(new Error("ETIMEOUT")) }), [`unknown ${DANE}`]],
        ["a Node that cannot ask", () => well({ tlsa: () => undefined }), [`unknown ${DANE}`]],
        ["a port that is silent", () => well({}, { certificate: () => Promise.reject(new Error("ETIMEOUT")) }), [`unknown ${DANE}`]],
    ])("%s is told by dane", async (_, world, expected) => {
        expect(await verdict("dane", await world())).toEqual(expected);
    });

    test("a Node that cannot ask for TLSA records says which one can, and still sees a key that was not declared", async () => {
        const [{ findings }] = await runChecks(chosen(["dane"]), deployment(), well({ tlsa: () => undefined }));
        expect(findings[0].got).toBe(`this Node (${process.version}) cannot ask for TLSA records: use 22.15 or newer`);
        expect(await verdict("dane", well({ tlsa: () => undefined }, await shows(await certify(60))))).toEqual([`fail ${DANE}`]);
    });
});

describe("name servers are asked one by one", () => {
    const servers = ["ns1.example.net", "ns2.example.net", "ns3.example.net", "ns4.example.net", "ns5.example.net"];
    const addresses = Object.fromEntries(servers.map((name, at) => [`${name} A`, [`192.0.2.${at}`]]));
    const good = dnsOf(addresses, servers);
    const at = (address: string, other: World["lookupAt"]): World["lookupAt"] => {
        return (asked) => (asked?.join() === address ? other : good)(asked);
    };
    const findings = async (lookupAt: World["lookupAt"]) => (await runChecks(chosen(["records"]), deployment(), well({ lookupAt })))[0].findings;

    test("one that was left behind is named", async () => {
        const wrong = await findings(at("192.0.2.3", dnsOf({ ...addresses, [`${MX} A`]: ["192.0.2.9"] }, servers)));
        expect(wrong).toMatchObject([{ status: "fail", subject: `${MX} A`, expected: IP, got: "192.0.2.9 at ns4.example.net" }]);
    });

    test("one that does not answer, or that nobody finds, is a warning; so is one that leaves out a question", async () => {
        for (const silent of [
            at("192.0.2.1", () => () => Promise.reject(new Error("ETIMEOUT"))),
            dnsOf({ ...addresses, "ns2.example.net A": [] }, servers),
            silentAt((name, _, asked) => asked?.join() === "192.0.2.1" && name === MX, good),
        ]) {
            const found = await findings(silent);
            expect(found).toMatchObject([{ status: "warn", subject: "name server ns2.example.net" }, { status: "pass" }]);
            expect(found[1].got).toMatch(/^\d+ records at ns1\.example\.net, ns3\.example\.net, ns4\.example\.net$/);
        }
    });

    test("an answer that is lost once is asked for again", async () => {
        let lost = 0;
        expect(await findings(silentAt((name, _, asked) => asked?.join() === "192.0.2.1" && name === MX && lost++ === 0, good))).toMatchObject([
            { status: "pass" },
        ]);
    });
});

test("one address that cannot be asked about does not hide another's reverse name", async () => {
    const reverse = (address: string) => (address === IP ? Promise.resolve(["static.example.net"]) : Promise.reject(new Error("ETIMEOUT")));
    const of = { ...deployment(), outputs: { reverse: { [IP]: MX, "2001:db8::7": MX } } };
    expect(await verdict("reverse", well({ reverse }), of)).toEqual([`fail ${IP}`, "unknown 2001:db8::7"]);
});

test("SPF is asked of every name that was declared to send, and of no other", async () => {
    const [{ findings }] = await runChecks(chosen(["spf"]), deployment(), well());
    expect(findings.map(({ subject }) => subject.split(" ")[0]).sort()).toEqual(
        ["example.com", "fe-bounces.example.com", "fe-bounces.mail.example.com", "mail.example.com", MX, "smtp.mail.example.com"].sort(),
    );
});

describe("over IPv6", () => {
    const IPV6 = "2001:db8::7";
    const both = () => ({ ...deployment(), addresses: [IP, IPV6] });
    const only = (wrong: Partial<World["dial"]>) => {
        const { isOpen: open, smtp } = well().dial;
        return well(
            {},
            {
                isOpen: (address, port) => (address === IPV6 && wrong.isOpen ? wrong.isOpen : open)(address, port),
                smtp: (address, port, lines) => (address === IPV6 && wrong.smtp ? wrong.smtp : smtp)(address, port, lines),
            },
        );
    };

    test.each<[string, string, Partial<World["dial"]>, string[]]>([
        ["a port that is shut", "ports", { isOpen: isOpen([25, 80, 443, 993, 995]) }, [`fail [${IPV6}]:465`]],
        ["no way to it", "ports", { isOpen: () => Promise.resolve("no way" as const) }, [`unknown ${IPV6}`]],
        ["an open relay", "relay", talk(...spoken(5, "250 queued")), [`fail ${MX}:25 over IPv6`]],
        ["no way to it", "relay", { smtp: () => Promise.reject(new Error("connect ENETUNREACH")) }, [`unknown ${MX}:25 over IPv6`]],
    ])("%s is told by %s", async (_, id, wrong, expected) => {
        expect(await verdict(id, only(wrong), both())).toEqual(expected);
    });

    test("the address is asked where the network has IPv6", async () => {
        const addresses = async (ipv6: boolean) => {
            const servers = [{ ...settings.servers[0], ipv6: IPV6 }];
            const stack = { exportStack: () => Promise.resolve({ deployment: {} }), outputs: () => Promise.resolve({}) };
            const session = { stack, settings: { ...settings, servers, network: { ...settings.network, ipv6 } } } as unknown as Session;
            return (await deployed(session, "prod")).deployment.addresses;
        };
        expect(await addresses(true)).toEqual([IP, IPV6]);
        expect(await addresses(false)).toEqual([IP]);
    });
});

test("a check that throws at once is unknown, and the others are told", async () => {
    const thrown: Check = {
        ...chosen(["drift"])[0],
        run: () => {
            throw new Error("no such container");
        },
    };
    const [drift, services] = await runChecks([thrown, ...chosen(["services"])], deployment(), well());
    expect(drift.findings).toEqual([{ status: "unknown", subject: "drift", got: "no such container" }]);
    expect(exitCode([services])).toBe(0);
});

describe("a program that is run aside", () => {
    const failing = (script: string, timeout?: number) =>
        runAside("/bin/sh", ["-c", script], process.env, timeout).catch((error: Error) => error.message);

    test("fails with its own words and the fix, never with the script", async () => {
        expect(await failing("echo 'no room' >&2; exit 3 # a script")).toBe("no room");
        expect(await failing("exit 3 # a script")).toBe("/bin/sh ended with 3");
        expect(await failing("echo 'Host key verification failed.' >&2; exit 255")).toMatch(/^Host key verification failed\. Fix: the server showed/);
        await expect(runAside("/no/such/program", [], {})).rejects.toThrow("/no/such/program cannot be run (ENOENT). Fix: install it");
    });

    test("is ended when it hangs, and waits for nobody to type", async () => {
        expect(await failing("sleep 60 # a script", 100)).toBe("/bin/sh gave no answer within 0.1 s");
        expect(await failing("cat; exit 3")).toBe("/bin/sh ended with 3");
    });
});

test("containers are looked at once for all checks, and Docker that cannot be asked rejects", async () => {
    const host = { ...settings.servers[0], ssh: undefined, dockerHost: "unix:///nowhere/docker.sock" };
    const world = theWorld({ ...settings, servers: [host] }, {} as Ways);
    expect(world.containers()).toBe(world.containers());
    await expect(world.containers()).rejects.toThrow(/docker|Docker/);
});

test("TLSA records come in the form that they are declared in; a Node without is told apart from none", async () => {
    const record = { certUsage: 3, selector: 1, match: 1, data: new Uint8Array([0xab, 0x01]).buffer };
    expect(await tlsaOf({ resolveTlsa: () => Promise.resolve([record]) }, MX)).toEqual(["3 1 1 ab01"]);
    expect(await tlsaOf({ resolveTlsa: () => Promise.reject(Object.assign(new Error("none"), { code: "ENODATA" })) }, MX)).toEqual([]);
    await expect(tlsaOf({ resolveTlsa: () => Promise.reject(new Error("ETIMEOUT")) }, MX)).rejects.toThrow("ETIMEOUT");
    expect(tlsaOf({}, MX)).toBeUndefined();
});

test("after an update, another image fails of every service, and what watches them is none", async () => {
    const watch = { ...running()[0], service: "prometheus", image: "prom/prometheus:v3.0.0" } as unknown as Running;
    const verdictOf = async (containers: Running[]) =>
        (await runChecks([versionCheck("mend")], deployment(), well({ containers: () => Promise.resolve(containers) })))[0].findings;
    expect(await verdictOf([...running(), watch])).toEqual([]);
    const [first, ...rest] = running();
    expect(await verdictOf([watch, { ...first, image: "other" }, ...rest])).toEqual([
        expect.objectContaining({ status: "fail", subject: first.service, got: "runs other", fix: "mend" }),
    ]);
});

test("a rehearsal has a memory of its own", () => {
    expect([false, true].map((isRehearsal) => memoryOf("prod", isRehearsal))).toEqual([
        expect.stringMatching(/verify\/prod\.json$/),
        expect.stringMatching(/verify\/prod\.rehearsal\.json$/),
    ]);
});

test("what the last whole run found is kept; some checks alone are compared with it; what was left half counts as none", () => {
    const folder = mkdtempSync(path.join(tmpdir(), "verify-"));
    const file = path.join(folder, "verify", "prod.json");
    const report = (id: string, status: Status): Report => ({ id, title: "", source: "", findings: [{ status, subject: "x", got: "y" }] });
    const all = [report("tls", "pass"), report("dane", "pass")];
    expect(sinceLast(file, all, CHECKS)).toEqual(all);
    expect(sinceLast(file, [report("tls", "pass")], chosen(["tls"]))).toEqual([]);
    expect(sinceLast(file, [report("tls", "fail")], chosen(["tls"]))).toEqual([report("tls", "fail")]);
    expect(sinceLast(file, all, CHECKS)).toEqual([]);
    writeFileSync(file, '[{"id": "tl');
    expect([sinceLast(file, all, CHECKS), sinceLast(file, all, CHECKS)]).toEqual([all, []]);
    rmSync(folder, { recursive: true });
});

test("a check that hangs is unknown in time, and holds up no other", async () => {
    const checks = chosen(["services", "reverse"]).map((check) => ({ ...check, patience: 100 }));
    const [services, reverse] = await runChecks(checks, deployment(), well({ reverse: () => new Promise(() => undefined) }));
    expect(reverse.findings).toEqual([{ status: "unknown", subject: "reverse", got: "no answer within 0.1 s" }]);
    expect(exitCode([services])).toBe(0);
    expect(exitCode([services, reverse])).toBe(3);
});

test("on this machine, what else listens is not the deployment's", async () => {
    const open = well({}, { isOpen: () => Promise.resolve("open" as const) });
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

    test("since the last time: of two findings of one name, the one that is another", () => {
        const records = [report({ ...fail, got: "one" }, { ...pass, subject: fail.subject })];
        expect(changedSince(records, records)).toEqual([]);
    });
});

describe("an SMTP conversation", () => {
    /** What a server got from `dial.smtp`, and what it answered. */
    async function talkTo(answer: (socket: Socket, received: string) => void, lines: string[]): Promise<{ answers: string[]; received: string }> {
        let received = "";
        const server = createServer((socket) => {
            socket.write("220 here\r\n");
            socket
                .on("error", () => undefined)
                .on("data", (data) => {
                    received += String(data);
                    answer(socket, String(data));
                });
        }).listen(0, "127.0.0.1");
        await once(server, "listening");
        try {
            return { answers: await dial.smtp("127.0.0.1", (server.address() as AddressInfo).port, lines), received };
        } finally {
            server.close();
        }
    }

    test("waits for answers of several lines, and takes those without text", async () => {
        const answer = (socket: Socket, line: string) =>
            void socket.write(line.startsWith("EHLO") ? "250-here\r\n250-SIZE 1\r\n250 HELP\r\n" : "250\r\n");
        const { answers } = await talkTo(answer, ["EHLO x", "MAIL FROM:<>"]);
        expect(answers).toEqual(["220 here", "250-here\r\n250-SIZE 1\r\n250 HELP", "250"]);
    });

    test.each<[string, (socket: Socket) => void]>([
        ["hangs up", (socket) => socket.end()],
        ["breaks off", (socket) => socket.resetAndDestroy()],
    ])("answers what it has got where the server %s", async (_, end) => {
        const answer = (socket: Socket, line: string) => void (line.startsWith("RCPT") ? end(socket) : socket.write("250 ok\r\n"));
        expect((await talkTo(answer, ["EHLO x", "RCPT TO:<a@b>", "DATA"])).answers).toEqual(["220 here", "250 ok"]);
    });

    test("fails where the server hangs up without a word, or nobody is there", async () => {
        const server = createServer((socket) => socket.end()).listen(0, "127.0.0.1");
        await once(server, "listening");
        const { port } = server.address() as AddressInfo;
        await expect(dial.smtp("127.0.0.1", port, [])).rejects.toThrow("the server hung up");
        server.close();
        await once(server, "close");
        await expect(dial.smtp("127.0.0.1", port, [])).rejects.toThrow("ECONNREFUSED");
    });

    test("sends a message as one unit, in which no line ends it", async () => {
        const answer = (socket: Socket, text: string) => void socket.write(text === "DATA\r\n" ? "354 go on\r\n" : "250 ok\r\n");
        const { answers, received } = await talkTo(answer, ["DATA", "Subject: x\r\n\r\n.\r\n.a", "QUIT"]);
        expect(answers).toEqual(["220 here", "354 go on", "250 ok", "250 ok"]);
        expect(received).toBe("DATA\r\nSubject: x\r\n\r\n..\r\n..a\r\n.\r\nQUIT\r\n");
    });

    test("sends no message, and only says goodbye, once something is refused", async () => {
        const answer = (socket: Socket, line: string) => void socket.write(line.startsWith("QUIT") ? "221 bye\r\n" : "550 no\r\n");
        const { answers, received } = await talkTo(answer, ["RCPT TO:<a@b>", "DATA", "Subject: x", "QUIT"]);
        expect(answers).toEqual(["220 here", "550 no", "221 bye"]);
        expect(received).toBe("RCPT TO:<a@b>\r\nQUIT\r\n");
    });
});

test("the relay probe is a whole message for nobody, at a domain with a null MX", async () => {
    const sent: string[][] = [];
    const smtp = (_: string, __: number, lines: string[]) => {
        sent.push(lines);
        return Promise.resolve(TALK);
    };
    expect(await verdict("relay", well({}, { smtp }))).toEqual([]);
    const [[hello, sender, recipient, data, text, quit]] = sent;
    expect([hello, sender, recipient, data, quit]).toEqual([
        "EHLO verify.invalid",
        "MAIL FROM:<>",
        "RCPT TO:<postmaster@example.com>",
        "DATA",
        "QUIT",
    ]);
    for (const header of ["From", "To", "Date", "Message-ID", "Subject"]) expect(text).toMatch(new RegExp(`^${header}: \\S.*\\r$`, "m"));
    expect(text).toContain("Date: Thu, 26 Nov 2026 12:00:00 +0000\r\n");
    // Upstream puts off names of RFC 2606 before it decides about the recipient.
    expect(text).toContain("From: <postmaster@verify.home.arpa>\r\n");
});

test("a port is open, or closed, or on an address that this machine has no way to", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    expect(await dial.isOpen("127.0.0.1", port)).toBe("open");
    server.close();
    await once(server, "close");
    expect(await dial.isOpen("127.0.0.1", port)).toBe("closed");
    expect(await dial.isOpen("ff02::1", 25)).toBe("no way"); // no TCP leads to a multicast address, on any machine
});
