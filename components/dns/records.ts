import { CATALOGUE, Profile, ServiceName, publicNames, servicesOf, under } from "../services/catalogue";
import { MtaSts, policyId } from "./mtaSts";

// Every DNS record of a deployment as plain data, from its settings and the catalogue. Nothing here knows a provider.

/** Content of a record. Host names have no final dot; "." is the root, as the target of what is not offered. */
export type RecordData =
    | { type: "A" | "AAAA"; address: string }
    | { type: "CNAME"; target: string }
    | { type: "MX"; preference: number; target: string }
    | { type: "TXT"; text: string }
    | { type: "SRV"; priority: number; weight: number; port: number; target: string }
    | { type: "CAA"; flags: number; tag: "issue" | "issuewild" | "issuemail" | "iodef"; value: string }
    | { type: "TLSA"; usage: number; selector: number; matchingType: number; certificate: string };

export interface DnsRecord {
    /** Stays when the content changes, and is its own in the deployment: `example.com TXT spf`. */
    key: string;
    /** Full name, without a final dot. */
    name: string;
    data: RecordData;
    /** What it is for, for people. */
    purpose: string;
}

/** A host that takes mail. */
export interface Exchanger {
    /** Its label under the deployment's host. */
    label: string;
    ipv4: string;
    ipv6?: string;
}

export interface DkimKey {
    selector: string;
    /** Base64 of the key's DER form. */
    publicKey: string;
}

/** A public key of the server's certificate. */
export interface NumberedKey {
    /** `certificates.key` */
    number: number;
    /** SHA-256 of the key in hexadecimal digits (RFC 6698 §2.1: selector 1, matching type 1). */
    publicKey: string;
}

/** What the application wants published for a domain: components/settings/dnsSchema.ts. */
export interface ApplicationDomain extends DkimKey {
    returnPath: string;
    verification?: string;
    previous: DkimKey[];
}

/** What decides the records. Which there are follows from everything but `Values`; these only fill them. */
export interface DnsPlan extends Values {
    host: string;
    domains: string[];
    profile: Profile;
    /** Added to every port. */
    portOffset: number;
    /** Names of zones that are signed. */
    signed: string[];
    /** Names of all zones. */
    zones: string[];
    spf: "softfail" | "fail";
    dmarc: { policy: "none" | "quarantine" | "reject"; reports?: string };
    mtaSts?: MtaSts;
    tlsReports?: string;
    autoconfig: boolean;
    /** Who may issue certificates for our names; unset, no CAA record is published. */
    caa?: { issuer: string; challenge: "http-01" | "dns-01"; wildcard: boolean; contact: string };
    applicationDomains: Record<string, ApplicationDomain>;
    /** Prefix of the application's TXT records (TXT_RECORD_PREFIX). */
    txtPrefix: string;
}

/** What may be known only when a server or a key is made. How many there are is known before. */
export interface Values {
    /** In order of preference; the first is the server of all other services too. */
    exchangers: Exchanger[];
    /** Keys that sign what the deployment itself sends. */
    dkim: DkimKey[];
    /** URL of the ACME account; "" while there is none. */
    account: string;
    /** Public keys that the server may show: that of its certificate, the one before, and the next (RFC 7671 §8.1). */
    tlsa: NumberedKey[];
}

/** All records of a deployment. The host is a mail domain too, because the application sends from it; clients are not set up for it. */
export function records(plan: DnsPlan): DnsRecord[] {
    const hostOnly = plan.domains.includes(plan.host) ? [] : [plan.host];
    return [
        ...addresses(plan),
        ...[...plan.domains, ...hostOnly].flatMap((domain) => mailDomain(plan, domain)),
        ...plan.domains.flatMap((domain) => [...policies(plan, domain), ...clients(plan, domain)]),
        ...helo(plan),
        ...systemDkim(plan),
        ...noMail(plan),
        ...certificates(plan),
        ...dane(plan),
    ];
}

const record = (name: string, role: string, data: RecordData, purpose: string): DnsRecord => ({
    key: [name, data.type, role].filter(Boolean).join(" "),
    name,
    data,
    purpose,
});
const txt = (name: string, role: string, text: string, purpose: string) => record(name, role, { type: "TXT", text }, purpose);

/** Names at which only the router answers, beside the deployment's own. */
export function policyNames(plan: Pick<DnsPlan, "domains" | "mtaSts" | "autoconfig">): string[] {
    return plan.domains.flatMap((domain) => [
        ...(plan.mtaSts ? [`mta-sts.${domain}`] : []),
        ...(plan.autoconfig ? [`autoconfig.${domain}`, `autodiscover.${domain}`] : []),
    ]);
}

/** Every name that leads to the server of the services: it has an address, and is in the certificate. */
export function ownNames(plan: Pick<DnsPlan, "host" | "profile" | "domains" | "mtaSts" | "autoconfig">): string[] {
    return [...publicNames(plan.host, plan.profile), ...policyNames(plan)];
}

