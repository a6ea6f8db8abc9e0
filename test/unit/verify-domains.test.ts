import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import * as packet from "dns-packet";
import { beforeAll, describe, expect, test } from "vitest";
import { chosen } from "../../operate/verify";
import type { HostedDomain } from "../../operate/verify/application";
import { Deployment, runChecks } from "../../operate/verify/check";
import { isOf } from "../../operate/verify/dnssec";
import { askAt } from "../../operate/verify/signed";
import type { World } from "../../operate/verify/world";
import { MX, application, deployment, dnsOf, prepare, settings, signature, signed, verdict, well } from "../fixtures/verify";

beforeAll(prepare);

const hosting = (change: Partial<HostedDomain>) => well({ application: () => Promise.resolve(application(change)) });
const asking = (changes: Record<string, string[]>, change: Partial<HostedDomain> = {}) => ({ ...hosting(change), lookupAt: dnsOf(changes) });
const silent = () => well({ application: () => Promise.reject(new Error("MongoDB does not run")) });
const got = async (id: string, world: World, of = deployment()) =>
    (await runChecks(chosen([id]), of, world))[0].findings.filter(({ status }) => status !== "pass").map((one) => one.got);

describe("what the application says of a domain", () => {
    test.each<[string, Partial<HostedDomain>, string[]]>([
        ["it misses a record", { has_dkim_record: false }, ["fail example.com"]],
        ["it may not send", { has_smtp: false }, ["fail example.com"]],
        ["its sending was stopped", { is_smtp_suspended: true }, ["fail example.com"]],
        ["it does not say", { has_mx_record: undefined }, ["unknown example.com"]],
        ["it has another domain", { name: "other.example.com" }, ["fail example.com"]],
        ["nobody reads what neighbours complain of", { aliases: ["postmaster", "hostmaster"] }, ["warn roles at example.com"]],
        ["one mailbox takes all", { aliases: ["*"] }, []],
        ["a pattern takes them", { aliases: ["/^(postmaster|ABUSE|hostmaster)$/i"] }, []],
        ["a pattern takes others", { aliases: ["/^sales/", "/(/"] }, ["warn roles at example.com"]],
    ])("%s", async (_, change, expected) => {
        expect(await verdict("domains", hosting(change))).toEqual(expected);
    });

    test("what it misses is named", async () => {
        expect(await got("domains", hosting({ has_mx_record: false, has_return_path_record: false }))).toEqual([
            "the application misses MX, the return path",
        ]);
        expect(await got("domains", hosting({ aliases: [] }))).toEqual([
            "no alias postmaster@example.com, abuse@example.com, hostmaster@example.com",
        ]);
    });

    test("a second code, with which the application puts off all mail, is told; a MongoDB that cannot be asked is unknown", async () => {
        const code = "forward-email-site-verification=";
        const texts = await dnsOf()()("example.com", "TXT");
        expect(texts).toContain(`${code}a1b2c3`);
        expect(await verdict("domains", asking({ "example.com TXT": [...texts, `${code}zzz`] }))).toEqual(["fail example.com TXT"]);
        expect(await verdict("domains", silent())).toEqual(["unknown domains"]);
    });

    test("its name in Unicode is the one of the config", async () => {
        const of: Deployment = { ...deployment(), settings: { ...settings, domains: ["xn--bcher-kva.example.com"] } };
        expect(await verdict("domains", hosting({ name: "bücher.example.com" }), of)).toEqual([]);
    });
});

