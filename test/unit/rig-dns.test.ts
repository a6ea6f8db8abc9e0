import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { Server, type UntypedServiceImplementation } from "@grpc/grpc-js";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { accountIn } from "../rig/aws/account";
import { awsConsole } from "../rig/aws/console";
import { awsProvider } from "../rig/aws/resources";
import { accountFile, readAccount } from "../rig/cloudflare/account";
import { cloudflareConsole } from "../rig/cloudflare/console";
import { cloudflareProvider } from "../rig/cloudflare/resource";
import type { RigHost } from "../rig/host";
import { inFile } from "../rig/providers/account";
import { onConfigure } from "../rig/providers/configuration";

type Props = Record<string, unknown>;
type Provider = ReturnType<typeof cloudflareProvider>;

const directory = mkdtempSync(path.join(tmpdir(), "dns-"));
const long = "x".repeat(256);
afterAll(() => rmSync(directory, { recursive: true }));

/** What the engine does with resources of one type. */
function driver(provider: Provider, type: string) {
    const urn = `urn:pulumi:dev::project::component:index:Parent$${type}::main`;
    const checked = async (news: Props) => {
        const { failures } = await provider.check(urn, {}, news);
        if (failures.length > 0) throw new Error(failures.map(({ reason }) => reason).join("\n"));
    };
    return {
        async make(news: Props) {
            await checked(news);
            return provider.create(urn, news);
        },
        async update({ id, outs }: { id: string; outs: Props }, news: Props) {
            await checked(news);
            return { id, ...(await provider.update(id, urn, outs, news)) };
        },
        diff: ({ id, outs }: { id: string; outs: Props }, news: Props) => provider.diff(id, urn, outs, news),
        read: ({ id, outs }: { id: string; outs: Props }) => provider.read(id, urn, outs),
        remove: ({ id, outs }: { id: string; outs: Props }) => provider.delete(id, urn, outs),
    };
}

