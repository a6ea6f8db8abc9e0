import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import * as pulumi from "@pulumi/pulumi";
import * as auto from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Dns } from "../../components/dns/dns";
import { readStackFile, settingsFrom } from "../../operate/stackFile";
import { prepareWorkspace } from "../../operate/workspace";
import { awsConsole } from "../rig/aws/console";
import { cloudflareConsole } from "../rig/cloudflare/console";
import { buildEngine } from "../rig/engine/build";
import type { RigHost } from "../rig/host";
import { installProviders } from "../rig/providers/install";

// The records of the production example, written by the real engine to stand-ins that refuse what Cloudflare and Route 53 refuse. No server is needed.

const ZONE = "example.com";
let folder: string;
beforeAll(async () => {
    folder = mkdtempSync(path.join(tmpdir(), "dns-"));
    const bin = path.join(folder, "bin");
    await installProviders(bin);
    process.env.PATH = `${bin}:${await buildEngine(console.log)}:${process.env.PATH}`;
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A stack that is nothing but the DNS of the example, with this writer. */
async function openStack(
    provider: "cloudflare" | "route53",
    id: string,
    more: { token?: string; keep?: Record<string, string[]>; policy?: "reject" } = {},
) {
    const example = settingsFrom("prod.example", readStackFile("prod.example").config ?? {}, { allowUnpinned: true });
    const { token, keep = {} } = more;
    const policy = more.policy ?? ("none" as const);
    const settings = {
        ...example,
        dns: {
            ...example.dns!,
            provider,
            zones: [{ name: ZONE, id, dnssec: true }],
            keep,
            dmarc: { policy },
            token: token === undefined ? undefined : pulumi.secret(token),
        },
    };
    const program = async () => {
        const dns = new Dns("t", {
            ...{ settings, ipv4: "192.0.2.7", dkim: { default: "A".repeat(392) } },
            ...{
                account: "https://authority.test/acct/1",
                publicKeys: ["aa", "bb"].map((byte, at) => ({ number: at + 1, publicKey: byte.repeat(32) })),
            },
        });
        return { zone: dns.zoneFiles };
    };
    const name = `e2e-${provider}`;
    const { directory, env } = prepareWorkspace(name, { "forwardemail:host": example.host }, folder);
    const envVars = { ...env, PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true", FORWARDEMAIL_RIG: JSON.stringify({ name: "dns", dir: folder }) };
    return auto.LocalWorkspace.createOrSelectStack(
        { stackName: name, projectName: "forwardemail", program: () => program() },
        { workDir: directory, envVars },
    );
}

/** Names, types and contents, without TTL: what two texts of a zone are compared by. */
const lines = (text: string) =>
    text
        .split("\n")
        .filter((line) => line && !line.startsWith(";"))
        .map((line) => line.replace(/\s+\d+\s+IN\s+/, " ").replace(/\s+/g, " "))
        .sort();

describe("Cloudflare", () => {
    const account = () => cloudflareConsole({ directory: folder });
    let zone: string;

    test("takes every record as it is written, and holds what the zone file says; the second time nothing is asked of it", async () => {
        zone = await account().addZone(ZONE);
        const stack = await openStack("cloudflare", zone, { token: account().account().token });
        const { outputs } = await stack.up();
        expect(lines(account().zoneText(ZONE))).toEqual(lines((outputs.zone.value as Record<string, string>)[ZONE]));
        expect((await stack.up()).summary.resourceChanges).toEqual({ same: expect.any(Number) });
        await stack.refresh({ expectNoChanges: true });
    });

    test("a change touches that record alone, and a stranger's stay", async () => {
        await account().addRecord({ zoneId: zone, name: ZONE, type: "TXT", content: '"google-site-verification=x"' });
        const stack = await openStack("cloudflare", zone, { token: account().account().token, policy: "reject" });
        expect((await stack.up()).summary.resourceChanges).toMatchObject({ update: 2, same: expect.any(Number) });
        expect(account().zoneText(ZONE)).toContain("google-site-verification=x");
        expect(account().zoneText(ZONE)).toContain(`p=reject; rua=mailto:dmarc@${ZONE}`);
        await stack.destroy();
        expect(lines(account().zoneText(ZONE))).toEqual([`${ZONE}. TXT "google-site-verification=x"`]);
    });
});

describe("Route 53", () => {
    const account = () => awsConsole({ directory: folder, host: {} as RigHost }, () => undefined);

    test("a set that holds a stranger's value is refused, until its values are listed; then both are there", async () => {
        const zone = await account().createHostedZone(ZONE);
        await account().putRecordSet({ zoneId: zone, name: ZONE, type: "TXT", ttl: 300, records: ['"google-site-verification=x"'] });
        const refused = await (await openStack("route53", zone)).up().catch((error: Error) => error.message);
        expect(refused).toMatch(/but it already exists/);
        const stack = await openStack("route53", zone, { keep: { [`${ZONE} TXT`]: ["google-site-verification=x"] } });
        const { outputs } = await stack.up();
        const ours = (outputs.zone.value as Record<string, string>)[ZONE];
        expect(lines(account().zoneText(ZONE))).toEqual(lines(`${ours}${ZONE}. 300 IN TXT "google-site-verification=x"\n`));
        expect((await stack.up()).summary.resourceChanges).toEqual({ same: expect.any(Number) });
        await stack.refresh({ expectNoChanges: true });
        await stack.destroy();
    });
});
