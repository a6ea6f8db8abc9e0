import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { policyId, policyText } from "../../components/dns/mtaSts";
import { DnsPlan, DnsRecord, conflicts, ownNames, policyNames, records, zoneOf } from "../../components/dns/records";
import { mayIssue } from "../rig/caa";
import { chunks, rdata, recordTable, zoneFiles } from "../../components/dns/zoneFile";
import { publicNames } from "../../components/services/catalogue";

const key = (letter: string) => letter.repeat(392);
const PLAN: DnsPlan = {
    ...{ host: "mail.example.com", domains: ["example.com", "example.org"], profile: "full", portOffset: 0, autoconfig: true },
    ...{ zones: ["example.com", "example.org"], signed: ["example.com"], spf: "fail", dmarc: { policy: "quarantine" }, txtPrefix: "forward-email" },
    mtaSts: { mode: "testing", maxAge: 604_800 },
    caa: { issuer: "letsencrypt.org", challenge: "http-01", wildcard: false, contact: "hostmaster@example.com" },
    applicationDomains: {
        "example.com": {
            ...{ selector: "fe-1", publicKey: key("A"), returnPath: "fe-bounces", verification: "abc" },
            previous: [{ selector: "fe-0", publicKey: key("B") }],
        },
    },
    exchangers: [{ label: "mx", ipv4: "192.0.2.7", ipv6: "2001:db8::7" }],
    dkim: [
        { selector: "default", publicKey: key("C") },
        { selector: "s2", publicKey: key("D") },
    ],
    account: "https://acme-v02.api.letsencrypt.org/acme/acct/1",
    tlsa: [
        { number: 1, publicKey: "aa".repeat(32) },
        { number: 2, publicKey: "bb".repeat(32) },
    ],
};

const at = (plan: Partial<DnsPlan>, name: string, type: string) =>
    records({ ...PLAN, ...plan })
        .filter((record) => record.name === name && record.data.type === type)
        .map(({ data }) => (data.type === "TXT" ? data.text : rdata(data)));