describe("places for reports", () => {
    const DMARC = "_dmarc.example.com";
    const TLS = "_smtp._tls.example.com";
    const CONSENT = { "example.com._report._dmarc.reports.test TXT": ["v=DMARC1"] };
    const dmarc = (rest: string) => ({ [`${DMARC} TXT`]: [`v=DMARC1; ${rest}`] });
    test.each<[string, () => World, string[]]>([
        ["no policy", () => asking({ [`${DMARC} TXT`]: [] }), [`fail ${DMARC}`]],
        ["two policies", () => asking({ [`${DMARC} TXT`]: ["v=DMARC1; p=none", "v=DMARC1; p=reject"] }), [`fail ${DMARC}`]],
        ["a policy that is none", () => asking(dmarc("p=strict; rua=mailto:dmarc@example.com")), [`fail ${DMARC}`]],
        ["one for a part of the mail", () => asking(dmarc("p=none; pct=50; rua=mailto:dmarc@example.com")), [`fail ${DMARC}`]],
        ["no place", () => asking(dmarc("p=none")), [`fail ${DMARC}`]],
        ["a place that is no address", () => asking(dmarc("p=none; rua=dmarc@example.com")), [`fail ${DMARC}`]],
        ["a mailbox that is not there", () => hosting({ aliases: ["tlsrpt"] }), [`warn ${DMARC}`]],
        ["a mailbox of TLS reports that is not there", () => hosting({ aliases: ["dmarc"] }), [`warn ${TLS}`]],
        ["TLS reports to nobody", () => asking({ [`${TLS} TXT`]: [] }), [`fail ${TLS}`]],
        ["TLS reports twice", () => asking({ [`${TLS} TXT`]: ["v=TLSRPTv1; rua=mailto:a@b.c", "v=TLSRPTv1; rua=mailto:a@b.c"] }), [`fail ${TLS}`]],
        ["a domain of others that takes no mail", () => asking(dmarc("p=none; rua=mailto:us@reports.test")), [`warn ${DMARC}`]],
        [
            "one with a null MX",
            () => asking({ ...dmarc("p=none; rua=mailto:us@reports.test"), ...CONSENT, "reports.test MX": ["0 ."], "reports.test A": ["192.0.2.1"] }),
            [`warn ${DMARC}`],
        ],
        [
            "one that does not say that it wants them",
            () => asking({ ...dmarc("p=none; rua=mailto:us@reports.test"), "reports.test MX": ["10 mx.reports.test"] }),
            [`warn ${DMARC}`],
        ],
    ])("%s", async (_, world, expected) => {
        expect(await verdict("reports", world())).toEqual(expected);
    });

    test("one that does, and a web address, are well", async () => {
        const consent = { ...CONSENT, "reports.test A": ["192.0.2.1"] };
        expect(await verdict("reports", asking({ ...dmarc("p=none; rua=mailto:us@reports.test!10m"), ...consent }))).toEqual([]);
        expect(await verdict("reports", asking({ [`${TLS} TXT`]: ["v=TLSRPTv1; rua=https://reports.test/tls"] }))).toEqual([]);
    });

    test("a MongoDB or a DNS that cannot be asked is unknown", async () => {
        expect(await verdict("reports", silent())).toEqual([`unknown ${DMARC}`, "unknown _dmarc.mail.example.com", `unknown ${TLS}`]);
        const none = well({ lookupAt: () => () => Promise.reject(new Error("ETIMEOUT")) });
        expect(await verdict("reports", none)).toEqual([`unknown ${DMARC}`, "unknown _dmarc.mail.example.com", `unknown ${TLS}`]);
    });
});

describe("what clients are told", () => {
    const pages = (change: (body: string) => string, status = 401) => {
        const { get } = well().dial;
        return well(
            {},
            {
                async get(args) {
                    const page = await get(args);
                    return args.servername.startsWith("autoconfig.") ? { ...page, body: change(page.body) } : { ...page, status };
                },
            },
        );
    };
    const AUTOCONFIG = "fail autoconfig.example.com";
    test.each<[string, World, string[]]>([
        ["another port", pages((body) => body.replace("993", "143")), [AUTOCONFIG]],
        ["another name", pages((body) => body.replace("smtp.mail.", "smtp.")), [AUTOCONFIG]],
        ["nothing", pages(() => "<html>"), [AUTOCONFIG]],
        [
            "nothing of calendars",
            pages((body) => body, 404),
            ["caldav", "carddav"].map((name) => `warn ${name}.mail.example.com/.well-known/${name}`),
        ],
        ["an error", pages((body) => body, 502), ["caldav", "carddav"].map((name) => `fail ${name}.mail.example.com/.well-known/${name}`)],
        ["a redirect", pages((body) => body, 301), []],
    ])("%s", async (_, world, expected) => {
        expect(await verdict("clients", world)).toEqual(expected);
    });
});

