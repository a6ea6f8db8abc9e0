import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { domainRecords } from "../../components/settings/dnsSchema";
import { Records, StoredDomain, bitsOf, foundDomains, isDifferent, mergeDomains, recordsAfter } from "../../operate/domainRecords";
import { inMongo } from "../../operate/database";
import { QUERY } from "../../operate/domains";
import { report } from "../../operate/domainsReport";
import { FOURTH, KEY, OTHER, THIRD, makeKey, old, record } from "../fixtures/domainKeys";

const SHORT = makeKey(1024);

const stored = (name: string, more: Partial<StoredDomain> = {}): StoredDomain => ({
    name,
    dkim_key_selector: "fe-0123456789",
    dkim_public_key: { $binary: { base64: KEY } },
    return_path: "fe-bounces",
    verification_record: "a1b2c3",
    ...more,
});
const found = (domains: Records) => ({ domains, problems: {} });

describe("the application's domains", () => {
    test("become records, with names in ASCII form", () => {
        expect(foundDomains([stored("example.com"), stored("bücher.example")])).toEqual(
            found({ "example.com": record(), "xn--bcher-kva.example": record() }),
        );
    });

    test("have the return path that the application defaults to, and no code where there is none", () => {
        const { domains } = foundDomains([stored("example.com", { return_path: undefined, verification_record: undefined })]);
        expect(domains).toEqual({ "example.com": record({ verification: undefined }) });
        expect(Object.keys(domains["example.com"])).not.toContain("verification"); // undefined would be a difference
    });

    test.each<[string, StoredDomain[], RegExp]>([
        ["without a key yet", [stored("example.com", { dkim_public_key: undefined })], /^publicKey: wanted a public key$/],
        ["with a key that is none", [stored("example.com", { dkim_public_key: { $binary: { base64: "A".repeat(120) } } })], /wanted an RSA key/],
        ["with a selector of another form", [stored("example.com", { dkim_key_selector: "Fe 1" })], /^selector: wanted a DKIM selector/],
        ["twice", [stored("example.com"), stored("example.com")], /more than once/],
        ["three times", [stored("example.com"), stored("example.com"), stored("example.com")], /more than once/],
    ])("%s are a problem of that domain only", (_, domains, problem) => {
        const all = foundDomains([...domains, stored("example.net")]);
        expect(all.problems).toEqual({ "example.com": expect.stringMatching(problem) });
        expect(Object.keys(all.domains)).toEqual(["example.net"]);
    });

    test("named by an address have no records", () => expect(foundDomains([stored("192.0.2.1")]).problems["192.0.2.1"]).toMatch(/no name/));

    test("are asked for without their private keys, and without the password in the command", () => {
        expect(QUERY).not.toMatch(/private/);
        expect(inMongo("db-1", QUERY).at(-1)).toContain("process.env");
    });
});

