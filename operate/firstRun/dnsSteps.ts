import type { Domain, Seen } from "./application";
import { Place, Step, command, pageOf } from "./place";

const NAMES: Record<keyof Domain["records"], string> = {
    has_mx_record: "MX",
    has_txt_record: "the verification code",
    has_dkim_record: "the DKIM key",
    has_return_path_record: "the return path",
    has_dmarc_record: "DMARC",
};

const recordsOf = (domain: string, { domains }: Seen) => domains.find(({ name }) => name === domain)?.records ?? ({} as Domain["records"]);
const TO_TAKE = ["has_mx_record", "has_txt_record"] as const;
const TO_SEND = ["has_dkim_record", "has_return_path_record", "has_dmarc_record"] as const;

/** Of those records, the ones that the application has not seen, by their names. */
const unseen = (domain: string, wanted: ReadonlyArray<keyof Domain["records"]>, seen: Seen): string[] =>
    wanted.filter((flag) => !recordsOf(domain, seen)[flag]).map((flag) => NAMES[flag]);

/** The application's key and code of a domain in DNS. */
export function publishedStep(domain: string, seen: Seen, place: Place): Step {
    const isSeen = unseen(domain, [...TO_TAKE, ...TO_SEND], seen).length === 0;
    const isPublished = place.settings.dns !== undefined && seen.published.includes(domain);
    return { kind: "records", domain, title: `the DNS records of ${domain}`, done: isSeen || isPublished, how: publish(domain, seen, place) };
}

export function verifiedStep(domain: string, seen: Seen, place: Place): Step {
    const missing = unseen(domain, TO_TAKE, seen);
    return {
        kind: "verified",
        domain,
        title: `${domain} is verified, and takes mail`,
        done: missing.length === 0,
        how: [
            `Verify it at ${pageOf(place, domain)}`,
            `The application does not see yet: ${missing.join(", ")}. A resolver may remember the old records as long as their TTL.`,
        ],
    };
}

/**
 * Upstream approves a domain by itself only under conditions that it has for strangers: its list of TLDs, hosting, KYC (verify-smtp.js).
 * Before a domain is approved, verifying it sends mail, and what is seen is not kept where that fails; approving it keeps it first (admin/domains.js).
 */
export function sendingStep(domain: string, seen: Seen, place: Place): Step {
    const missing = unseen(domain, TO_SEND, seen);
    const maySend = mayDomainSend(domain, seen);
    return {
        kind: "sending",
        domain,
        title: `${domain} sends mail`,
        done: missing.length === 0 && maySend,
        how: maySend
            ? [`Verify it at ${pageOf(place, domain, "/verify-smtp")}`, `The application does not see yet: ${missing.join(", ")}.`]
            : [
                  `Give it SMTP access at ${place.url}/admin/domains`,
                  "An error about a mail that could not be sent says nothing of the access itself: it is kept before.",
              ],
    };
}

export const mayDomainSend = (domain: string, { domains }: Seen): boolean => domains.find(({ name }) => name === domain)?.maySend === true;

function publish(domain: string, { configured }: Seen, place: Place): string[] {
    const { dns } = place.settings;
    if (!dns) return [`This stack keeps no DNS records: publish those of ${pageOf(place, domain)} and ${pageOf(place, domain, "/verify-smtp")}`];
    return [
        ...(configured.includes(domain) ? [] : [`Its DKIM key and code are written to Pulumi.${place.stack}.yaml by: ${command(place, "domains")}`]),
        `They are put into the records by: ${command(place, "up")}`,
        ...(dns.provider === "zone-file" ? [`Then add to the zone what this prints: ${command(place, "-s output", "zone")}`] : []),
    ];
}
