import type { Domain, Seen } from "./application";
import { Place, Step, command, pageOf } from "./place";

const NAMES: Record<keyof Domain["records"], string> = {
    has_mx_record: "MX",
    has_txt_record: "the verification code",
    has_dkim_record: "the DKIM key",
    has_return_path_record: "the return path",
    has_dmarc_record: "DMARC",
};

/** From the application's key and code of a domain to one that may take and send mail. */
export function dnsSteps(domain: string, seen: Seen, place: Place): Step[] {
    const { records, maySend } = seen.domains.find(({ name }) => name === domain) ?? { records: {} as Domain["records"], maySend: false };
    const missing = (...flags: Array<keyof Domain["records"]>) => flags.filter((flag) => !records[flag]).map((flag) => NAMES[flag]);
    const toTake = missing("has_mx_record", "has_txt_record");
    const toSend = missing("has_dkim_record", "has_return_path_record", "has_dmarc_record");
    const isSeen = toTake.length === 0 && toSend.length === 0;
    const isPublished = place.settings.dns !== undefined && seen.published.includes(domain);
    return [
        { kind: "records", domain, title: `the DNS records of ${domain}`, done: isSeen || isPublished, how: publish(domain, seen, place) },
        {
            kind: "verified",
            domain,
            title: `${domain} is verified, and takes mail`,
            done: toTake.length === 0,
            how: [
                `Verify it at ${pageOf(place, domain)}`,
                `The application does not see yet: ${toTake.join(", ")}. A resolver may remember the old records as long as their TTL.`,
            ],
        },
        {
            kind: "sending",
            domain,
            title: `${domain} sends mail`,
            done: toSend.length === 0 && maySend,
            how: sending(domain, toSend, place),
        },
    ];
}

function publish(domain: string, { configured }: Seen, place: Place): string[] {
    const { dns } = place.settings;
    if (!dns) return [`This stack keeps no DNS records: publish those of ${pageOf(place, domain)} and ${pageOf(place, domain, "/verify-smtp")}`];
    return [
        ...(configured.includes(domain) ? [] : [`Its DKIM key and code are written to Pulumi.${place.stack}.yaml by: ${command(place, "domains")}`]),
        `They are put into the records by: ${command(place, "up")}`,
        ...(dns.provider === "zone-file" ? [`Then add to the zone what this prints: ${command(place, "-s output", "zone")}`] : []),
    ];
}

/** Upstream approves a domain by itself only under conditions that it has for strangers (verify-smtp.js): its own TLD list, hosting, KYC. */
function sending(domain: string, missing: string[], place: Place): string[] {
    if (missing.length === 0) return [`Its records are right. The administrator lets it send at ${place.url}/admin/domains`];
    return [`Verify it at ${pageOf(place, domain, "/verify-smtp")}`, `The application does not see yet: ${missing.join(", ")}.`];
}
