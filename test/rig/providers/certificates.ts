import "reflect-metadata"; // @peculiar/x509 needs it loaded first
import { createPrivateKey, createPublicKey, type KeyObject, randomBytes, webcrypto } from "node:crypto";
import { isIP } from "node:net";
import * as x509 from "@peculiar/x509";

/** The names in `allowedUses` have underscores, although the SDK's comments show camel case. */
const keyUsages: Record<string, x509.KeyUsageFlags> = {
    digital_signature: x509.KeyUsageFlags.digitalSignature,
    content_commitment: x509.KeyUsageFlags.nonRepudiation,
    key_encipherment: x509.KeyUsageFlags.keyEncipherment,
    data_encipherment: x509.KeyUsageFlags.dataEncipherment,
    key_agreement: x509.KeyUsageFlags.keyAgreement,
    cert_signing: x509.KeyUsageFlags.keyCertSign,
    crl_signing: x509.KeyUsageFlags.cRLSign,
    encipher_only: x509.KeyUsageFlags.encipherOnly,
    decipher_only: x509.KeyUsageFlags.decipherOnly,
};
const extendedKeyUsages: Record<string, string> = {
    any_extended: "2.5.29.37.0",
    server_auth: x509.ExtendedKeyUsage.serverAuth,
    client_auth: x509.ExtendedKeyUsage.clientAuth,
    code_signing: x509.ExtendedKeyUsage.codeSigning,
    email_protection: x509.ExtendedKeyUsage.emailProtection,
    timestamping: x509.ExtendedKeyUsage.timeStamping,
    ocsp_signing: x509.ExtendedKeyUsage.ocspSigning,
};
export const allowedUses = [...Object.keys(keyUsages), ...Object.keys(extendedKeyUsages)];

/** The attributes of a subject in the order in which Go's crypto/x509, and so the real provider, writes them. */
const subjectFields = {
    country: "2.5.4.6",
    organization: "2.5.4.10",
    organizationalUnit: "2.5.4.11",
    locality: "2.5.4.7",
    province: "2.5.4.8",
    streetAddresses: "2.5.4.9",
    postalCode: "2.5.4.17",
    commonName: "2.5.4.3",
    serialNumber: "2.5.4.5",
    emailAddress: "1.2.840.113549.1.9.1",
};
export type Subject = { [field in keyof typeof subjectFields]?: string | string[] };

/** What a certificate or a request is made out to. */
export interface Names {
    subject?: Subject;
    dnsNames?: string[];
    ipAddresses?: string[];
    uris?: string[];
}

/** What a certificate is issued for. */
export interface Terms {
    allowedUses: string[];
    validityPeriodHours: number;
    isCaCertificate?: boolean;
    maxPathLength?: number;
    setSubjectKeyId?: boolean;
    setAuthorityKeyId?: boolean;
}

/** A certificate request for the key, as PEM. */
export async function request(keyPem: string, names: Names): Promise<string> {
    const key = createPrivateKey(keyPem);
    const publicKey = await importKey("spki", createPublicKey(key), "verify");
    const alternative = alternativeNames(names);
    const made = await x509.Pkcs10CertificateRequestGenerator.create({
        name: subjectName(names.subject ?? {}),
        keys: { privateKey: await importKey("pkcs8", key, "sign"), publicKey },
        signingAlgorithm: webAlgorithm(key),
        extensions: alternative.length > 0 ? [new x509.SubjectAlternativeNameExtension(alternative)] : [],
    });
    return pem(made);
}

/** Signs a request with the authority's key, or with its own key where no authority is given. */
export async function issue(requestPem: string, signingKeyPem: string, terms: Terms, authorityPem?: string) {
    const made = new x509.Pkcs10CertificateRequest(requestPem);
    const authority = authorityPem === undefined ? undefined : new x509.X509Certificate(authorityPem);
    const signingKey = createPrivateKey(signingKeyPem);
    const start = new Date(Math.floor(Date.now() / 1000) * 1000); // certificates count in seconds
    const end = new Date(start.getTime() + terms.validityPeriodHours * 3_600_000);
    const serialNumber = Buffer.concat([Buffer.of(1), randomBytes(15)]).toString("hex");
    const certificate = await x509.X509CertificateGenerator.create({
        serialNumber,
        subject: made.subjectName,
        issuer: (authority ?? made).subjectName,
        notBefore: start,
        notAfter: end,
        publicKey: made.publicKey,
        signingKey: await importKey("pkcs8", signingKey, "sign"),
        signingAlgorithm: webAlgorithm(signingKey),
        extensions: await extensions(made, terms, authority),
    });
    return {
        id: BigInt(`0x${serialNumber}`).toString(),
        certPem: pem(certificate),
        validityStartTime: start.toISOString(),
        validityEndTime: end.toISOString(),
    };
}

