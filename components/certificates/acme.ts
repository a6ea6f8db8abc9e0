import { createHash } from "node:crypto";
import * as pulumi from "@pulumi/pulumi";
import * as tls from "@pulumi/tls";
import { quote } from "../server/connection";
import { FOLDER } from "../server/host/files";
import { pullImage } from "../server/pull";
import { Server } from "../server/server";
import { CATALOGUE, servicesOf } from "../services/catalogue";
import { Place, createPlace } from "../services/files";
import { ROUTER_DIRECTORY } from "../services/policies";
import { Recovered, recoveredKey, recoveredOr } from "../services/secrets";
import { certificateNames } from "../settings/dns";
import { AcmeSettings, Settings } from "../settings/settings";
import { EC } from "./certificates";
import { REGISTER, SECRETS as SECRETS_ON_HOST, SET_UP, UNDO_SECRETS, UNDO_SET_UP } from "./host/setUp";

export interface AcmeAccountArgs {
    settings: Settings;
    acme: AcmeSettings;
    /** PEM of the certificate's key. */
    key: pulumi.Output<string>;
    server: Server;
    /** Secrets of a set, and what brings back its files: the account stays the same. */
    recovered?: Recovered;
    restored?: pulumi.Resource;
}

/** Keys of the certificate: what servers that send mail may see, and what TLSA records name. */
export interface CertificateKeys {
    /** PEM of the one in use. */
    key: pulumi.Output<string>;
    /** PEM of all, by their names in a backup set. Secret. */
    all: Record<string, pulumi.Output<string>>;
    /** That one, the one before and the next. */
    publicKeys: Array<{ number: number; publicKey: pulumi.Output<string> }>;
}

/**
 * The next key is published before it is used; the one before stays until then, because the server shows it until it has a new
 * certificate.
 */
export function certificateKeys(name: string, { key: current }: AcmeSettings, recovered?: Recovered): CertificateKeys {
    const keys = [current - 1, current, current + 1]
        .filter((number) => number > 0)
        .map((number) => ({
            number,
            ...recoveredKey(recovered, keyName(number), new tls.PrivateKey(`${name}-certificate-key-${number}`, EC)),
        }));
    return {
        key: keys.find(({ number }) => number === current)!.privateKey,
        all: Object.fromEntries(keys.map(({ number, privateKey }) => [keyName(number), privateKey])),
        publicKeys: keys.map(({ number, publicKey }) => ({ number, publicKey: publicKey.apply(fingerprint) })),
    };
}

/** Name of a certificate's key in a backup set. */
const keyName = (number: number) => `certificateKey.${number}`;

/** Where the files of a certificate go. */
export interface Installed {
    /** Keys of the application, and files of the router. */
    keys: Place;
    router: Place;
    /** Address that the names must lead to. */
    ipv4: pulumi.Input<string>;
    ipv6?: string;
}

/**
 * An account with an ACME authority (RFC 8555), and the certificate that the server asks for and renews by itself. The key of
 * the account is declared, because CAA records name the account.
 */
export class AcmeCertificate extends pulumi.ComponentResource {
    /** URL of the account. */
    public readonly account: pulumi.Output<string>;
    /** PEM. Secret. */
    public readonly accountKey: pulumi.Output<string>;
    private readonly place: Place;
    private readonly registered: ReturnType<Server["run"]>;

    constructor(
        private readonly name: string,
        private readonly args: AcmeAccountArgs,
        opts?: pulumi.ComponentResourceOptions,
    ) {
        super("forwardemail:certificates:AcmeCertificate", `${name}-acme`, {}, opts);
        const { settings, acme, server } = args;
        const { pulled } = pullImage(`${settings.name}-lego`, settings.images.lego.reference, server, { parent: this });
        // Not protected, so that another issuer can take its place: the CAA records that name the account go with it.
        const made = new tls.PrivateKey(`${name}-acme-account-key`, EC, { parent: this });
        this.accountKey = recoveredOr(args.recovered, "acmeAccountKey", made.privateKeyPem);
        this.place = createPlace("acme", { name: settings.name, directory: settings.data.directory }, { parent: this });
        this.registered = server.run(
            `${name}-acme-account`,
            { script: REGISTER, environment: { ...this.lego(), ...(acme.roots ? { ROOTS: acme.roots } : {}) }, stdin: this.accountKey },
            { parent: this, dependsOn: [pulled, ...(args.restored ? [args.restored] : [])] },
        );
        this.account = pulumi.unsecret(this.registered.stdout.apply((text) => text.trim())); // CAA records name it
        this.registerOutputs({ account: this.account });
    }

    private lego(): Record<string, pulumi.Input<string>> {
        const { settings, acme } = this.args;
        return {
            ACME: this.place.source,
            LEGO: settings.images.lego.reference,
            DIRECTORY: acme.directory,
            ACCOUNT: settings.name,
            EMAIL: acme.email,
        };
    }