describe("merging", () => {
    const kinds = (...args: Parameters<typeof mergeDomains>) => Object.fromEntries(mergeDomains(...args).map(({ name, kind }) => [name, kind]));

    test("tells what is new, changed, same and gone; one that is gone stays without --prune", () => {
        const configured = { "b.example": record(), "c.example": record({ returnPath: "bounces" }), "d.example": record() };
        const changes = mergeDomains(found({ "a.example": record(), "b.example": record(), "c.example": record() }), configured);
        expect(changes.map(({ name, kind }) => `${name} ${kind}`)).toEqual([
            "a.example new",
            "b.example same",
            "c.example changed",
            "d.example gone",
        ]);
        expect(recordsAfter(changes)).toEqual({ "a.example": record(), "b.example": record(), "c.example": record(), "d.example": record() });
        const pruned = mergeDomains(found({ "b.example": record() }), { "b.example": record(), "d.example": record() }, true);
        expect(recordsAfter(pruned)).toEqual({ "b.example": record() });
        expect(pruned.find(({ name }) => name === "d.example")!.removed).toEqual([old("fe-0123456789", KEY)]);
    });

    test("a key that was replaced becomes the first previous one; of three, the oldest goes, and is named", () => {
        const before = record({ selector: "two", publicKey: OTHER, previous: [old("one", THIRD), old("zero", FOURTH)] });
        const [change] = mergeDomains(found({ "example.com": record() }), { "example.com": before });
        expect(change.after!.previous).toEqual([old("two", OTHER), old("one", THIRD)]);
        expect(change.removed).toEqual([old("zero", FOURTH)]);
    });

    test("an old key never stays under the selector of the new one: there would be two records", () => {
        const [change] = mergeDomains(found({ "example.com": record() }), { "example.com": record({ publicKey: OTHER }) });
        expect(change).toMatchObject({ kind: "changed", after: { previous: [] }, removed: [old("fe-0123456789")] });
        const [back] = mergeDomains(found({ "example.com": record() }), {
            "example.com": record({ selector: "two", publicKey: OTHER, previous: [old("fe-0123456789", KEY)] }),
        });
        expect(back.after!.previous).toEqual([old("two")]);
    });

    test("--prune removes the previous keys that the config has, not the one that is being replaced", () => {
        const [same] = mergeDomains(found({ "example.com": record() }), { "example.com": record({ previous: [old("one")] }) }, true);
        expect(same).toMatchObject({ kind: "same", after: { previous: [] }, removed: [old("one")] });
        const [rotated] = mergeDomains(
            found({ "example.com": record() }),
            { "example.com": record({ ...old("two"), previous: [old("one", THIRD)] }) },
            true,
        );
        expect(rotated.after!.previous).toEqual([old("two")]);
    });

    test("what the application has in an unusable form stays as the config has it, with --prune too", () => {
        const changes = mergeDomains({ domains: {}, problems: { "example.com": "no key" } }, { "example.com": record() }, true);
        expect(recordsAfter(changes)).toEqual({ "example.com": record() });
        expect(kinds({ domains: {}, problems: { "example.com": "no key" } }, {})).toEqual({ "example.com": "unusable" });
    });

    test("--check finds a difference in every kind but same, and in what --prune would remove", () => {
        const differs = (domains: Records, configured: Records, prune = false) =>
            isDifferent(mergeDomains(found(domains), configured, prune), configured);
        const withOld = { "example.com": record({ previous: [old("one")] }) };
        expect(differs({ "example.com": record() }, withOld)).toBe(false);
        expect(differs({ "example.com": record() }, withOld, true)).toBe(true);
        expect(differs({ "example.com": record({ publicKey: THIRD }) }, withOld)).toBe(true);
        expect(differs({ "example.com": record() }, {})).toBe(true);
        expect(differs({}, withOld)).toBe(true);
        expect(isDifferent(mergeDomains({ domains: {}, problems: { "example.com": "no key" } }, {}), {})).toBe(true);
    });
});