async function extensions(made: x509.Pkcs10CertificateRequest, terms: Terms, authority?: x509.X509Certificate): Promise<x509.Extension[]> {
    const { isCaCertificate: ca = false, allowedUses: uses } = terms;
    const empty = made.subject === "";
    if (ca && empty) throw new Error("Must contain at least one Distinguished Name when creating Certificate Authority (CA)");
    const usage = uses.reduce((flags, use) => flags | (keyUsages[use] ?? 0), 0);
    const extended = uses.flatMap((use) => extendedKeyUsages[use] ?? []);
    const alternative = made.extensions.find((extension) => extension instanceof x509.SubjectAlternativeNameExtension);
    const own = ca || terms.setSubjectKeyId ? await x509.SubjectKeyIdentifierExtension.create(made.publicKey) : undefined;
    // A path length of 0 is lost in the real provider: Go takes it as "none" unless a second field, which it does not set, says so.
    const all = [new x509.BasicConstraintsExtension(ca, (ca && terms.maxPathLength) || undefined, true) as x509.Extension];
    if (usage) all.push(new x509.KeyUsagesExtension(usage, true));
    if (extended.length > 0) all.push(new x509.ExtendedKeyUsageExtension(extended));
    if (own) all.push(own);
    const issuer = authority ? authority.getExtension(x509.SubjectKeyIdentifierExtension) : own;
    if (terms.setAuthorityKeyId && !issuer) throw new Error("Could not determine Authority Key Identifier");
    if (issuer && (authority || terms.setAuthorityKeyId)) all.push(new x509.AuthorityKeyIdentifierExtension(issuer.keyId));
    if (alternative) all.push(new x509.SubjectAlternativeNameExtension(alternative.names.toJSON(), empty));
    return all;
}

function alternativeNames({ dnsNames = [], ipAddresses = [], uris = [] }: Names): x509.JsonGeneralNames {
    const invalid = ipAddresses.find((address) => !isIP(address));
    if (invalid !== undefined) throw new Error(`Invalid IP address: failed to parse "${invalid}"`);
    const typed = (type: x509.GeneralNameType, values: string[]) => values.map((value) => ({ type, value }));
    return [...typed("dns", dnsNames), ...typed("ip", ipAddresses), ...typed("url", uris)];
}

function subjectName(subject: Subject): x509.Name {
    const fields = Object.keys(subjectFields) as (keyof Subject)[];
    const given = fields.filter((field) => subject[field]?.length);
    return new x509.Name(given.map((field) => ({ [subjectFields[field]]: [subject[field] ?? []].flat() })));
}

const importKey = (format: "pkcs8" | "spki", key: KeyObject, use: "sign" | "verify"): Promise<webcrypto.CryptoKey> =>
    webcrypto.subtle.importKey(format, key.export({ type: format as "pkcs8", format: "der" }), webAlgorithm(key), true, [use]);

/** The signature that Go chooses for a key. */
function webAlgorithm(key: KeyObject) {
    if (key.asymmetricKeyType === "rsa") return { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
    if (key.asymmetricKeyType === "ed25519") return { name: "Ed25519" };
    const [namedCurve, hash] =
        { prime256v1: ["P-256", "SHA-256"], secp384r1: ["P-384", "SHA-384"], secp521r1: ["P-521", "SHA-512"] }[
            key.asymmetricKeyDetails?.namedCurve ?? ""
        ] ?? [];
    if (!namedCurve) throw new Error("stand-in tls provider: certificates for a key on this curve are not available in the rehearsal");
    return { name: "ECDSA", namedCurve, hash };
}

const pem = (made: { toString(format: "pem"): string }): string => `${made.toString("pem")}\n`;
