import { describe, expect, test } from "vitest";
import { Lookup, LookupAt } from "../../operate/dnsLookup";
import { findForeignRecords } from "../../operate/foreignRecords";
import type { StateResource } from "../../operate/machines";
import { readStackFile, settingsFrom } from "../../operate/stackFile";

const settings = settingsFrom("prod.example", readStackFile("prod.example").config ?? {}, { allowUnpinned: true });

/** Contents by name and type: `example.com MX`. A name that begins with `*.` answers for every name below that is not there. */
type Zone = Record<string, string[]>;
const lookup =
    (zone: Zone): Lookup =>
    (name, type) => {
        const exists = Object.keys(zone).some((key) => key.startsWith(`${name} `));
        return Promise.resolve(zone[`${exists ? name : name.replace(/^[^.]+/, "*")} ${type}`] ?? []);
    };
/** Asked without servers, what the system's resolver says; at servers, what they say. Without servers of their own, zones have none. */
const dns =
    (system: Zone, servers?: Lookup): LookupAt =>
    (addresses) =>
        addresses && servers ? servers : lookup(system);

const stack = (outputs: Record<string, unknown>): StateResource[] => [{ urn: "", type: "pulumi:pulumi:Stack", outputs }];
const found = async (at: Zone | LookupAt, zone: Record<string, string> = {}, of = settings) =>
    (await findForeignRecords(of, stack({ zone }), typeof at === "function" ? at : dns(at))).map(({ key, message }) => `${key}: ${message}`);

describe("records of others, before ours are written", () => {
    test.each<[string, Zone, RegExp]>([
        ["another MX", { "example.com MX": ["10 mx.other.net"] }, /^example\.com: has the MX mx\.other\.net/],
        [
            "a second SPF record",
            { "example.com TXT": ["v=spf1 include:other.net -all"] },
            /^example\.com: has the record "v=spf1 include:other\.net -all"; two/,
        ],
        ["a second DMARC record", { "_dmarc.example.com TXT": ["v=DMARC1; p=reject"] }, /^_dmarc\.example\.com: has the record/],
        ["an alias", { "mx.mail.example.com CNAME": ["other.net"] }, /^mx\.mail\.example\.com: is an alias of other\.net/],
    ])("%s is named", async (_, zone, expected) => {
        const all = await found(zone);
        expect(all).toHaveLength(1);
        expect(all[0]).toMatch(expected);
    });

    test("ours, texts of another kind, and what an earlier up wrote are none", async () => {
        expect(
            await found({
                "example.com MX": ["10 mx.mail.example.com"],
                "example.com TXT": ["v=spf1 mx ~all", "google-site-verification=x"],
                "imap.mail.example.com MX": ["0 ."],
                "fe-bounces.example.com CNAME": ["mail.example.com"],
            }),
        ).toEqual([]);
        const before = { "example.com MX": ["10 mx.old.example.com"], "example.com TXT": ["v=spf1 mx -all"] };
        const text = 'example.com.\t300\tIN\tMX\t10 mx.old.example.com.\nexample.com.\t300\tIN\tTXT\t"v=spf1" " mx -all"\n';
        expect(await found(before, { "example.com": text })).toEqual([]);
    });

    test("what an alias leads to is not told beside it", async () => {
        const name = "api.mail.example.com";
        const all = await found({
            [`${name} CNAME`]: ["other.net"],
            [`${name} MX`]: ["5 mx.other.net"],
            [`${name} TXT`]: ["v=spf1 ip4:192.0.2.9 -all"],
        });
        expect(all).toEqual([expect.stringMatching(/is an alias/)]);
    });
});

describe("addresses of others", () => {
    const name = "imap.mail.example.com";
    const withIpv6 = { ...settings, servers: [{ ...settings.servers[0], ipv6: "2001:DB8:0::7" }] };

    test("beside ours, or of the other kind, are named", async () => {
        expect(await found({ [`${name} A`]: ["203.0.113.7", "198.51.100.9"] })).toEqual([
            `${name}: has the address 198.51.100.9, to which part of the connections would go`,
        ]);
        expect(await found({ [`${name} AAAA`]: ["2001:db8::9"] }, {}, withIpv6)).toEqual([expect.stringMatching(/has the address 2001:db8::9,/)]);
        expect(await found({ [`${name} AAAA`]: ["2001:db8::7"] })).toEqual([expect.stringMatching(/has the address 2001:db8::7,/)]);
    });

    test("are not those of the settings, and of an earlier up, nor any where we write no address", async () => {
        expect(await found({ [`${name} A`]: ["203.0.113.7"], [`${name} AAAA`]: ["2001:db8::7"] }, {}, withIpv6)).toEqual([]);
        const before = `${name}.\t300\tIN\tA\t203.0.113.6\n${name}.\t300\tIN\tAAAA\t2001:db8:0:0::6\n`;
        expect(await found({ [`${name} A`]: ["203.0.113.6"], [`${name} AAAA`]: ["2001:db8::6"] }, { "example.com": before })).toEqual([]);
        expect(await found({ "example.com A": ["198.51.100.9"], "example.com AAAA": ["2001:db8::9"] })).toEqual([]);
    });

    test("on a server that is not made yet, all are others'", async () => {
        const made = { ...settings, servers: [{ ...settings.servers[0], ipv4: undefined }] };
        expect(await found({ [`${name} A`]: ["203.0.113.7"] }, {}, made)).toHaveLength(1);
    });

    test("at the host, where a web site is, the fix says what else can be done", async () => {
        const apex = { ...settings, host: "example.com" };
        const [{ key, fix }] = await findForeignRecords(apex, [], dns({ "example.com A": ["198.51.100.9"] }));
        expect({ key, fix }).toEqual({ key: "example.com", fix: expect.stringMatching(/or, .*choose a host below it/) });
    });
});