/** Addresses, never aliases: an MX may not be one (RFC 2181 §10.3), and a name with other records cannot. */
function addresses(plan: DnsPlan): DnsRecord[] {
    const [first, ...others] = plan.exchangers;
    const at = (name: string, { ipv4, ipv6 }: Exchanger, purpose: string) => [
        record(name, "", { type: "A", address: ipv4 }, purpose),
        ...(ipv6 === undefined ? [] : [record(name, "", { type: "AAAA", address: ipv6 }, purpose)]),
    ];
    return [
        ...ownNames(plan).flatMap((name) => at(name, first, "the server")),
        ...others.flatMap((exchanger) => at(under(plan.host, exchanger.label), exchanger, "another server that takes mail")),
    ];
}

/** What every domain needs that mail is sent to or from. */
function mailDomain(plan: DnsPlan, domain: string): DnsRecord[] {
    const { exchangers, host, spf, dmarc, applicationDomains, txtPrefix } = plan;
    const known = applicationDomains[domain];
    const reports = dmarc.reports ?? `dmarc@${domain}`;
    return [
        ...exchangers.map(({ label }, at) =>
            record(
                domain,
                label,
                { type: "MX", preference: 10 * (at + 1), target: under(host, label) },
                "who takes the domain's mail (RFC 5321 §5.1)",
            ),
        ),
        txt(domain, "spf", `v=spf1 mx ${spf === "fail" ? "-all" : "~all"}`, "who may send the domain's mail (RFC 7208)"),
        // The application asks for this alias by name, and takes nothing else (models/domains.js, verifySMTP).
        record(
            `${known?.returnPath ?? "fe-bounces"}.${domain}`,
            "",
            { type: "CNAME", target: host },
            "where bounces come back; the application wants it",
        ),
        // Relaxed alignment, because the envelope sender is below the domain; no pct, which the application refuses.
        txt(
            `_dmarc.${domain}`,
            "dmarc",
            `v=DMARC1; p=${dmarc.policy}; rua=mailto:${reports}; adkim=r; aspf=r`,
            "what to do with mail that fails SPF and DKIM (RFC 7489)",
        ),
        ...reportsElsewhere(plan, domain, reports),
        ...[...(known ? [known] : []), ...(known?.previous ?? [])].map((key) => dkim(domain, key, "signs what users of the domain send (RFC 6376)")),
        ...(known?.verification === undefined
            ? []
            : [
                  txt(
                      domain,
                      "verification",
                      `${txtPrefix}-site-verification=${known.verification}`,
                      "shows the application that the domain is yours",
                  ),
              ]),
    ];
}

/** A domain of ours that takes another's reports says so (RFC 7489 §7.1). */
function reportsElsewhere({ domains, host }: DnsPlan, domain: string, reports: string): DnsRecord[] {
    const receiver = reports.slice(reports.indexOf("@") + 1);
    const within = (name: string, parent: string) => name === parent || name.endsWith(`.${parent}`);
    const ours = [...domains, host].some((name) => within(receiver, name));
    if (!ours || within(domain, receiver) || within(receiver, domain)) return [];
    return [txt(`${domain}._report._dmarc.${receiver}`, "dmarc", "v=DMARC1", `reports about ${domain} are welcome here`)];
}

/** Exactly these tags: the application compares the record as a whole. */
function dkim(domain: string, { selector, publicKey }: DkimKey, purpose: string): DnsRecord {
    return txt(`${selector}._domainkey.${domain}`, "dkim", `v=DKIM1; k=rsa; p=${publicKey}`, purpose);
}

/** Of the host itself: system mail, and what is forwarded (ARC). */
function systemDkim({ host, dkim: keys }: DnsPlan): DnsRecord[] {
    return keys.map((key) => dkim(host, key, "signs what the deployment itself sends (RFC 6376)"));
}

function policies({ mtaSts, tlsReports, exchangers, host }: DnsPlan, domain: string): DnsRecord[] {
    const reports = tlsReports ?? `tlsrpt@${domain}`;
    const id =
        mtaSts &&
        policyId(
            mtaSts,
            exchangers.map(({ label }) => under(host, label)),
        );
    return [
        ...(id
            ? [txt(`_mta-sts.${domain}`, "mta-sts", `v=STSv1; id=${id}`, "the domain has a policy for TLS; the id changes with it (RFC 8461)")]
            : []),
        txt(`_smtp._tls.${domain}`, "tls-rpt", `v=TLSRPTv1; rua=mailto:${reports}`, "where failures of TLS are reported (RFC 8460)"),
    ];
}

