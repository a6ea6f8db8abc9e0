import { beforeAll, describe, expect, test } from "vitest";
import { settingsFrom } from "../../operate/stackFile";
import { chosen } from "../../operate/verify";
import { Deployment, exitCode, runChecks } from "../../operate/verify/check";
import type { Mail } from "../../operate/verify/post";
import { CANARY, Mails, NOW, application, config, deployment, dnsOf, prepare, settings, verdict, well } from "../fixtures/verify";

beforeAll(prepare);

/** A clock that goes on while somebody sleeps. */
function clock(step = 1) {
    let now = NOW.getTime();
    return { now: () => new Date(now), sleep: (milliseconds: number) => Promise.resolve((now += milliseconds * step)) };
}
const mails = (wrong: Mails) => well(clock(), {}, wrong);
const found = async (world = well(), of = deployment()) => (await runChecks(chosen(["mail"]), of, world))[0].findings;
const IN = `mail to ${CANARY} from outside`;
const OUT = `mail by ${CANARY}`;
const FORGED = (source: string) => source.replace("npm run verify sends to", "somebody else sends to");

describe("two mails to the canary", () => {
    test("are found, judged as a receiver would, and deleted, with what an earlier run left; nothing else is", async () => {
        const mail: Mail = { folder: "INBOX", source: Buffer.from("") };
        const prefix = "Mail check by npm run verify";
        const [old, fresh, other] = [`${prefix} ${NOW.getTime() - 700_000}-ab in`, `${prefix} ${NOW.getTime() - 1000}-ab in`, "Hello"];
        const box = new Map([old, fresh, other].map((subject) => [subject, mail]));
        const all = await found(well({}, {}, { box }));
        expect(all.map(({ status, subject }) => `${status} ${subject}`)).toEqual([
            `pass ${IN}`,
            "pass client's address at mx",
            `pass ${OUT}`,
            ...["DKIM", "SPF", "DMARC", "return path"].map((what) => `pass ${what} of mail by ${CANARY}`),
        ]);
        expect([...box.keys()]).toEqual([fresh, other]);
    });

    test.each<[string, Mails, string[]]>([
        ["the account cannot sign in", { locked: "Invalid credentials" }, [`fail mailbox of ${CANARY}`]],
        ["a mail from outside is lost", { lost: ["in"] }, [`fail ${IN}`]],
        ["a mail from outside is refused", { answer: "550 5.1.1 no such user" }, [`fail ${IN}`]],
        ["one from outside is put off", { answer: "450 Message was greylisted" }, [`unknown ${IN}`]],
        ["what it sends is not taken", { refused: "535 Domain is not configured" }, [`fail ${OUT}`]],
        ["what it sends is lost", { lost: ["out"] }, [`fail ${OUT}`]],
        ["its mail counts as spam", { folder: "Junk" }, [`warn ${IN}`, `warn ${OUT}`]],
        ["MX sees a gateway in place of the client", { client: () => "172.18.0.1" }, ["fail client's address at mx"]],
        ["MX sees it over IPv6", { client: () => "fd00::1" }, ["fail client's address at mx"]],
        ["MX does not say whom it saw", { client: () => "" }, ["unknown client's address at mx"]],
        ["what it sends is changed on the way", { forge: FORGED }, [`fail DKIM of mail by ${CANARY}`]],
        ["bounces would go elsewhere", { sender: "canary@example.com" }, [`fail return path of mail by ${CANARY}`]],
        ["nobody says where bounces go", { sender: "" }, [`unknown return path of mail by ${CANARY}`]],
    ])("%s", async (_, wrong, expected) => {
        expect(await verdict("mail", mails(wrong))).toEqual(expected);
    });

    test("without a signature of its domain and from another address, receivers refuse it", async () => {
        const spf = { "mail.example.com TXT": ["v=spf1 ip4:192.0.2.1 -all"] }; // where the return path leads
        expect(await verdict("mail", well({ lookupAt: dnsOf(spf) }, {}, { forge: FORGED }))).toEqual(
            ["DKIM", "SPF", "DMARC"].map((what) => `fail ${what} of mail by ${CANARY}`),
        );
        const unsigned = (source: string) => source.replace(/^DKIM-Signature:.*\r\n([ \t].*\r\n)*/, "");
        const [{ got }] = (await found(well({}, {}, { forge: unsigned }))).filter(({ status }) => status === "fail");
        expect(got).toBe("not signed by its domain");
    });

    test("another key in DNS than the one that signs is told; DNS that is silent is not the mail's fault", async () => {
        const key = (texts: string[]) => well({ lookupAt: dnsOf({ "fe-0123456789._domainkey.example.com TXT": texts }) });
        const other =
            "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB";
        expect(await verdict("mail", key([other]))).toEqual([`fail DKIM of mail by ${CANARY}`]);
        expect(await verdict("mail", key([]))).toEqual([`fail DKIM of mail by ${CANARY}`]);
        const silent = well({
            lookupAt: (servers) => (name, type) =>
                name.includes("_domainkey")
                    ? Promise.reject(Object.assign(new Error("ETIMEOUT"), { code: "ETIMEOUT" }))
                    : dnsOf()(servers)(name, type),
        });
        expect(await verdict("mail", silent)).toEqual([`unknown DKIM of mail by ${CANARY}`]);
    });

    test("one that is slow is a warning, and says how long it took", async () => {
        const { post, ...world } = well(clock(4));
        const slow: typeof post = {
            ...post,
            async open(where, login) {
                const box = await post.open(where, login);
                let looks = 0;
                return { ...box, find: (subject) => (subject.endsWith(" out") && looks++ < 20 ? Promise.resolve(undefined) : box.find(subject)) };
            },
        };
        const [late] = (await found({ ...world, post: slow })).filter(({ status }) => status !== "pass");
        expect(late).toMatchObject({ status: "warn", subject: OUT, expected: "within 30 s", got: "there after 40 s" });
    });

    test("over IPv6 too, where it is published: how MX sees its clients differs", async () => {
        const both = { ...deployment(), addresses: ["203.0.113.7", "2001:db8::7"] };
        expect(await found(well(), both)).toHaveLength(9);
        const hidden = mails({ client: (to) => (to.includes(":") ? "172.18.0.1" : "198.51.100.20") });
        expect(await verdict("mail", hidden, both)).toEqual(["fail client's address at mx over IPv6"]);
    });

    test("on this very machine, whose published ports show Docker's gateway, the client's address is not looked at", async () => {
        const here = { ...deployment(), isHere: true };
        expect(await verdict("mail", mails({ client: () => "172.18.0.1" }), here)).toEqual([]);
        expect(await verdict("mail", well({ ownAddresses: () => ["172.18.0.1"] }, {}, { client: () => "172.18.0.1" }))).toEqual([]); // in one network
    });
});