describe("DNSSEC", () => {
    const unsigned = { DS: { answers: [] } };
    const zones = (dnssec: boolean): Deployment => ({
        ...deployment(),
        settings: { ...settings, dns: { ...settings.dns!, zones: [{ name: "example.com", dnssec }] } },
    });
    const key = (byte: number) => ({
        answers: [{ type: "DNSKEY", name: "example.com", data: { flags: 257, algorithm: 13, key: Buffer.alloc(64, byte) } } as const],
    });
    const soa = (from: number, to: number) => ({ answers: [signature("SOA", from, to)] });
    test.each<[string, World["askSigned"], string[]]>([
        ["no DS record", signed(unsigned), ["fail example.com"]],
        ["a DS record of another key", signed({ DNSKEY: key(8) }), ["fail example.com"]],
        ["a signature that is over", signed({ SOA: soa(-14, -1) }), ["fail example.com"]],
        ["one that is nearly over", signed({ SOA: soa(-13, 1) }), ["warn example.com"]],
        ["one that is young, and lives for two days", signed({ SOA: soa(-1, 1) }), []],
        ["an answer that does not validate", signed({ SOA: { rcode: "SERVFAIL", answers: [], isAuthentic: false } }), ["fail example.com"]],
        ["an answer that is not validated, where the root is", signed({ SOA: { isAuthentic: false } }), ["fail example.com"]],
        ["a resolver that does not validate", signed({ SOA: { isAuthentic: false }, NS: { isAuthentic: false } }), ["unknown example.com"]],
        ["a zone above that fails", signed({ DS: { rcode: "SERVFAIL", answers: [] } }), ["unknown example.com"]],
        ["nobody who answers", () => Promise.reject(new Error("ETIMEOUT")), ["unknown example.com"]],
    ])("%s", async (_, askSigned, expected) => {
        expect(await verdict("dnssec", well({ askSigned }))).toEqual(expected);
    });

    test("a zone that is signed although the config does not say so is told, and what is wrong with it first", async () => {
        expect(await got("dnssec", well(), zones(false))).toEqual(["is signed, and the config does not say so"]);
        expect(await got("dnssec", well({ askSigned: signed({ SOA: soa(-14, -1) }) }), zones(false))).toEqual(["a signature has expired"]);
    });

    test("a zone without is well, without TLSA records; with them, nobody heeds them", async () => {
        const plain = { askSigned: signed(unsigned) };
        expect(await verdict("dnssec", well({ ...plain, tlsa: () => Promise.resolve([]) }), zones(false))).toEqual([]);
        expect(await verdict("dnssec", well(plain), zones(false))).toEqual([`warn _25._tcp.${MX}`]);
    });

    test("a DS record names a key by a hash of both its name and itself (RFC 4509 §2.3, its example)", () => {
        const text =
            "AQOeiiR0GOMYkDshWoSKz9XzfwJr1AYtsmx3TGkJaNXVbfi/2pHm822aJ5iI9BMzNXxeYCmZDRD99WYwYqUSdjMmmAphXdvxegXd/M5+X7OrzKBaMbCVdFLUUh6DhweJBjEVv5f2wwjM9XzcnOf+EPbtG9DMBmADjFDc2w/rljwvFw==";
        const example = { flags: 256, algorithm: 5, key: Buffer.from(text, "base64") };
        const digest = Buffer.from("D4B7D520E7BB5F0F67674A0CCEB1E3E0614B93C4F9E99B8383F6A1E4469DA50A", "hex");
        const ds = { keyTag: 60485, algorithm: 5, digestType: 2, digest };
        expect(isOf(ds, "dskey.example.com", example)).toBe(true);
        expect(isOf(ds, "other.example.com", example)).toBe(false);
        expect(isOf({ ...ds, digestType: 1 }, "dskey.example.com", example)).toBe(false);
        expect(isOf({ ...ds, digestType: 3 }, "dskey.example.com", example)).toBe(false);
    });

    test("is asked for by a datagram, and over TCP for what is longer; signatures and bits are read", async () => {
        const asked: string[] = [];
        const answer = (query: packet.Packet, flags: number, by: string): packet.Packet => {
            const { flags: set = 0, additionals = [], questions } = query;
            asked.push(`${by} ${questions![0].type} ${(set & packet.CHECKING_DISABLED) !== 0} ${(additionals[0] as packet.OptAnswer).flag_do}`);
            return { type: "response", id: query.id, flags: set | flags, questions, answers: by === "tcp" ? [signature("SOA")] : [] };
        };
        const server = createServer((socket) => {
            socket.on("data", (data) => socket.write(packet.streamEncode(answer(packet.streamDecode(data), packet.AUTHENTIC_DATA, "tcp"))));
        }).listen(0, "127.0.0.1");
        await once(server, "listening");
        const { port } = server.address() as AddressInfo;
        const datagrams = createSocket("udp4").bind(port, "127.0.0.1");
        await once(datagrams, "listening");
        let isLong = true;
        let lost = 1;
        datagrams.on("message", (data, from) => {
            if (lost-- > 0) return;
            const flags = isLong ? packet.TRUNCATED_RESPONSE : packet.AUTHENTIC_DATA | 2; // SERVFAIL
            datagrams.send(packet.encode(answer(packet.decode(data), flags, "udp")), from.port, from.address);
        });
        try {
            const long = await askAt(`127.0.0.1:${port}`, "example.com", "SOA");
            expect(long).toMatchObject({ rcode: "NOERROR", isAuthentic: true, answers: [{ type: "RRSIG", data: { typeCovered: "SOA" } }] });
            isLong = false;
            expect(await askAt(`127.0.0.1:${port}`, "example.com", "DNSKEY", { unchecked: true })).toMatchObject({ rcode: "SERVFAIL", answers: [] });
            expect(asked).toEqual(["udp SOA false true", "tcp SOA false true", "udp DNSKEY true true"]);
            lost = 2;
            await expect(askAt(`127.0.0.1:${port}`, "example.com", "SOA")).rejects.toThrow("127.0.0.1 does not answer");
        } finally {
            datagrams.close();
            server.close();
        }
    });
});

test("data of an older MongoDB are told, and a MongoDB that cannot be asked is unknown", async () => {
    const older = well({ application: () => Promise.resolve({ ...application(), compatibility: "6.0" }) });
    expect(await verdict("services", older)).toEqual(["warn mongodb's data"]);
    const [{ findings }] = await runChecks(chosen(["services"]), deployment(), older);
    expect(findings.at(-1)!.fix).toMatch(/: npm run update -- --mongodb-features --stack prod$/);
    expect(await verdict("services", silent())).toEqual(["unknown mongodb's data"]);
});
