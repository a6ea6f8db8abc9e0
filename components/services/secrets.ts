import { createHash, createPublicKey } from "node:crypto";
import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import * as tls from "@pulumi/tls";
import type { Settings } from "../settings/settings";

/** Secrets the deployment needs. Each may be given in the stack's config (restore, migration); what is not given is generated once. */
export const SECRETS = {
    helperEncryptionKey: { format: "text", length: 32, what: "HELPER_ENCRYPTION_KEY: encrypts tokens and mailbox passwords" },
    txtEncryptionKey: { format: "hex", length: 32, what: "TXT_ENCRYPTION_KEY: encrypts DNS TXT records of forwarding addresses" },
    srsSecret: { format: "text", length: 32, what: "SRS_SECRET: signs rewritten senders of forwarded mail" },
    webhookSignatureKey: { format: "hex", length: 32, what: "WEBHOOK_SIGNATURE_KEY: signs outgoing webhooks" },
    apiSecret: { format: "hex", length: 64, what: "API_SECRETS: what services say to each other" },
    smtpTransportPassword: { format: "text", length: 32, what: "SMTP_TRANSPORT_PASS: system mail" },
    adminPassword: { format: "text", length: 24, what: "AUTH_BASIC_PASSWORD: opens the first-run page" },
    mongodbPassword: { format: "text", length: 32, what: "password of the MongoDB user" },
    redisPassword: { format: "text", length: 32, what: "password of Redis" },
} as const;

export type SecretName = keyof typeof SECRETS;
export type Secrets = Record<SecretName, pulumi.Output<string>>;

/** Data written with these cannot be read with others: their fingerprints travel with the data (store.ts). */
const BOUND_TO_DATA: SecretName[] = ["helperEncryptionKey", "txtEncryptionKey"];

/**
 * Given or generated secrets, and the DKIM key of the deployment itself. Generated ones are protected: losing
 * HELPER_ENCRYPTION_KEY makes every mailbox unreadable.
 */
export class DeploymentSecrets extends pulumi.ComponentResource {
    public readonly values: Secrets;
    /** RSA 2048, which every verifier takes (RFC 8301 §3.2), as PEM (PKCS #1). Secret. */
    public readonly dkimKey: pulumi.Output<string>;
    /** PEM by selector. Secret. */
    public readonly dkimKeys: Record<string, pulumi.Output<string>>;
    /** Base64 of each selector's public key in DER form, in the order of the selectors. */
    public readonly dkimPublicKeys: Record<string, pulumi.Output<string>>;

    constructor(name: string, given: Given, recovered?: Recovered, opts?: pulumi.ComponentResourceOptions) {
        super("forwardemail:services:DeploymentSecrets", `${name}-secrets`, {}, opts);
        const keep = { parent: this, protect: true };
        const names = Object.keys(SECRETS) as SecretName[];
        const value = (key: SecretName) => {
            const generated = generate(`${name}-${key}`, key, keep); // also when another is taken: leaving a protected resource out would fail every `up`
            return pulumi.secret(given.secrets[key] ?? recoveredOr(recovered, key, generated));
        };
        this.values = Object.fromEntries(names.map((key) => [key, value(key)])) as Secrets;
        const keys = dkimKeys(name, given, recovered, { parent: this });
        this.dkimKeys = Object.fromEntries(Object.entries(keys).map(([selector, { privateKey }]) => [selector, privateKey]));
        this.dkimKey = keys[activeSelector(given.dkim)].privateKey;
        this.dkimPublicKeys = Object.fromEntries(Object.entries(keys).map(([selector, { publicKey }]) => [selector, publicKey]));
        this.registerOutputs({});
    }
}

export interface KeyPair {
    /** PEM. Secret. */
    privateKey: pulumi.Output<string>;
    /** Base64 of its DER form. */
    publicKey: pulumi.Output<string>;
}

interface Given {
    secrets: Partial<Secrets>;
    /** Key of the selector `default`. */
    dkimKey?: pulumi.Output<string>;
    dkim: Settings["dkim"];
}

/** The selector that signs. */
export const activeSelector = (dkim: Settings["dkim"]): string => Object.keys(dkim).find((selector) => dkim[selector] === "active")!;

