import { EXCHANGER } from "../services/catalogue";
import { CertificateSettings, Settings } from "../settings/settings";
import { DnsPlan, Values } from "./records";

/** What of the settings decides the records. */
type Decides = Pick<
    Settings,
    "host" | "domains" | "profile" | "dns" | "mtaSts" | "autoconfig" | "applicationDomains" | "environment" | "certificates"
> & {
    network: { portOffset: number };
};

/** The plan of a deployment that has a DNS provider. */
export function dnsPlan(settings: Decides, values: Values): DnsPlan {
    const { host, domains, profile, network, dns, mtaSts, autoconfig, applicationDomains, environment } = settings;
    const { zones, spf, dmarc, tlsReports } = dns!;
    const { TXT_RECORD_PREFIX: prefix } = environment;
    return {
        ...{ host, domains, profile, mtaSts, autoconfig, applicationDomains, spf, dmarc, tlsReports },
        portOffset: network.portOffset,
        zones: zones.map(({ name }) => name),
        signed: zones.filter(({ dnssec }) => dnssec).map(({ name }) => name),
        txtPrefix: typeof prefix === "string" ? prefix : "forward-email",
        caa: dns!.caa ? caaOf(settings.certificates) : undefined,
        ...values,
    };
}

/** Where the authority has a name in CAA records. */
function caaOf(certificates: CertificateSettings): DnsPlan["caa"] {
    if (certificates.issuer !== "acme" || !certificates.caaIssuer) return undefined;
    const { caaIssuer: issuer, challenge, email: contact, extraNames } = certificates;
    return { issuer, challenge: challenge.type, wildcard: extraNames.some((name) => name.startsWith("*.")), contact };
}

/** Values as far as the settings tell them; `filler` is in the place of those that only a server and keys have. */
export function knownValues({ servers, dkim }: Pick<Settings, "servers" | "dkim">, filler: string): Values {
    const [{ ipv4 = filler, ipv6 }] = servers;
    return {
        exchangers: [{ label: EXCHANGER, ipv4, ipv6 }],
        dkim: Object.keys(dkim).map((selector) => ({ selector, publicKey: filler })),
        account: filler,
        tlsa: [],
    };
}

/** Values in place of those that only a server and keys have: enough to see which records there will be. */
export const EXAMPLE: Values = {
    exchangers: [{ label: EXCHANGER, ipv4: "192.0.2.1" }],
    dkim: [],
    account: "",
    tlsa: [],
};