describe("cloudflare", () => {
    const cloudflare = cloudflareConsole({ directory });
    let token: string | undefined;
    let zoneId: string;
    const withAccount = inFile(accountFile(directory), readAccount);
    const records = driver(cloudflareProvider({ withAccount, token: () => token }), "cloudflare:index/dnsRecord:DnsRecord");
    const of = (type: string, more: Props): Props => ({ zoneId, name: "mail.example.com", type, ttl: 300, ...more });
    const a = (more: Props = {}) => of("A", { content: "192.0.2.1", ...more });
    const srv = { priority: 0, weight: 1, port: 465, target: "smtp.example.com" };
    const tlsa = { usage: 3, selector: 1, matchingType: 1, certificate: "ab" };

    beforeEach(async () => {
        cloudflare.reset();
        token = cloudflare.account().token;
        zoneId = await cloudflare.addZone("example.com");
    });

    // Each row catches a program that sends what the row has, and a stand-in that lets it pass.
    test.each<[string, () => Props, string]>([
        ["a TTL below the least", () => a({ ttl: 59 }), '"code":9021,"message":"TTL must be between 60 and 86400 seconds, or 1 for Automatic."'],
        ["a TTL above the most", () => a({ ttl: 86401 }), '"code":9021'],
        ["no TTL", () => a({ ttl: undefined }), "Missing required property 'ttl'"],
        ["a type it does not know", () => of("SPF", { content: '"x"' }), "value must be one of"],
        ["an input it does not implement", () => a({ tags: ["owner:me"] }), "the input tags is not available"],
        ["a name with a space", () => a({ name: "a b.example.com" }), '"code":9000,"message":"DNS name is invalid."'],
        ["a relative name", () => a({ name: "mail" }), "mail is not in example.com"],
        ["the apex by its sign", () => a({ name: "@" }), 'it keeps "@" as the name of the zone'],
        ["a name of another zone", () => a({ name: "notexample.com" }), "notexample.com is not in example.com"],
        ["an upper-case name", () => a({ name: "Mail.example.com" }), 'it keeps the name "Mail.example.com" as "mail.example.com"'],
        ["a name with a final dot", () => a({ name: "mail.example.com." }), "it keeps the name"],
        ["no IPv4 address", () => a({ content: "::1" }), '"code":9005'],
        ["no IPv6 address", () => of("AAAA", { content: "192.0.2.1" }), '"code":9006'],
        [
            "an IPv6 address that can be shorter",
            () => of("AAAA", { content: "2001:db8:0::1" }),
            'it keeps the content "2001:db8:0::1" as "2001:db8::1"',
        ],
        ["an alias with a final dot", () => of("CNAME", { content: "example.com." }), "it keeps the content"],
        ["an alias of an address", () => of("CNAME", { content: "exa mple" }), '"code":9007'],
        ["a proxied text", () => of("TXT", { content: '"x"', proxied: true, ttl: 1 }), '"code":9004,"message":"This record type cannot be proxied."'],
        ["a proxied record with a TTL", () => a({ proxied: true }), "ttl must be set to 1"],
        ["a long comment", () => a({ comment: "x".repeat(101) }), "100 characters at most"],
        ["a text without quotes", () => of("TXT", { content: "v=spf1 -all" }), "must be in quotation marks"],
        ["a text with a quote too few", () => of("TXT", { content: '"v=spf1" -all"' }), "must be in quotation marks"],
        ["a long string", () => of("TXT", { content: `"${long}"` }), "a string of 256 bytes is split after 255"],
        [
            "a long text",
            () =>
                of("TXT", {
                    content: Array(9)
                        .fill(`"${long.slice(1)}"`)
                        .join(" "),
                }),
            "2048 characters at most, not 2295",
        ],
        ["an MX without priority", () => of("MX", { content: "mx.example.com" }), '"code":9100,"message":"priority is a required field."'],
        ["an MX without content", () => of("MX", { priority: 10 }), "content is a required field."],
        [
            "an SRV as text",
            () => of("SRV", { content: "1 465 smtp.example.com", priority: 0 }),
            '"code":9101,"message":"priority is a required data field."',
        ],
        ["a CAA as text", () => of("CAA", { content: '0 issue ";"' }), "flags is a required data field."],
        ["a CAA without value", () => of("CAA", { data: { flags: 0, tag: "issue" } }), "value is a required data field."],
        ["a TLSA without a field", () => of("TLSA", { data: { ...tlsa, matchingType: undefined } }), "matching_type is a required data field."],
        ["text and fields", () => of("CAA", { content: "x", data: { flags: 0, tag: "issue", value: ";" } }), "Invalid Attribute Combination"],
        ["an SRV without its priority beside data", () => of("SRV", { data: srv }), "it has the priority 0 beside data, too"],
        ["an SRV with another priority beside data", () => of("SRV", { data: srv, priority: 1 }), "it has the priority 0 beside data, too"],
        ["an SRV whose target ends with a dot", () => of("SRV", { data: { ...srv, target: "a.example.com." }, priority: 0 }), "it keeps the content"],
        [
            "an id that is none",
            () => a({ zoneId: "example.com" }),
            '"code":7003,"message":"Could not route to /client/v4/zones/example.com/dns_records',
        ],
        ["a zone of somebody else", () => a({ zoneId: "0".repeat(32) }), '"code":1001,"message":"Invalid zone identifier"'],
    ])("refuses %s", async (_what, news, message) => {
        await expect(records.make(news())).rejects.toThrow(message);
        expect(cloudflare.account().records).toEqual({});
    });

    test.each([[undefined], [""], ["another"]])("refuses the token %o for every request", async (wrong) => {
        const made = await records.make(a());
        token = wrong;
        const message = '403 Forbidden {"result":null,"success":false,"errors":[{"code":10000,"message":"Authentication error"}]';
        await expect(records.make(a({ content: "192.0.2.2" }))).rejects.toThrow(message);
        await expect(records.read(made)).rejects.toThrow(message);
        await expect(records.update(made, a({ ttl: 60 }))).rejects.toThrow(message);
        await expect(records.remove(made)).rejects.toThrow(message);
        expect(Object.values(cloudflare.account().records)).toMatchObject([{ ttl: 300 }]);
    });

    // Catches a stand-in that compares too little or too much, and a program that takes a name which a stranger has.
    test("refuses what does not go beside other records, a stranger's too, when made and when changed", async () => {
        await cloudflare.addRecord(a() as never);
        await expect(records.make(a({ ttl: 60 }))).rejects.toThrow('{"code":81058,"message":"An identical record already exists."}');
        const second = await records.make(a({ content: "192.0.2.2" }));
        await expect(records.update(second, a())).rejects.toThrow("81058");
        await records.update(second, a({ content: "192.0.2.2", ttl: 60 })); // itself is no other
        await expect(records.make(of("CNAME", { content: "example.com" }))).rejects.toThrow(
            '{"code":81053,"message":"An A, AAAA, or CNAME record with that host already exists."}',
        );
        await records.make(of("CNAME", { content: "example.com", name: "www.example.com" }));
        await expect(records.make(a({ name: "www.example.com" }))).rejects.toThrow(
            '{"code":81054,"message":"A CNAME record with that host already exists."}',
        );
        await expect(records.make(of("TXT", { content: '"x"', name: "www.example.com" }))).rejects.toThrow("an alias is alone at its name");
        await expect(records.update(second, a({ name: "www.example.com" }))).rejects.toThrow("81054");
        await records.make(of("TXT", { content: '"x"', name: "alias.example.com" }));
        await expect(records.make(of("CNAME", { content: "example.com", name: "alias.example.com" }))).rejects.toThrow("an alias is alone");
        const other = await cloudflare.addZone("example.org");
        await cloudflare.addRecord({ zoneId: other, name: "mail.example.com", type: "CNAME", content: "x.example.com" });
        await records.make(of("MX", { content: "a.example.com", priority: 10 }));
        await records.make(of("MX", { content: "b.example.com", priority: 10 }));
    });

    // Catches a diff that replaces what can be changed, or sees a change in what the API chose.
    test("changes in place, but for the zone and the type", async () => {
        const args = of("SRV", { data: srv, priority: 0, comment: "smtp" });
        const made = await records.make(args);
        expect(made.outs).toMatchObject({ content: "1 465 smtp.example.com", proxied: false });
        expect(await records.diff(made, args)).toEqual({ changes: false, replaces: [] });
        for (const key of ["name", "ttl", "data", "priority", "comment", "proxied"])
            expect(await records.diff(made, { ...args, [key]: "other" }), key).toEqual({ changes: true, replaces: [] });
        for (const key of ["zoneId", "type"]) expect((await records.diff(made, { ...args, [key]: "other" })).replaces).toEqual([key]);
        const updated = await records.update(made, { ...args, data: { ...srv, port: 466 }, comment: undefined });
        expect(updated.outs.content).toBe("1 466 smtp.example.com");
        expect(cloudflare.account().records[made.id]).toEqual({
            ...args,
            data: { ...srv, port: 466 },
            content: "1 466 smtp.example.com",
            proxied: false,
            comment: undefined,
        });
    });

    // Catches a refresh that answers from the state instead of the account.
    test("a refresh finds what others changed, and what they deleted", async () => {
        const args = a({ comment: "mine" });
        const made = await records.make(args);
        expect((await records.read(made)).props).toEqual(made.outs);
        await cloudflare.change(({ records: rows }) => {
            rows[made.id].content = "203.0.113.9";
            delete rows[made.id].comment;
        });
        const { props } = await records.read(made);
        expect(props).toEqual({ ...args, content: "203.0.113.9", proxied: false, comment: undefined });
        expect("comment" in props).toBe(false);
        expect((await records.diff({ id: made.id, outs: props }, args)).changes).toBe(true);
        await records.remove(made);
        expect(await records.read(made)).toEqual({ id: "", props: {} });
        const gone = '404 Not Found {"result":null,"success":false,"errors":[{"code":81044,"message":"Record does not exist."}]';
        await expect(records.remove(made)).rejects.toThrow(gone);
        await expect(records.update(made, args)).rejects.toThrow(gone);
    });

    // Catches a list of calls without those that were refused.
    test("every request is counted", async () => {
        const made = await records.make(a());
        await expect(records.make(a())).rejects.toThrow();
        await expect(records.make(a({ ttl: 2 }))).rejects.toThrow();
        await records.read(made);
        await records.remove(made);
        const all = `zones/${zoneId}/dns_records`;
        expect(cloudflare.account().calls).toEqual([
            { method: "POST", path: all, record: "mail.example.com A" },
            { method: "POST", path: all, record: "mail.example.com A", code: 81058 },
            { method: "POST", path: all, record: "mail.example.com A", code: 9021 },
            { method: "GET", path: `${all}/${made.id}` },
            { method: "DELETE", path: `${all}/${made.id}` },
        ]);
    });

    // Catches names that a server would take as relative, and texts that it would read otherwise.
    test("the zone text has the records of its zone only", async () => {
        const other = await cloudflare.addZone("example.org");
        await cloudflare.addRecord({ zoneId: other, name: "example.org", type: "A", content: "192.0.2.9" });
        await cloudflare.addRecord({ zoneId, name: "old.example.com", type: "TXT", content: 'un"quoted' });
        await records.make(a({ ttl: 1 }));
        await records.make(of("MX", { content: "mail.example.com", priority: 10, name: "example.com" }));
        await records.make(of("MX", { content: ".", priority: 0 }));
        await records.make(of("TXT", { content: String.raw`"v=DKIM1; p=a" "b\"\\\195\164"` }));
        await records.make(of("SRV", { data: { ...srv, target: "." }, priority: 0, name: "_imap._tcp.example.com" }));
        await records.make(of("SRV", { data: srv, priority: 0, name: "_submissions._tcp.example.com" }));
        await records.make(of("CAA", { data: { flags: 0, tag: "issue", value: ";" } }));
        await records.make(of("TLSA", { data: tlsa, name: "_25._tcp.mail.example.com" }));
        await records.make(of("CNAME", { content: "mail.example.com", name: "www.example.com" }));
        expect(cloudflare.zoneText("example.com").replaceAll("\t", " ").split("\n")).toEqual([
            "_25._tcp.mail.example.com. 300 IN TLSA 3 1 1 ab",
            "_imap._tcp.example.com. 300 IN SRV 0 1 465 .",
            "_submissions._tcp.example.com. 300 IN SRV 0 1 465 smtp.example.com.",
            "example.com. 300 IN MX 10 mail.example.com.",
            "mail.example.com. 300 IN A 192.0.2.1",
            'mail.example.com. 300 IN CAA 0 issue ";"',
            "mail.example.com. 300 IN MX 0 .",
            String.raw`mail.example.com. 300 IN TXT "v=DKIM1; p=a" "b\"\\\195\164"`,
            String.raw`old.example.com. 300 IN TXT "un\"quoted"`,
            "www.example.com. 300 IN CNAME mail.example.com.",
            "",
        ]);
        expect(cloudflare.zoneText("example.org")).toBe("example.org.\t300\tIN\tA\t192.0.2.9\n");
    });

    // Catches a token that never reaches the stand-in, or an engine that waits for an answer in vain.
    test("a provider resource's configuration is handed over, and still answered", () => {
        const original = Server.prototype.addService;
        let added: UntypedServiceImplementation = {};
        Server.prototype.addService = (_service, implementation) => void (added = implementation);
        try {
            let config = {};
            onConfigure((given) => (config = given));
            const answered: unknown[] = [];
            const configure = (...args: unknown[]) => void answered.push(args);
            Server.prototype.addService({}, { configure, check: configure } as never);
            const call = { request: { getVariablesMap: () => new Map([["cloudflare:config:apiToken", "t"]]) } };
            (added.configure as typeof configure)(call, "callback");
            expect([config, answered]).toEqual([{ apiToken: "t" }, [[call, "callback"]]]);
            expect(added.check).toBe(configure);
        } finally {
            Server.prototype.addService = original;
        }
    });
});

