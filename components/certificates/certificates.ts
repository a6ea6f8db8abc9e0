import * as pulumi from "@pulumi/pulumi";
import * as tls from "@pulumi/tls";
import { CertificateSettings } from "../settings/settings";

/** A certificate with what the application's TLS servers read beside it. All PEM. */
export interface Certificate {
    privateKey: pulumi.Output<string>;
    /** Certificate and chain. */
    fullchain: pulumi.Output<string>;
    /** The chain alone: the certificates above the leaf. */
    chain: pulumi.Output<string>;
    /** The private authority to trust, where there is one. */
    authority?: pulumi.Output<string>;
    /** What the application trusts beside the public authorities. */
    trusted?: pulumi.Output<string>;
    /** The server has, or will have, a better one: files are written only where there are none. */
    replaceable?: boolean;
}

/**
 * The certificate for all `names`, from whichever issuer the settings name. The stack's own authority is always there: its
 * key is protected, so it cannot go away when the issuer changes, and a stack can fall back to it. `key` is for what serves until the
 * first certificate of an ACME authority comes: with its key, which TLSA records name already.
 */
export function createCertificate(name: string, settings: CertificateSettings, names: string[], key?: pulumi.Output<string>): Certificate {
    const authority = new PrivateAuthority(name, names, key);
    if (settings.issuer === "self-signed") return authority.certificate;
    if (settings.issuer === "acme") {
        // Serves until the first one comes, and the application trusts it until then.
        const trusted = pulumi.interpolate`${authority.certificate.chain}${settings.roots ?? ""}`;
        return { ...authority.certificate, authority: undefined, trusted, replaceable: true };
    }
    const [, ...above] = settings.chain.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
    const chain = above.length > 0 ? `${above.join("\n")}\n` : settings.chain;
    return { privateKey: pulumi.secret(settings.key), fullchain: pulumi.output(settings.chain), chain: pulumi.output(chain) };
}

const YEAR_HOURS = 8760;

/** What keys of certificates and accounts are. */
export const EC = { algorithm: "ECDSA", ecdsaCurve: "P256" };

/** A certificate authority of the stack's own, for machines where no public one can reach: dev and rehearsal. */
export class PrivateAuthority extends pulumi.ComponentResource {
    public readonly certificate: Certificate;

    /** `key`: PEM of the certificate's key; without one, it is made. */
    constructor(name: string, names: string[], key?: pulumi.Output<string>, opts?: pulumi.ComponentResourceOptions) {
        super("forwardemail:certificates:PrivateAuthority", `${name}-authority`, {}, opts);
        const own = { parent: this };
        // Protected, because browsers and mail clients of the operator trust this one.
        const authorityKey = new tls.PrivateKey(`${name}-authority-key`, EC, { ...own, protect: true });
        const authority = new tls.SelfSignedCert(
            `${name}-authority-cert`,
            {
                privateKeyPem: authorityKey.privateKeyPem,
                subject: { commonName: `${name} private authority`, organization: "Forward Email, self-hosted" },
                isCaCertificate: true,
                setSubjectKeyId: true,
                allowedUses: ["cert_signing", "crl_signing"],
                validityPeriodHours: 10 * YEAR_HOURS,
            },
            { ...own, protect: true },
        );
        const privateKeyPem = key ?? new tls.PrivateKey(`${name}-key`, EC, own).privateKeyPem;
        const request = new tls.CertRequest(`${name}-request`, { privateKeyPem, subject: { commonName: names[0] }, dnsNames: names }, own);
        const leaf = new tls.LocallySignedCert(
            `${name}-cert`,
            {
                certRequestPem: request.certRequestPem,
                caPrivateKeyPem: authorityKey.privateKeyPem,
                caCertPem: authority.certPem,
                allowedUses: ["digital_signature", "server_auth"],
                validityPeriodHours: YEAR_HOURS, // clients refuse more than 398 days
                earlyRenewalHours: 30 * 24, // the first `up` in its last 30 days renews it
            },
            own,
        );
        const fullchain = pulumi.interpolate`${leaf.certPem}${authority.certPem}`;
        this.certificate = { privateKey: pulumi.secret(privateKeyPem), fullchain, chain: authority.certPem, authority: authority.certPem };
        this.registerOutputs({ authority: authority.certPem });
    }
}