/** How mail clients find their servers (RFC 6186, 6764, 8314 §5.1), and that what is not here is not to be looked for. */
function clients(plan: DnsPlan, domain: string): DnsRecord[] {
    const running = servicesOf(plan.profile);
    const service = (name: string, of: ServiceName | undefined, port: number, priority = 0): DnsRecord => {
        const offered = of !== undefined && running.includes(of);
        const target = offered ? under(plan.host, CATALOGUE[of].publicNames[0]) : ".";
        const data: RecordData = offered
            ? { type: "SRV", priority, weight: 1, port: port + plan.portOffset, target }
            : { type: "SRV", priority: 0, weight: 0, port: 0, target };
        return record(`_${name}._tcp.${domain}`, "", data, offered ? `clients find ${of} by it` : "not offered");
    };
    return [
        service("submissions", "smtp", 465),
        service("submission", undefined, 587),
        service("imaps", "imap", 993),
        service("imap", undefined, 143),
        service("pop3s", "pop3", 995, 10),
        service("pop3", undefined, 110),
        service("caldavs", "caldav", 443),
        service("caldav", undefined, 80),
        service("carddavs", "carddav", 443),
        service("carddav", undefined, 80),
        ...(plan.autoconfig
            ? [
                  record(
                      `_autodiscover._tcp.${domain}`,
                      "",
                      { type: "SRV", priority: 0, weight: 1, port: 443 + plan.portOffset, target: `autodiscover.${domain}` },
                      "Outlook finds its settings by it",
                  ),
              ]
            : []),
    ];
}

const isMailDomain = ({ domains, host }: DnsPlan, name: string) => name === host || domains.includes(name);

/** Names that the server says of itself when it sends (RFC 7208 §2.3). */
function helo(plan: DnsPlan): DnsRecord[] {
    const names = [...plan.exchangers.map(({ label }) => label), "smtp"].map((label) => under(plan.host, label));
    return names
        .filter((name) => !isMailDomain(plan, name))
        .map((name) => txt(name, "spf", "v=spf1 a -all", "the server's own name, in its greeting"));
}

/** Names that neither send nor take mail say so: SPF, and a null MX (RFC 7505). */
function noMail(plan: DnsPlan): DnsRecord[] {
    const sends = new Set([...plan.exchangers.map(({ label }) => label), "smtp"].map((label) => under(plan.host, label)));
    return ownNames(plan)
        .filter((name) => !sends.has(name) && !isMailDomain(plan, name))
        .flatMap((name) => [
            txt(name, "spf", "v=spf1 -all", "sends no mail"),
            record(name, "", { type: "MX", preference: 0, target: "." }, "takes no mail (RFC 7505)"),
        ]);
}

/** On our own names only: on a zone's apex, or a mail domain, the records would bind whatever else is there, a web site say. */
function certificates(plan: DnsPlan): DnsRecord[] {
    if (!plan.caa) return [];
    const { issuer, challenge, wildcard, contact } = plan.caa;
    const shared = new Set([...plan.zones, ...plan.domains]);
    const names = ownNames(plan).filter((name) => !shared.has(name));
    // One on the host covers the names below it (RFC 8659 §3).
    const covered = (name: string) => names.includes(plan.host) && name !== plan.host && name.endsWith(`.${plan.host}`);
    const account = `accounturi=${plan.account}; validationmethods=${challenge}`;
    return names
        .filter((name) => !covered(name))
        .flatMap((name) => {
            const caa = (tag: "issue" | "issuewild" | "issuemail" | "iodef", value: string, purpose: string) =>
                record(name, tag, { type: "CAA", flags: 0, tag, value }, purpose);
            return [
                caa("issue", `${issuer}; ${account}`, "only this account may have certificates (RFC 8659, 8657)"),
                caa("issuewild", wildcard ? `${issuer}; ${account}` : ";", wildcard ? "wildcards too" : "nobody has wildcards"),
                caa("issuemail", ";", "nobody has S/MIME certificates (RFC 9495)"),
                caa("iodef", `mailto:${contact}`, "whom an authority tells what it refused"),
            ];
        });
}

/** DANE for mail that comes in (RFC 7672); worth nothing, and dangerous, in a zone that is not signed. */
function dane(plan: DnsPlan): DnsRecord[] {
    return plan.exchangers
        .map(({ label }) => under(plan.host, label))
        .filter((name) => plan.signed.includes(zoneOf(name, plan.zones) ?? ""))
        .flatMap((name) =>
            plan.tlsa.map(({ number, publicKey: certificate }) =>
                record(
                    `_25._tcp.${name}`,
                    `key ${number}`,
                    { type: "TLSA", usage: 3, selector: 1, matchingType: 1, certificate },
                    `public key ${number} of the certificate (RFC 7672)`,
                ),
            ),
        );
}

/** The zone that a name belongs to: the longest that it ends with. */
export function zoneOf(name: string, zones: string[]): string | undefined {
    return zones.filter((zone) => name === zone || name.endsWith(`.${zone}`)).sort((a, b) => b.length - a.length)[0];
}

/** Names that cannot be as the records want them: an alias beside something else (RFC 1034 §3.6.2), two SPF records, or two purposes at once. */
export function conflicts(all: DnsRecord[]): string[] {
    return [...new Set(all.map(({ name }) => name))].filter((name) => {
        const here = all.filter((one) => one.name === name);
        const aliases = here.filter(({ data }) => data.type === "CNAME").length;
        const spf = here.filter(({ data }) => data.type === "TXT" && data.text.startsWith("v=spf1")).length;
        const distinct = new Set(here.map(({ key }) => key)).size;
        return (aliases > 0 && here.length > 1) || spf > 1 || distinct < here.length;
    });
}
