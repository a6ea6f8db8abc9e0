import { z } from "zod";
import { dnsName } from "./names";

/** Where a name's records are kept: `example.com`, with the id that the provider gives the zone. */
const zone = z.strictObject(
    {
        name: dnsName.describe("Name of the zone, such as example.com."),
        id: z
            .string("an id")
            .regex(/^([0-9a-f]{32}|Z[A-Z0-9]{8,31})$/, "Cloudflare's zone id (32 hexadecimal digits) or Route 53's hosted zone id (Z…)")
            .optional()
            .describe("Id of the zone at Cloudflare or Route 53, as its page there shows it."),
        dnssec: z
            .boolean("true or false")
            .default(false)
            .describe("The zone is signed and its parent has the DS record: TLSA records (DANE, RFC 7672) are published."),
    },
    "a map with name, id, dnssec",
);

const mailbox = z.email("a mail address such as postmaster@example.com").toLowerCase();

const dmarc = z.strictObject(
    {
        policy: z
            .enum(["none", "quarantine", "reject"], "none, quarantine or reject")
            .default("none")
            .describe("What receivers do with mail that fails (RFC 7489): begin with none, read the reports, then quarantine, then reject."),
        reports: mailbox.optional().describe("Where aggregate reports go. Default, dmarc@ of each mail domain."),
    },
    "a map with policy, reports",
);

const mtaSts = z.strictObject(
    {
        mode: z
            .enum(["off", "none", "testing", "enforce"], "off, none, testing or enforce")
            .optional()
            .describe(
                "MTA-STS policy (RFC 8461). Default, testing with issuer acme, else off. To leave it: none, wait until max age has passed, then off.",
            ),
        maxAge: z
            .int("a whole number of seconds")
            .min(86_400, "86400 or more")
            .max(31_557_600, "31557600 or less")
            .default(604_800)
            .describe("How long senders keep the policy, in seconds."),
    },
    "a map with mode, maxAge",
);

export const dns = z.strictObject(
    {
        provider: z
            .enum(["cloudflare", "route53", "zone-file", "none"], "cloudflare, route53, zone-file or none")
            .optional()
            .describe(
                "Who keeps the records: cloudflare (with the secret cloudflareToken), route53 (with the AWS credentials of the environment), or zone-file: you, from the outputs zone and records. Default, zone-file; none with a local server.",
            ),
        zones: z
            .array(zone, "a list of zones")
            .default([])
            .describe("Zones of the mail domains and of the host. Default with zone-file, the domains themselves."),
        ttl: z
            .int("a whole number of seconds")
            .min(60, "60 or more")
            .max(86_400, "86400 or less")
            .default(300)
            .describe("TTL of every record in seconds. 3600 is usual once everything is right."),
        spf: z
            .enum(["softfail", "fail"], "softfail or fail")
            .default("softfail")
            .describe("What SPF (RFC 7208) says of other senders: ~all or -all."),
        dmarc: dmarc.prefault({}).describe("What receivers do with mail that fails SPF and DKIM."),
        mtaSts: mtaSts.prefault({}).describe("Policy for TLS between servers, served at mta-sts.DOMAIN."),
        tlsReports: mailbox.optional().describe("Where TLS reports go (RFC 8460). Default, tlsrpt@ of each mail domain."),
        autoconfig: z
            .boolean("true or false")
            .optional()
            .describe("Tell mail clients their servers at autoconfig.DOMAIN and autodiscover.DOMAIN. Default, with issuer acme and profile full."),
        caa: z
            .boolean("true or false")
            .default(true)
            .describe("With issuer acme: allow only this account to have certificates for our own names (RFC 8659, 8657)."),
        keep: z
            .record(z.string(), z.array(z.string("text in quotes"), "a list of texts"), "a map from NAME TYPE to the strangers' values")
            .default({})
            .describe(
                'route53: values of others in a record set that we share, such as {"example.com TXT": ["google-site-verification=…"]}. The program then owns the whole set.',
            ),
    },
    "a map with provider, zones and more",
);

/** A label, or labels: `default`, `s2026.mail`. */
const SELECTOR = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/;
const selector = z.string("a DKIM selector").regex(SELECTOR, "a DKIM selector such as default or s2026: lower-case letters, digits and hyphens");

export const dkim = z
    .record(
        selector,
        z.enum(["next", "active", "retired"], "next, active or retired"),
        "a map from selector to next, active or retired, such as {default: active}",
    )
    .default({ default: "active" });

const base64 = /^[A-Za-z0-9+/]{100,}={0,2}$/;
const applicationKey = {
    selector: selector.describe("DKIM selector."),
    publicKey: z.string("a public key").regex(base64, "a public key in base64 without line breaks").describe("Public key, base64 of its DER form."),
};

/** What the application wants published for one of its domains. */
export const domainRecord = z.strictObject(
    {
        selector: applicationKey.selector.describe("DKIM selector of the domain."),
        publicKey: applicationKey.publicKey,
        returnPath: z
            .string("a label")
            .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, "a label such as fe-bounces")
            .default("fe-bounces")
            .describe("Label of the bounce address."),
        verification: z
            .string("a code")
            .regex(/^[A-Za-z0-9]{1,200}$/, "letters and digits")
            .optional()
            .describe("Code of the site verification."),
        previous: z
            .array(z.strictObject(applicationKey, "a map with selector, publicKey"), "a list of keys")
            .default([])
            .describe("Keys that mail under way is still signed with."),
    },
    "a map with selector, publicKey, returnPath, verification, previous",
);

export const domainRecords = z.record(dnsName, domainRecord, "a map from mail domain to what npm run domains found").default({});