describe("merging, for any domains", () => {
    const selector = fc.constantFrom("one", "two", "three", "four");
    const key = fc.record({ selector, publicKey: fc.constantFrom(KEY, OTHER, THIRD, FOURTH) });
    const domain = fc.record({ key, previous: fc.uniqueArray(key, { maxLength: 2, selector: (one) => one.selector }) });
    const records = fc.dictionary(
        fc.constantFrom("a.example", "b.example", "c.example"),
        domain.map(({ key, previous }) => record({ ...key, previous })),
    );
    const application = records.map((all) => Object.fromEntries(Object.entries(all).map(([name, one]) => [name, { ...one, previous: [] }])));

    test("the config takes the result, no selector has two keys, and a second run finds nothing to do", () => {
        fc.assert(
            fc.property(application, records, fc.boolean(), (domains, configured, prune) => {
                const after = recordsAfter(mergeDomains(found(domains), configured, prune));
                expect(domainRecords.parse(after)).toEqual(after);
                for (const name of Object.keys(domains)) {
                    const selectors = [after[name].selector, ...after[name].previous.map((one) => one.selector)];
                    expect(new Set(selectors).size).toBe(selectors.length);
                    expect(selectors.length).toBeLessThanOrEqual(3);
                }
                expect(recordsAfter(mergeDomains(found(domains), after))).toEqual(after);
            }),
        );
    });

    test("every key of the config stays, or is named as removed; with --prune nothing that is gone stays", () => {
        const keys = (of: Records) =>
            Object.entries(of).flatMap(([name, one]) => [one, ...one.previous].map((key) => `${name} ${key.selector} ${key.publicKey}`));
        fc.assert(
            fc.property(application, records, fc.boolean(), (domains, configured, prune) => {
                const changes = mergeDomains(found(domains), configured, prune);
                const kept = new Set(keys(recordsAfter(changes)));
                const removed = changes.flatMap(({ name, removed }) => removed.map((key) => `${name} ${key.selector} ${key.publicKey}`));
                expect(new Set(removed)).toEqual(new Set(keys(configured).filter((key) => !kept.has(key))));
                if (prune) expect(Object.keys(recordsAfter(changes)).sort()).toEqual(Object.keys(domains).sort());
            }),
        );
    });
});

describe("the report", () => {
    const settings = { domains: ["example.com"], host: "mail.example.com" };
    const text = (...args: Parameters<typeof mergeDomains>) => report(mergeDomains(...args), settings).join("\n");

    test("is a block a domain, with what it was", () => {
        const end = (publicKey: string) => publicKey.slice(-24);
        const before = record({ ...old("fe-old"), verification: undefined });
        expect(text(found({ "example.com": record() }), { "example.com": before })).toBe(`example.com  changed in the application
  selector      fe-0123456789   (was: fe-old)
  public key    2048 bits, ends in ${end(KEY)}   (was: 2048 bits, ends in ${end(OTHER)})
  return path   fe-bounces
  verification  a1b2c3   (was: none)
  previous      fe-old, ends in ${end(OTHER)}
`);
    });

    test("has colours on a terminal only", () => {
        const changes = mergeDomains(found({ "example.com": record() }), {});
        expect(report(changes, settings).join()).not.toContain("\x1b");
        expect(report(changes, settings, true).join()).toContain("\x1b[32m");
    });

    test.each<[string, string, RegExp]>([
        ["1024 bits", text(found({ "example.com": record({ publicKey: SHORT }) }), {}), /1024 bits, .*RFC 8301.*\n {2}fix: .*2048/],
        [
            "a domain that is not in domains",
            text(found({ "example.com": record(), "example.net": record() }), {}),
            /example\.net {2}new[^]*domains.*\n {2}fix: add it to domains/,
        ],
        [
            "a domain that the application lacks",
            text(found({}), {}),
            /^example\.com {2}not in the application\n.*warning: .*\n {2}fix: add it in the web interface/,
        ],
        [
            "a domain that is gone",
            text(found({ "example.com": record() }), { "example.com": record(), "example.net": record() }),
            /example\.net {2}gone[^]*fix: --prune/,
        ],
        [
            "the selector of another key",
            text(found({ "example.com": record() }), { "example.com": record({ publicKey: OTHER }) }),
            /removed .*\n.*warning: .*selector/,
        ],
        [
            "an unusable form",
            text({ domains: {}, problems: { "example.com": "publicKey: wanted a key" } }, {}),
            /warning: publicKey: wanted a key\n {2}fix: save/,
        ],
    ])("warns of %s, with the fix", (_, said, wanted) => expect(said).toMatch(wanted));

    test("warns of nothing where all is right, and the host need not be in domains", () => {
        const all = { "example.com": record(), "mail.example.com": record() };
        expect(text(found(all), all)).not.toMatch(/warning|fix/);
    });

    test("of a key tells its length", () => expect([KEY, SHORT, "AAAA"].map(bitsOf)).toEqual([2048, 1024, undefined]));
});