/**
 * A key for each selector. The active one is protected: it must be retired, and so stay published while mail that it signed is under way,
 * before it can be taken out of the config.
 */
function dkimKeys(
    name: string,
    { dkim, dkimKey }: Given,
    recovered: Recovered | undefined,
    opts: pulumi.CustomResourceOptions,
): Record<string, KeyPair> {
    const key = (selector: string) => {
        const own = selector === "default" ? `${name}-dkim` : `${name}-dkim-${selector}`;
        const made = new tls.PrivateKey(own, { algorithm: "RSA", rsaBits: 2048 }, { ...opts, protect: dkim[selector] === "active" });
        const given = selector === "default" ? dkimKey : undefined; // no order would do: Pulumi sorts maps of the config
        const { privateKey, publicKey } = recoveredKey(recovered, `dkimKeys.${selector}`, made);
        return {
            privateKey: pulumi.secret(given ?? privateKey),
            publicKey: given ? pulumi.unsecret(given.apply(publicKeyOf)) : publicKey,
        };
    };
    return Object.fromEntries(Object.keys(dkim).map((selector) => [selector, key(selector)]));
}

/** What stands between the lines of a PEM text: the DER form in base64. */
export const bodyOf = (pem: string): string => pem.replace(/-----[^-]+-----|\s/g, "");

const publicKeyOf = (pem: string): string => createPublicKey(pem).export({ type: "spki", format: "der" }).toString("base64");

/** Secrets of a backup set, by the names of the config; others are `certificateKey.N`, `acmeAccountKey` and `dkimKeys.SELECTOR`. */
export type Recovered = pulumi.Output<Record<string, string>>;

/** What a set has of it. */
export function recoveredOr(recovered: Recovered | undefined, key: string, generated: pulumi.Output<string>): pulumi.Output<string> {
    return recovered ? pulumi.all([recovered, generated]).apply(([all, made]) => all[key] ?? made) : generated;
}

/** The same for a pair of keys. */
export function recoveredKey(recovered: Recovered | undefined, key: string, made: tls.PrivateKey): KeyPair {
    const publicKey = made.publicKeyPem.apply(bodyOf);
    if (!recovered) return { privateKey: made.privateKeyPem, publicKey };
    return {
        privateKey: recoveredOr(recovered, key, made.privateKeyPem),
        publicKey: pulumi.unsecret(pulumi.all([recovered, publicKey]).apply(([all, other]) => (all[key] ? publicKeyOf(all[key]) : other))),
    };
}

/**
 * Letters and digits only, with both cases, because the application's env loader turns commas into lists, digits into
 * numbers and HTML-escapes the rest (@ladjs/env: dotenv-parse-variables, Mustache).
 */
function generate(name: string, key: SecretName, opts: pulumi.CustomResourceOptions): pulumi.Output<string> {
    const { format, length } = SECRETS[key];
    const password = new random.RandomPassword(name, { length: Math.max(length, 32), special: false, minLower: 1, minUpper: 1, minNumeric: 1 }, opts);
    return password.result.apply((text) => (format === "hex" ? hexKey(text, length) : text.slice(0, length)));
}

/**
 * Hexadecimal digits from a random seed. A value such as 12e45 would be a *number* to the application's env loader, so the
 * first digest that cannot be read as one is taken.
 */
export function hexKey(seed: string, digits: number): string {
    for (let round = 0; ; round++) {
        const hex = createHash("sha512").update(`${seed}:${round}`).digest("hex").slice(0, digits);
        if (Number.isNaN(Number(hex))) return hex;
    }
}

/** One line per secret that data depends on. Safe to store beside the data: the secrets are random and 128 bits or more. */
export function fingerprints(secrets: Secrets): pulumi.Output<string> {
    const lines = BOUND_TO_DATA.map((key) =>
        secrets[key].apply((value) => `${key} ${createHash("sha256").update(`${key}:${value}`).digest("hex").slice(0, 32)}`),
    );
    return pulumi.unsecret(pulumi.all(lines).apply((all) => all.join("\n")));
}