describe("a deployment without", () => {
    const other = (changes: Record<string, unknown>): Deployment => {
        const all = Object.fromEntries(Object.entries({ ...config, ...changes }).filter(([, value]) => value !== undefined));
        return { ...deployment(), settings: settingsFrom("prod.example", all, { allowUnpinned: true }) };
    };
    const nobody = () => Promise.resolve(undefined);

    test("a canary is told so, once, and is well all the same", async () => {
        const backups = config["forwardemail:backups"] as object;
        const without = other({ "forwardemail:backups": { ...backups, canary: undefined }, "forwardemail:backupCanaryPassword": undefined });
        expect(without.settings.backups?.canary).toBeUndefined();
        const reports = await runChecks(chosen(["mail"]), without, well({ canary: nobody }));
        expect(reports[0].findings).toMatchObject([{ status: "warn", subject: "backups.canary" }]);
        expect(exitCode(reports)).toBe(0);
    });

    test("DNS records of ours is signed by the key that the application has, and nothing is missed", async () => {
        const here: Deployment = { ...deployment(), settings: { ...settings, dns: undefined } };
        expect(await verdict("mail", well(), here)).toEqual([]);
        expect(await verdict("mail", mails({ forge: FORGED }), here)).toEqual([`fail DKIM of mail by ${CANARY}`]);
        const nameless = { compatibility: "7.0", domains: application().domains.filter(({ name }) => name !== "example.com") };
        expect(await verdict("mail", well({ application: () => Promise.resolve(nameless) }), here)).toEqual([`fail DKIM of mail by ${CANARY}`]);
        const none = { ...here, settings: { ...here.settings, backups: undefined } };
        expect(await found(well({ canary: nobody }), none)).toEqual([]);
    });

    test("mailboxes has no canary", async () => {
        const forwarding = { ...deployment(), settings: { ...settings, profile: "forwarding" as const } };
        expect(await found(well(), forwarding)).toEqual([]);
    });
});