describe("texts of which there may be one", () => {
    const all = ["v=spf1 -all", "v=DMARC1; p=reject", "v=STSv1; id=1", "v=TLSRPTv1; rua=mailto:t@other.net", "v=DKIM1; p=AAAA", "k=rsa; p=BBBB"];
    test.each([
        ["example.com", [0]],
        ["_dmarc.example.com", [1]],
        ["_mta-sts.example.com", [2]],
        ["_smtp._tls.example.com", [3]],
        ["default._domainkey.mail.example.com", [4, 5]],
    ])("at %s are those of its own kind", async (name, kinds) => {
        const told = await found({ [`${name} TXT`]: all });
        expect(told).toHaveLength(kinds.length);
        kinds.forEach((kind, at) => expect(told[at]).toContain(kind < 4 ? `has the record "${all[kind]}"; two` : all[kind].slice(-4)));
    });

    test("keys of others at our DKIM names have a message of their own, ours have none", async () => {
        const applicationDomains = { "example.com": { selector: "fe-1", publicKey: "A".repeat(392), returnPath: "fe-bounces", previous: [] } };
        const of = { ...settings, applicationDomains };
        const [name, host] = ["fe-1._domainkey.example.com", "default._domainkey.mail.example.com"];
        const ours = `v=DKIM1; k=rsa; p=${"A".repeat(392)}`;
        const written = `${host}.\t300\tIN\tTXT\t"v=DKIM1; k=rsa; p=${"C".repeat(200)}" "${"C".repeat(192)}"\n`;
        const zone = { [`${name} TXT`]: [ours], [`${host} TXT`]: [`v=DKIM1; k=rsa; p=${"C".repeat(392)}`] };
        expect(await found(zone, { "example.com": written }, of)).toEqual([]);
        expect(await found({ [`${name} TXT`]: [ours, "v=DKIM1; p=OTHERKEY"] }, {}, of)).toEqual([
            `${name}: has a DKIM key of others, which ends in OTHERKEY: what ours signs could not be verified`,
        ]);
    });

    test("a welcome for reports may be there twice", async () => {
        const of = {
            ...settings,
            domains: ["example.com", "example.net"],
            dns: {
                ...settings.dns!,
                zones: ["example.com", "example.net"].map((name) => ({ name, dnssec: false })),
                dmarc: { policy: "none" as const, reports: "d@example.com" },
            },
        };
        expect(await found({ "example.net._report._dmarc.example.com TXT": ["v=DMARC1;"] }, {}, of)).toEqual([]);
    });
});

