import { z } from "zod";
import { dnsName } from "./names";

export const LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory";
export const LETS_ENCRYPT_STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory";

const acme = z.strictObject({
    issuer: z.literal("acme"),
    email: z.email("a mail address").describe("Contact of the account; the authority may write when something is wrong."),
    directory: z
        .url({ protocol: /^https$/, error: "an https URL" })
        .default(LETS_ENCRYPT)
        .describe("Directory of the authority (RFC 8555). A change registers a new account there."),
    staging: z
        .boolean("true or false")
        .default(false)
        .describe("Use Let's Encrypt's staging authority, whose limits are wide and whose certificates nobody trusts: for trying."),
    challenge: z
        .enum(["http-01", "dns-01"], "http-01 or dns-01")
        .default("http-01")
        .describe("How the authority sees that the names are ours: by a file on port 80, or by a DNS record."),
    dnsProvider: z
        .enum(["cloudflare", "route53", "rfc2136"], "cloudflare, route53 or rfc2136")
        .optional()
        .describe("dns-01: where the server writes the record, with the secret acmeDnsCredential. Default, dns.provider."),
    accessKeyId: z
        .string("an access key id")
        .regex(/^[A-Z0-9]{16,128}$/, "an access key id such as AKIA…")
        .optional()
        .describe("dns-01 by route53: id of the access key whose secret is acmeDnsCredential."),
    nameserver: z
        .string("host:port")
        .regex(/^(\[[0-9a-f:]+\]|[a-zA-Z0-9.-]+):\d{1,5}$/, "host:port, such as ns1.example.com:53")
        .optional()
        .describe("dns-01 by rfc2136: name server that takes updates."),
    tsigKey: z
        .string("a key name")
        .regex(/^[a-zA-Z0-9._-]+$/, "the name of a TSIG key")
        .optional()
        .describe("dns-01 by rfc2136: name of the TSIG key (HMAC-SHA256) whose secret, base64, is acmeDnsCredential."),
    extraNames: z
        .array(
            z.union(
                [
                    dnsName,
                    z
                        .string()
                        .regex(/^\*\./)
                        .refine((name) => dnsName.safeParse(name.slice(2)).success),
                ],
                "a DNS name, or *.NAME",
            ),
            "a list of DNS names",
        )
        .default([])
        .describe("Names to have in the certificate beside the deployment's own. A wildcard needs dns-01."),
    rootsFile: z
        .string("the path of a PEM file")
        .optional()
        .describe("Roots of an authority that is not public, PEM: for its directory's own certificate and for what it issues."),
    caaIssuer: dnsName.optional().describe("Name of the authority in CAA records. Default, known for the usual ones."),
    key: z
        .int("a whole number")
        .min(1, "1 or more")
        .max(1000, "1000 or less")
        .default(1)
        .describe(
            "Number of the certificate's key. The key stays through renewals; one more takes the next, whose TLSA record is published since before.",
        ),
});

export const certificates = z.discriminatedUnion(
    "issuer",
    [
        z.strictObject({ issuer: z.literal("self-signed") }),
        z.strictObject({
            issuer: z.literal("provided"),
            chainFile: z
                .string("the path of a PEM file: certificate first, then its chain")
                .describe("PEM file: certificate, then its chain; for every public name. Its key is the secret certificateKey."),
        }),
        acme,
    ],
    "issuer: self-signed, provided or acme",
);