describe("route 53", () => {
    const unused = () => Promise.reject(new Error("DNS needs no servers"));
    const aws = awsConsole({ host: {} as RigHost, directory }, () => {});
    const withAccount = accountIn(path.join(directory, "aws", "account.json"));
    const records = driver(awsProvider({ withAccount, hardware: unused }), "aws:route53/record:Record");
    let zoneId: string;
    const of = (type: string, values: string[], more: Props = {}): Props => ({
        zoneId,
        name: "mail.example.com",
        type,
        ttl: 300,
        records: values,
        ...more,
    });
    const refused = (message: string) => `InvalidChangeBatch: [${message}]`;
    const wrong = (message: string) => refused(`Invalid Resource Record: 'FATAL problem: ${message}'`);

    beforeEach(async () => {
        rmSync(path.join(directory, "aws"), { recursive: true, force: true });
        zoneId = await aws.createHostedZone("example.com");
    });

    // Each row catches a program that sends what the row has, and a stand-in that lets it pass.
    test.each<[string, () => Props, string]>([
        [
            "no TTL",
            () => of("A", ["192.0.2.1"], { ttl: undefined }),
            "InvalidInput: Invalid request: Expected exactly one of [AliasTarget, all of [TTL,",
        ],
        ["no records", () => of("A", [], { records: undefined }), "Missing required property 'records'"],
        ["an alias target", () => of("A", [], { aliases: [] }), "the input aliases is not available"],
        ["a type it does not know", () => of("URI", ["x"]), "value must be one of"],
        ["a zone that is not there", () => of("A", ["192.0.2.1"], { zoneId: "Z1" }), "NoSuchHostedZone: No hosted zone found with ID: Z1"],
        ["a relative name", () => of("A", ["192.0.2.1"], { name: "mail" }), "the real one would make mail.example.com of mail"],
        [
            "a name that only looks like the zone's",
            () => of("A", ["192.0.2.1"], { name: "notexample.com" }),
            refused("RRSet with DNS name notexample.com. is not permitted in zone example.com."),
        ],
        ["no IPv4 address", () => of("A", ["x"]), wrong("ARRDATAIllegalIPv4Address (Value is not a valid IPv4 address) encountered with 'x'")],
        ["no IPv6 address", () => of("AAAA", ["192.0.2.1"]), "Value is not a valid IPv6 address"],
        ["an MX without preference", () => of("MX", ["mx.example.com"]), "'mx.example.com' is no value of type MX"],
        ["an SRV without port", () => of("SRV", ["0 1 mx.example.com"]), "is no value of type SRV"],
        ["a TLSA of no hexadecimal digits", () => of("TLSA", ["3 1 1 xyz"]), "is no value of type TLSA"],
        ["a CAA without quotes", () => of("CAA", ["0 issue ;"]), "is no value of type CAA"],
        ["a long string", () => of("TXT", [long]), wrong(`CharacterStringTooLong (Value is too long) encountered with '"${long}"'`)],
        ["a long text", () => of("TXT", [Array(16).fill(long.slice(1)).join('""')]), "CharacterStringTooLong"],
        [
            "a text that is quoted already",
            () => of("TXT", ['"v=spf1 -all"']),
            wrong(`InvalidCharacterString (Value should be enclosed in quotation marks) encountered with '""v=spf1 -all""'`),
        ],
        ["a text beyond ASCII", () => of("TXT", ["ä"]), "UnsupportedCharacter"],
        [
            "an alias at the apex",
            () => of("CNAME", ["mail.example.com"], { name: "example.com" }),
            refused("RRSet of type CNAME with DNS name example.com. is not permitted at apex in zone example.com."),
        ],
    ])("refuses %s", async (_what, news, message) => {
        await expect(records.make(news())).rejects.toThrow(message);
        expect(aws.account().recordSets).toEqual({});
    });

    // Catches a program that overwrites a stranger's set, and a stand-in that keeps half of a batch.
    test("refuses what does not go beside other sets, a stranger's too", async () => {
        await aws.putRecordSet({ zoneId, name: "mail.example.com", type: "TXT", ttl: 60, records: ['"a stranger\'s"'] });
        await expect(records.make(of("TXT", ["mine"], { name: "MAIL.example.com." }))).rejects.toThrow(
            refused("Tried to create resource record set [name='mail.example.com.', type='TXT'] but it already exists"),
        );
        await expect(records.make(of("CNAME", ["example.com"]))).rejects.toThrow(
            refused(
                "RRSet of type CNAME with DNS name mail.example.com. is not permitted as it conflicts with other records with the same DNS name in zone example.com.",
            ),
        );
        const alias = await records.make(of("CNAME", ["example.com"], { name: "www.example.com" }));
        await expect(records.make(of("A", ["192.0.2.1"], { name: "www.example.com" }))).rejects.toThrow(
            refused(
                "RRSet of type A with DNS name www.example.com. is not permitted because a conflicting RRSet of type CNAME with the same DNS name already exists in zone example.com.",
            ),
        );
        await expect(records.update(alias, of("A", ["x"], { name: "www.example.com" }))).rejects.toThrow("not a valid IPv4 address");
        expect(Object.values(aws.account().recordSets).map(({ type }) => type)).toEqual(["TXT", "CNAME"]);
        await records.update(alias, of("A", ["192.0.2.1"], { name: "www.example.com" }));
        expect(Object.values(aws.account().recordSets).map(({ type }) => type)).toEqual(["TXT", "A"]);
        await records.make(of("TXT", ["mine", "a stranger's"], { allowOverwrite: true }));
        expect(aws.account().recordSets[`${zoneId}_mail.example.com_TXT`].records).toEqual(['"mine"', `"a stranger's"`]);
    });

    // Catches a diff that sees a change in the order, in repeats or in the case of a name, and outputs other than the provider's.
    test("names and sets are normalised, and a changed name or zone replaces", async () => {
        const args = of("TXT", ["b", "a", "b"], { name: "Mail.Example.com." });
        const made = await records.make(args);
        expect(made).toMatchObject({ id: `${zoneId}_mail.example.com_TXT`, outs: { name: "mail.example.com", fqdn: "mail.example.com" } });
        const same = of("TXT", ["a", "b"]);
        expect(await records.diff(made, same)).toEqual({ changes: false, replaces: [] });
        expect(await records.diff(made, of("TXT", ["a", "c"], { ttl: 60 }))).toEqual({ changes: true, replaces: [] });
        expect((await records.diff(made, { ...same, name: "www.example.com" })).replaces).toEqual(["name"]);
        expect((await records.diff(made, { ...same, zoneId: "Z2" })).replaces).toEqual(["zoneId"]);
        await records.update(made, of("TXT", ["a"]));
        expect(aws.account().recordSets[made.id].records).toEqual(['"a"']);
    });

    // Catches a refresh that answers from the state, and a delete that leaves a stranger's values, or fails where nothing is left.
    test("a refresh finds what others changed; a delete takes the whole set", async () => {
        const args = of("TXT", ["one", `${long.slice(1)}""two`]);
        const made = await records.make(args);
        expect((await records.read(made)).props).toEqual(made.outs);
        await aws.putRecordSet({ zoneId, name: "mail.example.com", type: "TXT", ttl: 60, records: ['"one"', '"a" "b"'] });
        const { props } = await records.read(made);
        expect(props).toMatchObject({ ttl: 60, records: ["one", 'a" "b'] });
        expect((await records.diff({ id: made.id, outs: props }, args)).changes).toBe(true);
        await records.remove(made);
        expect(aws.account().recordSets).toEqual({});
        expect(await records.read(made)).toEqual({ id: "", props: {} });
        await records.remove(made);
    });

    // Catches names that a server would take as relative, and octal bytes that it would take as decimal.
    test("the zone text has a line for each value of the zone", async () => {
        const other = await aws.createHostedZone("example.org");
        await records.make(of("A", ["192.0.2.9"], { name: "example.org", zoneId: other }));
        await records.make(of("TXT", ["v=spf1 -all", String.raw`v=DKIM1; p=a""b\"\303\244`]));
        await records.make(of("MX", ["10 a.example.com", "0 ."]));
        await records.make(of("SRV", ["0 0 0 ."], { name: "_imap._tcp.example.com" }));
        await records.make(of("CAA", ['0 issue "ca.example"']));
        expect(aws.zoneText("example.com").replaceAll("\t", " ").split("\n")).toEqual([
            "_imap._tcp.example.com. 300 IN SRV 0 0 0 .",
            'mail.example.com. 300 IN CAA 0 issue "ca.example"',
            "mail.example.com. 300 IN MX 0 .",
            "mail.example.com. 300 IN MX 10 a.example.com.",
            String.raw`mail.example.com. 300 IN TXT "v=DKIM1; p=a" "b\"\195\164"`,
            'mail.example.com. 300 IN TXT "v=spf1 -all"',
            "",
        ]);
        expect(aws.zoneText("example.org")).toBe("example.org.\t300\tIN\tA\t192.0.2.9\n");
    });
});
