import { authenticate } from "mailauth";
import { EXCHANGER, under } from "../../components/services/catalogue";
import { foundDomains } from "../domainRecords";
import type { Lookup } from "../dnsLookup";
import type { Application } from "./application";
import { Deployment, Finding, Status, unknown } from "./check";
import { envelopeSender } from "./received";
import { resolverOf } from "./resolver";
import type { World } from "./world";

/** What receivers would make of a mail that the deployment sent, with DNS as it is; without any records of ours, whether its own key signed it. */
export async function authentication(source: Buffer, from: string, deployment: Deployment, world: World): Promise<Finding[]> {
    const { settings, outputs } = deployment;
    const domain = from.split("@")[1];
    const lookup = settings.dns ? world.lookupAt() : keysOf(await world.application());
    const path = `${settings.applicationDomains[domain]?.returnPath ?? "fe-bounces"}.${domain}`;
    const seen = envelopeSender(source);
    const helo = under(settings.host, EXCHANGER);
    const [ip] = Object.keys((outputs.reverse ?? {}) as Record<string, string>);
    const { spf, dkim, dmarc } = await authenticate(source, {
        ...{ ip, helo, mta: helo, sender: seen ?? `postmaster@${path}`, trustReceived: false, disableArc: true, disableBimi: true },
        resolver: resolverOf(lookup),
    });
    const own = dkim.results.find(({ signingDomain }) => signingDomain === domain);
    const finding = findings(from);
    return [
        finding("DKIM", own?.status.result ?? "not signed by its domain", own?.status.comment),
        ...(settings.dns && ip && spf ? [finding("SPF", spf.status.result, spf.status.comment)] : []),
        ...(settings.dns && ip && dmarc ? [finding("DMARC", dmarc.status.result, dmarc.status.comment)] : []),
        returnPath(from, path, seen),
    ];
}

const findings =
    (from: string) =>
    (method: string, result: string, comment?: string): Finding => {
        const subject = `${method} of mail by ${from}`;
        const got = comment ? `${result}: ${comment}` : result;
        const status: Status = result === "pass" ? "pass" : result === "temperror" ? "unknown" : "fail";
        return status === "fail"
            ? { status, subject, expected: "pass", got, fix: "see the checks records and spf, and npm run domains -- --check" }
            : { status, subject, got };
    };

/** Where bounces come back, which the alias of the records leads here. */
function returnPath(from: string, path: string, seen: string | undefined): Finding {
    const subject = `return path of mail by ${from}`;
    if (!seen) return unknown(subject, "the mail does not say it");
    if (seen.toLowerCase().endsWith(`@${path}`)) return { status: "pass", subject, got: path };
    return { status: "fail", subject, expected: `…@${path}`, got: seen, fix: "npm run domains writes the return path that the application uses" };
}

/** The application's public keys, as DNS would have them. */
function keysOf(application: Application): Lookup {
    const { domains } = foundDomains(application.domains);
    const texts = Object.entries(domains).map(([name, { selector, publicKey }]) => [
        `${selector}._domainkey.${name}`,
        `v=DKIM1; k=rsa; p=${publicKey}`,
    ]);
    return (name, type) => Promise.resolve(texts.filter(([of]) => type === "TXT" && of === name).map(([, text]) => text));
}