describe("records", () => {
    test("the whole zone, for a company with its web site at the apex", () => {
        expect(zoneFiles(records(PLAN), PLAN.zones, 300)).toMatchSnapshot();
    });

    test("forwarding only, everything at an apex", () => {
        const plan: DnsPlan = { ...PLAN, host: "example.net", domains: ["example.net"], zones: ["example.net"], signed: [], profile: "forwarding" };
        expect(zoneFiles(records({ ...plan, autoconfig: false, mtaSts: undefined }), ["example.net"], 3600)).toMatchSnapshot();
    });

    test.each([
        ["an MX leads to a host with addresses, and never to an alias", "example.com", "MX", ["10 mx.mail.example.com."]],
        ["bounces are an alias of the host, exactly", "fe-bounces.example.com", "CNAME", ["mail.example.com."]],
        [
            "the key that signs users' mail, in the form that the application compares",
            "fe-1._domainkey.example.com",
            "TXT",
            [`v=DKIM1; k=rsa; p=${key("A")}`],
        ],
        ["the key before it", "fe-0._domainkey.example.com", "TXT", [`v=DKIM1; k=rsa; p=${key("B")}`]],
        ["the system's next key, before it signs", "s2._domainkey.mail.example.com", "TXT", [`v=DKIM1; k=rsa; p=${key("D")}`]],
        [
            "DMARC without pct and with relaxed alignment",
            "_dmarc.example.org",
            "TXT",
            ["v=DMARC1; p=quarantine; rua=mailto:dmarc@example.org; adkim=r; aspf=r"],
        ],
        ["one SPF record at a mail domain", "example.com", "TXT", ["v=spf1 mx -all", "forward-email-site-verification=abc"]],
        ["the greeting's name", "mx.mail.example.com", "TXT", ["v=spf1 a -all"]],
        ["a name that sends nothing", "imap.mail.example.com", "TXT", ["v=spf1 -all"]],
        ["a name that takes nothing", "imap.mail.example.com", "MX", ["0 ."]],
        ["no CAA at the apex, where a web site is", "example.com", "CAA", []],
        ["CAA below the host is the host's", "mx.mail.example.com", "CAA", []],
        ["TLSA now and next, in a signed zone", "_25._tcp.mx.mail.example.com", "TLSA", [`3 1 1 ${"aa".repeat(32)}`, `3 1 1 ${"bb".repeat(32)}`]],
        ["port 587 is not looked for", "_submission._tcp.example.com", "SRV", ["0 0 0 ."]],
        ["submission", "_submissions._tcp.example.com", "SRV", ["0 1 465 smtp.mail.example.com."]],
    ])("%s", (_, name, type, expected) => expect(at({}, name, type)).toEqual(expected));

    test("CAA names authority, account and challenge, and refuses wildcards and S/MIME", () => {
        expect(at({}, "mail.example.com", "CAA")).toEqual([
            '0 issue "letsencrypt.org; accounturi=https://acme-v02.api.letsencrypt.org/acme/acct/1; validationmethods=http-01"',
            '0 issuewild ";"',
            '0 issuemail ";"',
            '0 iodef "mailto:hostmaster@example.com"',
        ]);
    });

    test("without a signed zone there is no TLSA record", () => expect(at({ signed: [] }, "_25._tcp.mx.mail.example.com", "TLSA")).toEqual([]));

    test("several servers that take mail have preferences and addresses of their own", () => {
        const exchangers = [PLAN.exchangers[0], { label: "mx2", ipv4: "192.0.2.8" }];
        expect(at({ exchangers }, "example.com", "MX")).toEqual(["10 mx.mail.example.com.", "20 mx2.mail.example.com."]);
        expect(at({ exchangers }, "mx2.mail.example.com", "A")).toEqual(["192.0.2.8"]);
        expect(at({ exchangers }, "mx2.mail.example.com", "TXT")).toEqual(["v=spf1 a -all"]);
    });

    test("reports to another domain of ours are welcome there, to a stranger's it is not ours to say", () => {
        const to = (reports: string) => records({ ...PLAN, dmarc: { policy: "none", reports } }).map(({ name }) => name);
        expect(to("d@example.com")).toContain("example.org._report._dmarc.example.com");
        expect(to("d@stranger.example").filter((name) => name.includes("_report"))).toEqual([]);
    });

    test("the policy's id changes with every part of the policy, and with nothing else", () => {
        const id = (mode: "testing" | "enforce", maxAge: number, mx: string) => policyId({ mode, maxAge }, [mx]);
        const ids = [id("testing", 86400, "mx.a"), id("enforce", 86400, "mx.a"), id("testing", 86401, "mx.a"), id("testing", 86400, "mx.b")];
        expect(new Set(ids).size).toBe(4);
        expect(id("testing", 86400, "mx.a")).toBe(ids[0]);
        for (const one of ids) expect(one).toMatch(/^[a-z0-9]{1,32}$/);
        expect(policyText({ mode: "enforce", maxAge: 86400 }, ["mx.a"])).toBe("version: STSv1\r\nmode: enforce\r\nmx: mx.a\r\nmax_age: 86400\r\n");
    });

    test("keys stay when values change", () => {
        const other = {
            ...PLAN,
            exchangers: [{ label: "mx", ipv4: "198.51.100.1", ipv6: "2001:db8::9" }],
            account: "x",
            tlsa: PLAN.tlsa.map(({ number }) => ({ number, publicKey: "x" })),
        };
        expect(records(other).map((record) => record.key)).toEqual(records(PLAN).map((record) => record.key));
    });

    test("the table tells people what each is for", () =>
        expect(recordTable(records(PLAN))).toMatch(/^fe-bounces\.example\.com +CNAME {2}mail\.example\.com\. {2}# where bounces/m));
});

describe("any settings", () => {
    const label = fc.stringMatching(/^[a-z][a-z0-9-]{0,10}[a-z0-9]$/);
    const domain = fc.tuple(label, fc.constantFrom("example", "test.example", "co.example")).map((parts) => parts.join("."));
    const plans: fc.Arbitrary<DnsPlan> = fc
        .record({
            domains: fc.uniqueArray(domain, { minLength: 1, maxLength: 4 }),
            host: fc.oneof(domain, fc.constant("mail.a.example")),
            profile: fc.constantFrom("full", "forwarding"),
            autoconfig: fc.boolean(),
            mtaSts: fc.option(
                fc.record({ mode: fc.constantFrom("none", "testing", "enforce"), maxAge: fc.integer({ min: 86400, max: 31_557_600 }) }),
                {
                    nil: undefined,
                },
            ),
            spf: fc.constantFrom("softfail", "fail"),
            known: fc.boolean(),
        })
        .map(({ known, ...rest }) => ({
            ...PLAN,
            ...(rest as Partial<DnsPlan>),
            zones: [...rest.domains, rest.host],
            signed: rest.domains,
            applicationDomains: known ? { [rest.domains[0]]: PLAN.applicationDomains["example.com"] } : {},
        }));
    const group = (all: DnsRecord[]) =>
        all.reduce<Record<string, DnsRecord[]>>((groups, record) => ({ ...groups, [record.name]: [...(groups[record.name] ?? []), record] }), {});

    test("no alias beside another record, one SPF of few look-ups, short strings: or the conflict is named", () => {
        fc.assert(
            fc.property(plans, (plan) => {
                const all = records(plan);
                const named = new Set(conflicts(all));
                for (const here of Object.values(group(all))) {
                    const spf = here.flatMap(({ data }) => (data.type === "TXT" && data.text.startsWith("v=spf1") ? [data.text] : []));
                    const aliased = here.some(({ data }) => data.type === "CNAME") && here.length > 1;
                    if (aliased || spf.length > 1) expect(named).toContain(here[0].name);
                    else
                        for (const text of spf)
                            expect(
                                text.split(" ").filter((term) => /^[-~+?]?(a|mx|include|exists|ptr|redirect)/.test(term)).length,
                            ).toBeLessThanOrEqual(10);
                }
                for (const { data } of all)
                    if (data.type === "TXT") {
                        expect(chunks(data.text).join("")).toBe(data.text);
                        for (const chunk of chunks(data.text)) expect(Buffer.byteLength(chunk)).toBeLessThanOrEqual(255);
                    }
            }),
        );
    });

    test("every name that the certificate needs has an address, and every record a zone", () => {
        fc.assert(
            fc.property(plans, (plan) => {
                const all = records(plan);
                const addressed = new Set(all.filter(({ data }) => data.type === "A").map(({ name }) => name));
                for (const name of [...publicNames(plan.host, plan.profile), ...policyNames(plan)]) expect(addressed).toContain(name);
                for (const { name } of all) expect(zoneOf(name, plan.zones), name).toBeDefined();
            }),
        );
    });

    test("CAA lets our account have every name of the certificate by its challenge, and nobody else any name of our own", () => {
        fc.assert(
            fc.property(plans, fc.constantFrom("http-01" as const, "dns-01" as const), fc.boolean(), (plan, challenge, wildcard) => {
                const all = records({ ...plan, caa: { ...PLAN.caa!, challenge, wildcard } });
                const lookup = (name: string) => all.filter((one) => one.name === name && one.data.type === "CAA").map(({ data }) => rdata(data));
                const us = { issuer: "letsencrypt.org", account: PLAN.account!, challenge };
                const others = [
                    { ...us, issuer: "other.example" },
                    { ...us, account: `${us.account}0` },
                    { ...us, challenge: challenge === "http-01" ? ("dns-01" as const) : ("http-01" as const) },
                ];
                for (const name of ownNames(plan)) {
                    expect(mayIssue(name, us, lookup), name).toBe(true);
                    // An apex, or a mail domain, may have a web site with an authority of its own.
                    const shared = [...plan.zones, ...plan.domains].includes(name) || (plan.zones.includes(plan.host) && plan.host === name);
                    for (const other of others) expect(mayIssue(name, other, lookup), name).toBe(shared);
                    expect(mayIssue(`*.${name}`, us, lookup), `*.${name}`).toBe(shared || wildcard);
                }
                for (const name of [...plan.domains, "www.test.example"])
                    for (const other of others) expect(mayIssue(name, other, lookup)).toBe(true);
            }),
        );
    });

    test("a domain that is a bounce name or a service's name is a conflict", () => {
        expect(conflicts(records({ ...PLAN, domains: ["example.com", "fe-bounces.example.com"] }))).toContain("fe-bounces.example.com");
        expect(conflicts(records(PLAN))).toEqual([]);
    });
});