describe("what the provider would refuse, because it is there", () => {
    const at = (provider: "cloudflare" | "route53", keep = {}) => ({ ...settings, dns: { ...settings.dns!, provider, keep } });
    const [cloudflare, route53] = [{ "example.com NS": ["ada.ns.cloudflare.com"] }, { "example.com NS": ["ns-1.awsdns-01.co.uk"] }];
    const told = async (of: typeof settings, zone: Zone, resources: StateResource[] = []) =>
        (await findForeignRecords(of, resources, dns(zone))).map(({ key, message }) => `${key} ${message}`);
    const imported = {
        "mail.example.com A": ["203.0.113.7"],
        "mx.mail.example.com A": ["203.0.113.7"],
        "example.com MX": ["10 mx.mail.example.com"],
        "fe-bounces.example.com CNAME": ["mail.example.com"],
        "_imaps._tcp.example.com SRV": ["0 1 993 imap.mail.example.com"],
        "mail.example.com CAA": ["0 issuewild ;"],
    };
    const verification = { "example.com TXT": ["google-site-verification=x"] };

    test("is one problem, with the number and some names", async () => {
        const one = { "example.com MX": ["10 mx.mail.example.com"] };
        expect(await told(at("cloudflare"), { ...cloudflare, ...one })).toEqual([
            expect.stringMatching(/^example\.com MX is there already, .*81058/),
        ]);
        for (const [provider, zone] of [
            ["cloudflare", cloudflare],
            ["route53", route53],
        ] as const) {
            const all = await told(at(provider), { ...zone, ...imported });
            expect(all).toEqual([expect.stringMatching(/^(\S+ [A-Z]+, ){2}\S+ [A-Z]+ and 3 more are there already/)]);
        }
    });

    test("at Route 53 is a set with a value of others too, until it is in dns.keep; at Cloudflare it is not", async () => {
        expect(await told(at("route53"), { ...route53, ...verification })).toEqual([expect.stringMatching(/^example\.com TXT is there already/)]);
        expect(await told(at("route53", { "example.com TXT": verification["example.com TXT"] }), { ...route53, ...verification })).toEqual([]);
        expect(await told(at("cloudflare"), { ...cloudflare, ...verification })).toEqual([]);
    });

    test("is nothing that an earlier up wrote, nor what name servers of others have, nor a wildcard's", async () => {
        const record = (type: string, outputs: Record<string, unknown>): StateResource => ({ urn: "", type, outputs });
        const zone = { "example.com MX": ["10 mx.mail.example.com", "10 mx.old.example.com"], "example.com TXT": ["v=spf1 mx -all"] };
        expect(
            await told(at("cloudflare"), { ...cloudflare, ...zone }, [
                record("cloudflare:index/dnsRecord:DnsRecord", { name: "example.com", type: "MX", content: "mx.old.example.com", priority: 10 }),
                record("cloudflare:index/dnsRecord:DnsRecord", { name: "example.com", type: "TXT", content: '"v=spf1 mx -all"' }),
            ]),
        ).toEqual([]);
        expect(
            await told(at("route53"), { ...route53, ...zone }, [
                record("aws:route53/record:Record", {
                    name: "example.com",
                    type: "MX",
                    records: ["10 mx.mail.example.com", "10 mx.old.example.com"],
                }),
                record("aws:route53/record:Record", { name: "example.com", type: "TXT", records: ['v=spf1"" mx -all'] }),
            ]),
        ).toEqual([]);
        expect(await told(at("cloudflare"), { "example.com NS": ["ns.other.net"], ...imported })).toEqual([]);
        expect(await told(at("cloudflare"), { ...cloudflare, "*.mail.example.com A": ["203.0.113.7"] })).toEqual([]);
    });

    test("is what a zone file of ours brought there, though the outputs have it", async () => {
        const key = `v=DKIM1; k=rsa; p=${"C".repeat(200)}`;
        const resources = stack({ zone: { "example.com": `default._domainkey.mail.example.com.\t300\tIN\tTXT\t"${key}"\n` } });
        const all = await told(at("cloudflare"), { ...cloudflare, "default._domainkey.mail.example.com TXT": [key] }, resources);
        expect(all).toEqual([expect.stringMatching(/^default\._domainkey\.mail\.example\.com TXT is there already/)]);
    });
});

describe("wildcards", () => {
    test("what they say is not told: it ends where a name gets a record of its own", async () => {
        const everywhere = (type: string, content: string) => ({ [`*.example.com ${type}`]: [content], [`*.mail.example.com ${type}`]: [content] });
        expect(await found(everywhere("CNAME", "web.other.net"))).toEqual([]);
        expect(await found({ ...everywhere("MX", "10 mx.other.net"), ...everywhere("TXT", "v=spf1 -all; v=DMARC1") })).toEqual([]);
    });

    test("what a name has beside them is told", async () => {
        const all = await found({ "*.mail.example.com MX": ["10 mx.other.net"], "api.mail.example.com MX": ["10 mx.other.org"] });
        expect(all).toEqual([expect.stringMatching(/^api\.mail\.example\.com: has the MX mx\.other\.org/)]);
    });
});

describe("who is asked", () => {
    const cached = {
        "example.com NS": ["ns.other.net"],
        "ns.other.net A": ["192.0.2.53"],
        "example.com MX": ["10 mx.other.net"],
    };

    test("the zone's own name servers: a resolver remembers a record that was removed", async () => {
        const servers: string[][] = [];
        const own = lookup({ "example.com NS": ["ns.other.net"] });
        const at: LookupAt = (addresses) => {
            if (addresses) servers.push(addresses);
            return dns(cached, own)(addresses);
        };
        expect(await found(at)).toEqual([]);
        expect(servers).toEqual([["192.0.2.53"]]);
    });

    test.each<[string, Lookup]>([
        ["do not answer", () => Promise.reject(new Error("ETIMEOUT"))],
        ["know nothing of the zone", lookup({})],
        ["answer no more", (_, type) => (type === "NS" ? Promise.resolve(["ns.other.net"]) : Promise.reject(new Error("ETIMEOUT")))],
    ])("the system's resolver, where they %s", async (_, own) => {
        expect(await found(dns(cached, own))).toEqual([expect.stringMatching(/has the MX mx\.other\.net/)]);
    });

    test("where nobody answers, nothing is told", async () => {
        expect(await found(() => () => Promise.reject(new Error("ETIMEOUT")))).toEqual([]);
    });

    test.each<[string, LookupAt]>([
        ["nobody answers", () => () => Promise.reject(new Error("ETIMEOUT"))],
        ["nobody answers about one record", () => (name, type) => (type === "TXT" ? Promise.reject(new Error("ETIMEOUT")) : lookup({})(name, type))],
    ])("where %s, one who must know is told so", async (_, at) => {
        await expect(findForeignRecords(settings, [], at, { strict: true })).rejects.toThrow("ETIMEOUT");
        expect(await findForeignRecords(settings, [], at)).toEqual([]);
    });
});
