import { createHash, createPrivateKey } from "node:crypto";
import type { Unwrap } from "@pulumi/pulumi";
import type * as tls from "@pulumi/tls";
import { allowedUses, issue, request } from "./certificates";
import { generateKey, keyForms } from "./keys";
import { type Resource, standIn } from "./standin";

const privateKey: Resource<Unwrap<tls.PrivateKeyArgs>, Unwrap<tls.PrivateKeyState>> = {
    inputs: ["algorithm", "rsaBits", "ecdsaCurve"],
    defaults: { rsaBits: 2048, ecdsaCurve: "P224" },
    oneOf: { algorithm: ["RSA", "ECDSA", "ED25519"], ecdsaCurve: ["P224", "P256", "P384", "P521"] },
    secrets: ["privateKeyPem", "privateKeyPemPkcs8", "privateKeyOpenssh"],
    async create({ algorithm, rsaBits = 0, ecdsaCurve = "" }) {
        const outs = keyForms(await generateKey(algorithm, rsaBits, ecdsaCurve));
        return { id: sha1(outs.publicKeyPem), outs };
    },
};

const certRequest: Resource<Unwrap<tls.CertRequestArgs>, Unwrap<tls.CertRequestState>> = {
    inputs: ["privateKeyPem", "subject", "dnsNames", "ipAddresses", "uris"],
    secrets: ["privateKeyPem"],
    async create({ privateKeyPem = "", ...names }) {
        const certRequestPem = await request(privateKeyPem, names);
        return { id: sha1(certRequestPem), outs: { certRequestPem, keyAlgorithm: algorithmOf(privateKeyPem) } };
    },
};

/** What a certificate has whoever signs it. */
const certificate = {
    defaults: { earlyRenewalHours: 0, isCaCertificate: false, setSubjectKeyId: false },
    oneOf: { allowedUses },
    inPlace: ["earlyRenewalHours" as const],
    update: async () => ({ readyForRenewal: false }), // if it were ready, it would be replaced
    expired: renewal,
};

const selfSignedCert: Resource<Unwrap<tls.SelfSignedCertArgs>, Unwrap<tls.SelfSignedCertState>> = {
    ...certificate,
    inputs: [
        "privateKeyPem",
        "subject",
        "dnsNames",
        "ipAddresses",
        "uris",
        "allowedUses",
        "validityPeriodHours",
        "earlyRenewalHours",
        "isCaCertificate",
        "maxPathLength",
        "setSubjectKeyId",
        "setAuthorityKeyId",
    ],
    defaults: { ...certificate.defaults, setAuthorityKeyId: false },
    secrets: ["privateKeyPem"],
    async create(args) {
        const key = args.privateKeyPem ?? "";
        const { id, ...outs } = await issue(await request(key, args), key, args);
        return { id, outs: { ...outs, keyAlgorithm: algorithmOf(key), readyForRenewal: false, ...renewal({ ...args, ...outs }) } };
    },
};

const locallySignedCert: Resource<Unwrap<tls.LocallySignedCertArgs>, Unwrap<tls.LocallySignedCertState>> = {
    ...certificate,
    inputs: [
        "certRequestPem",
        "caCertPem",
        "caPrivateKeyPem",
        "allowedUses",
        "validityPeriodHours",
        "earlyRenewalHours",
        "isCaCertificate",
        "maxPathLength",
        "setSubjectKeyId",
    ],
    secrets: ["caPrivateKeyPem"],
    async create(args) {
        const key = args.caPrivateKeyPem ?? "";
        const { id, ...outs } = await issue(args.certRequestPem, key, args, args.caCertPem);
        return { id, outs: { ...outs, caKeyAlgorithm: algorithmOf(key), readyForRenewal: false, ...renewal({ ...args, ...outs }) } };
    },
};

export default standIn("tls", {
    "tls:index/privateKey:PrivateKey": privateKey,
    "tls:index/certRequest:CertRequest": certRequest,
    "tls:index/selfSignedCert:SelfSignedCert": selfSignedCert,
    "tls:index/locallySignedCert:LocallySignedCert": locallySignedCert,
});

/** `readyForRenewal` once the early renewal hours have begun; until then nothing. */
function renewal({ validityEndTime = "", earlyRenewalHours = 0 }: { validityEndTime?: string; earlyRenewalHours?: number }) {
    return Date.parse(validityEndTime) - earlyRenewalHours * 3_600_000 <= Date.now() ? { readyForRenewal: true } : {};
}

const algorithmOf = (keyPem: string): string =>
    ({ rsa: "RSA", ec: "ECDSA", ed25519: "ED25519" })[createPrivateKey(keyPem).asymmetricKeyType as string] ?? "";

const sha1 = (text: string): string => createHash("sha1").update(text).digest("hex");