    /** Asks for the certificate, and leaves a timer that renews it. `dependsOn`: names must lead to the server, and port 80 be answered. */
    issue(where: Installed, dependsOn: pulumi.Input<pulumi.Resource>[]): pulumi.Resource {
        const { settings, acme, server } = this.args;
        const leaf = `leaf-${acme.key}.pem`;
        // Of another key or another authority it is another certificate: lego would go on with the one it has by that name.
        const certificate = `${settings.name}-${acme.key}-${shortHash(acme.directory)}`;
        const values = pulumi.all({ ...this.lego(), ...placed(where) }).apply((plain) => ({ ...plain, ...this.plain(certificate, leaf) }));
        const secrets = [
            pulumi.interpolate`leaf ${base64(this.args.key)}`,
            ...Object.entries(this.variables()).map(([variable, value]) => pulumi.interpolate`${variable} ${base64(value)}`),
            ...(settings.alertWebhook ? [pulumi.interpolate`alert ${base64(settings.alertWebhook)}`] : []),
        ];
        const written = server.run(
            `${this.name}-certificate-secrets`,
            {
                script: SECRETS_ON_HOST,
                remove: UNDO_SECRETS,
                environment: { ACME: this.place.source, LEAF: leaf },
                stdin: pulumi.all(secrets).apply((lines) => `${lines.join("\n")}\n`),
            },
            { parent: this, dependsOn: [this.registered] },
        );
        return server.run(
            `${this.name}-certificate`,
            {
                script: SET_UP,
                remove: UNDO_SET_UP,
                environment: {
                    CONFIG: values.apply(assignments),
                    // What we have just written takes a moment to be seen; what the operator has to write takes longer than an `up` should.
                    FIRST_PATIENCE: settings.dns?.provider === "zone-file" ? "0" : "90",
                },
            },
            { parent: this, dependsOn: [written, ...dependsOn] },
        );
    }

    /** Values of certificate.conf that are known without a server. */
    private plain(certificate: string, leaf: string): Record<string, string> {
        const { settings, acme } = this.args;
        const { challenge, directory, roots, extraNames, caaIssuer } = acme;
        const serving = servicesOf(settings.profile).filter(
            (service) => CATALOGUE[service].keys && (CATALOGUE[service].publish.length > 0 || CATALOGUE[service].routed),
        );
        return {
            STACK: settings.name,
            CERTIFICATE: certificate,
            LEAF: leaf,
            NAMES: withoutCovered([...certificateNames(settings), ...extraNames]).join(" "),
            CHALLENGE: challenge.type,
            ...(challenge.type === "dns-01" ? { DNS_PROVIDER: challenge.provider === "rfc2136" ? "dnsupdate" : challenge.provider } : {}),
            ...(caaIssuer ? { CAA_ISSUER: caaIssuer } : {}),
            TRUST: roots ? "roots" : directory.includes("staging") ? "none" : "system",
            ...(settings.alertWebhook ? { ALERT: `${FOLDER}/certificate.alert` } : {}),
            READERS: serving.join(" "),
            ROUTED: serving.filter((service) => CATALOGUE[service].routed).join(" "),
            ROUTER_CONF: `${ROUTER_DIRECTORY}/nginx.conf`,
            START_TIMEOUT: String(settings.startTimeout),
        };
    }

    /** Environment of lego: credentials of the DNS provider, and whom it trusts. */
    private variables(): Record<string, pulumi.Input<string>> {
        const { challenge, roots } = this.args.acme;
        return {
            ...(roots ? { LEGO_CA_CERTIFICATES: "/lego/roots.pem" } : {}),
            ...(challenge.type === "dns-01" ? { ...challenge.environment, [challenge.secretVariable]: challenge.secret } : {}),
        };
    }
}

const shortHash = (text: string) => createHash("sha256").update(text).digest("hex").slice(0, 8);

/** Authorities refuse a name beside a wildcard that covers it, which is by one label (RFC 6125 §6.4.3). */
function withoutCovered(names: string[]): string[] {
    const wildcardAt = (name: string) => `*${name.slice(name.indexOf("."))}`;
    return [...new Set(names)].filter((name) => name.startsWith("*.") || !names.includes(wildcardAt(name)));
}

function placed({ keys, router, ipv4, ipv6 }: Installed): Record<string, pulumi.Input<string>> {
    return { KEYS: keys.source, ROUTER: router.source, IPV4: ipv4, ...(ipv6 ? { IPV6: ipv6 } : {}) };
}

const assignments = (values: Record<string, string>): string =>
    Object.entries(values)
        .map(([name, value]) => `${name}=${quote(value)}`)
        .join("\n");

const base64 = (value: pulumi.Input<string>) => pulumi.output(value).apply((text) => Buffer.from(text).toString("base64"));

/** Of a public key, base64 of its DER form: what TLSA records hold (RFC 6698 §2.1, selector 1, matching type 1). */
const fingerprint = (publicKey: string) => createHash("sha256").update(Buffer.from(publicKey, "base64")).digest("hex");
