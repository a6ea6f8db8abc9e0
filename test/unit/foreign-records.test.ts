import { describe, expect, test } from "vitest";
import { Lookup, findForeignRecords } from "../../operate/foreignRecords";
import { readStackFile, settingsFrom } from "../../operate/stackFile";

const settings = settingsFrom("prod.example", readStackFile("prod.example").config ?? {}, { allowUnpinned: true });

type Zone = Record<string, { mx?: string[]; txt?: string[]; cname?: string[] }>;
const unknown = () => Promise.reject(new Error("ENOTFOUND"));
/** A resolver that knows these names only, and refuses all others, as a real one does. */
const dns = (zone: Zone): Lookup => ({
    resolveMx: (name: string) => (zone[name]?.mx ? Promise.resolve(zone[name].mx.map((exchange) => ({ exchange, priority: 10 }))) : unknown()),
    resolveTxt: (name: string) => (zone[name]?.txt ? Promise.resolve(zone[name].txt.map((text) => [text.slice(0, 5), text.slice(5)])) : unknown()),
    resolveCname: (name: string) => (zone[name]?.cname ? Promise.resolve(zone[name].cname) : unknown()),
});
const found = async (zone: Zone, written = "") =>
    (await findForeignRecords(settings, { zone: { x: written } }, dns(zone))).map(({ key, message }) => `${key}: ${message}`);

describe("records of others, before ours are written", () => {
    test.each<[string, Zone, RegExp]>([
        ["another MX", { "example.com": { mx: ["mx.other.net"] } }, /^example\.com: has the MX mx\.other\.net/],
        [
            "a second SPF record",
            { "example.com": { txt: ["v=spf1 include:other.net -all"] } },
            /^example\.com: has the record "v=spf1 include:other\.net -all"; two/,
        ],
        ["a second DMARC record", { "_dmarc.example.com": { txt: ["v=DMARC1; p=reject"] } }, /^_dmarc\.example\.com: has the record/],
        ["an alias", { "mx.mail.example.com": { cname: ["other.net"] } }, /^mx\.mail\.example\.com: is an alias of other\.net/],
    ])("%s is named", async (_, zone, expected) => {
        const all = await found(zone);
        expect(all).toHaveLength(1);
        expect(all[0]).toMatch(expected);
    });

    test("ours, texts of another kind, and what an earlier up wrote are none", async () => {
        const ours = { mx: ["mx.mail.example.com"], txt: ["v=spf1 mx ~all", "google-site-verification=x"] };
        expect(
            await found({ "example.com": ours, "imap.mail.example.com": { mx: [""] }, "fe-bounces.example.com": { cname: ["mail.example.com"] } }),
        ).toEqual([]);
        const before = { "example.com": { mx: ["mx.old.example.com"], txt: ["v=spf1 mx -all"] } };
        expect(await found(before, 'example.com. 300 IN MX 10 mx.old.example.com.\nexample.com. 300 IN TXT "v=spf1 mx -all"')).toEqual([]);
    });
});
