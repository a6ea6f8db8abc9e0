import { isIPv4 } from "node:net";
import * as pulumi from "@pulumi/pulumi";
import { Problem } from "../errors";
import { EXAMPLE, dnsPlan } from "../dns/plan";
import { conflicts, ownNames, records, zoneOf } from "../dns/records";
import type { MtaSts } from "../dns/mtaSts";
import { LETS_ENCRYPT, LETS_ENCRYPT_STAGING } from "./certificateSchema";
import { RawConfig, readProjectFile } from "./parse";
import { Config } from "./schema";
import { duplicates } from "./servers";
import { AcmeSettings, Challenge, DnsSettings, Settings, Zone } from "./settings";

type Acme = Extract<Config["certificates"], { issuer: "acme" }>;

export const mailDomains = ({ domains, host }: Pick<Config, "domains" | "host">) => (domains.length > 0 ? domains : [host]);

/** What the config says of DNS, with the defaults that follow from other keys. */
export function dnsOf(config: Config, raw: RawConfig): Pick<Settings, "dns" | "mtaSts" | "autoconfig"> {
    const { mtaSts, autoconfig } = policiesOf(config);
    const { provider, dmarc, spf, ttl, tlsReports, caa, keep } = config.dns;
    const isLocal = config.servers.every(({ kind }) => kind === "local");
    const chosen = provider ?? (isLocal ? "none" : "zone-file");
    const token = raw.cloudflareToken === undefined ? undefined : pulumi.secret(raw.cloudflareToken);
    const dns: DnsSettings | undefined =
        chosen === "none" ? undefined : { provider: chosen, zones: zonesOf(config), ttl, spf, dmarc, tlsReports, caa, keep, token };
    return { dns, mtaSts, autoconfig };
}

function policiesOf({ certificates, profile, dns }: Config): { mtaSts?: MtaSts; autoconfig: boolean } {
    const isAcme = certificates.issuer === "acme";
    const mode = dns.mtaSts.mode ?? (isAcme ? "testing" : "off");
    return {
        mtaSts: mode === "off" ? undefined : { mode, maxAge: dns.mtaSts.maxAge },
        autoconfig: dns.autoconfig ?? (isAcme && profile === "full"),
    };
}

/** Without a list: every domain is a zone of its own, but for those that are below another. */
function zonesOf(config: Config): Zone[] {
    if (config.dns.zones.length > 0) return config.dns.zones;
    const names = [...new Set([...mailDomains(config), config.host])];
    return names.filter((name) => !names.some((other) => name.endsWith(`.${other}`))).map((name) => ({ name, dnssec: false }));
}

/** Every name that the deployment's certificate must have. */
export const certificateNames = (settings: Pick<Settings, "host" | "profile" | "domains" | "mtaSts" | "autoconfig">): string[] => [
    ...new Set(ownNames(settings)),
];

export function namesOf(config: Config): string[] {
    return certificateNames({ ...config, ...policiesOf(config), domains: mailDomains(config) });
}

/** What lego is told of a DNS-01 challenge: https://go-acme.github.io/lego/dns/. */
const VARIABLES = {
    cloudflare: { secret: "CF_DNS_API_TOKEN", wants: "the API token (Zone: Read, DNS: Edit)", needs: [] },
    route53: { secret: "AWS_SECRET_ACCESS_KEY", wants: "the secret access key", needs: ["accessKeyId"] },
    rfc2136: { secret: "DNSUPDATE_TSIG_SECRET", wants: "the TSIG secret in base64", needs: ["nameserver", "tsigKey"] },
} as const;

/** Keys that only dns-01 reads. */
const DNS_01_KEYS = ["dnsProvider", "accessKeyId", "nameserver", "tsigKey"] as const;

const dnsProviderOf = (acme: Acme, { dns }: Config) =>
    acme.dnsProvider ?? (dns.provider === "cloudflare" || dns.provider === "route53" ? dns.provider : undefined);

function challengeOf(acme: Acme, config: Config, raw: RawConfig): Challenge {
    const provider = dnsProviderOf(acme, config);
    if (acme.challenge === "http-01" || !provider) return { type: "http-01" };
    const environment: Record<string, Record<string, string>> = {
        cloudflare: {},
        route53: { AWS_ACCESS_KEY_ID: acme.accessKeyId ?? "", AWS_REGION: "us-east-1" },
        rfc2136: {
            DNSUPDATE_NAMESERVER: acme.nameserver ?? "",
            DNSUPDATE_TSIG_KEY: acme.tsigKey ?? "",
            DNSUPDATE_TSIG_ALGORITHM: "hmac-sha256.",
            DNSUPDATE_SEQUENCE_INTERVAL: "0", // else a minute between names
        },
    };
    const secret = pulumi.secret(raw.acmeDnsCredential ?? "");
    return { type: "dns-01", provider, environment: environment[provider], secretVariable: VARIABLES[provider].secret, secret };
}

/** Names of authorities in CAA records, by the host of their directory. */
const CAA_ISSUERS: Record<string, string> = {
    "acme-v02.api.letsencrypt.org": "letsencrypt.org",
    "acme-staging-v02.api.letsencrypt.org": "letsencrypt.org",
    "acme.zerossl.com": "sectigo.com",
    "acme.ssl.com": "ssl.com",
    "dv.acme-v02.api.pki.goog": "pki.goog",
    "api.buypass.com": "buypass.com",
};

export function acmeOf(acme: Acme, config: Config, raw: RawConfig, directory: string): AcmeSettings {
    const url = acme.staging ? LETS_ENCRYPT_STAGING : acme.directory;
    return {
        issuer: "acme",
        email: acme.email,
        directory: url,
        challenge: challengeOf(acme, config, raw),
        extraNames: acme.extraNames,
        roots: acme.rootsFile === undefined ? undefined : readProjectFile(directory, acme.rootsFile),
        caaIssuer: acme.caaIssuer ?? CAA_ISSUERS[new URL(url).hostname],
        key: acme.key,
    };
}

/** Whether who writes the records has what it takes. */
export function checkWriter(config: Config, raw: RawConfig): Problem[] {
    const problems: Problem[] = [];
    const { dns } = dnsOf(config, raw);
    if (dns?.provider === "cloudflare" && !raw.cloudflareToken)
        problems.push({
            key: "cloudflareToken",
            message: "is missing, wanted a token of Cloudflare's API (Zone: DNS: Edit)",
            fix: "pulumi config set --secret cloudflareToken",
        });
    if (Object.keys(config.dns.keep).length > 0 && dns?.provider !== "route53")
        problems.push({
            key: "dns.keep",
            message: "means nothing but with provider route53, where a name has one record set of a type",
            fix: "remove it",
        });
    return problems;
}

/** Whether what is published for senders and for mail clients can be read by them. */
export function checkPolicies(config: Config): Problem[] {
    const problems: Problem[] = [];
    const { mtaSts } = policiesOf(config);
    if (mtaSts && mtaSts.mode !== "none" && config.certificates.issuer === "self-signed")
        problems.push({
            key: "dns.mtaSts.mode",
            message: `got ${mtaSts.mode} with issuer self-signed, whose policy no sender would read`,
            fix: "set certificates.issuer to acme, or mode to off",
        });
    if (mtaSts?.mode === "enforce" && config.certificates.issuer === "acme" && config.certificates.staging)
        problems.push({
            key: "dns.mtaSts.mode",
            message: "got enforce with certificates.staging: true, whose certificate nobody trusts: senders that honour the policy would not deliver",
            fix: "set mode to testing, or certificates.staging to false",
        });
    if (config.dns.autoconfig && config.profile !== "full")
        problems.push({
            key: "dns.autoconfig",
            message: "got true with profile forwarding, which has no mailboxes to set up",
            fix: "remove it, or set profile: full",
        });
    return problems;
}

/** Whether every domain has a zone, and every zone what its provider wants. */
export function checkZones(config: Config, raw: RawConfig): Problem[] {
    const { dns } = dnsOf(config, raw);
    if (!dns) return [];
    const { provider, zones } = dns;
    const problems = duplicates(
        "dns.zones",
        zones.map(({ name }) => name),
        "each zone once",
    );
    const names = zones.map(({ name }) => name);
    for (const name of new Set([...mailDomains(config), config.host]))
        if (!zoneOf(name, names))
            problems.push({
                key: "dns.zones",
                message: `${name} is in none of them: ${names.join(", ")}`,
                fix: `add the zone that ${name} belongs to`,
            });
    if (provider === "zone-file") return problems;
    const form = provider === "cloudflare" ? /^[0-9a-f]{32}$/ : /^Z/;
    if (config.dns.zones.length === 0)
        problems.push({ key: "dns.zones", message: `is empty, and ${provider} wants the id of each zone`, fix: `list them with name and id` });
    config.dns.zones.forEach(({ name, id }, at) => {
        if (id === undefined || !form.test(id))
            problems.push({
                key: `dns.zones[${at}].id`,
                message: `${id === undefined ? "is missing" : `got ${id}`}, wanted the id that ${provider} gives zone ${name}`,
                fix: `pulumi config set --path 'dns.zones[${at}].id' VALUE`,
            });
    });
    return problems;
}

/** Names lead to addresses, and never by an alias: an MX must not. */
export function checkAddresses(config: Config, raw: RawConfig): Problem[] {
    const { dns } = dnsOf(config, raw);
    if (!dns) return [];
    const [{ kind, address, ipv4, ipv6 }] = config.servers;
    const problems: Problem[] = [];
    if (ipv6 && !config.network.ipv6)
        problems.push({
            key: "servers[0].ipv6",
            message: "got an address while network.ipv6 is false: mail over it would reach nothing, or arrive without its sender's address",
            fix: "set network.ipv6 to true, or remove it",
        });
    if (kind === "local" || (kind === "ssh" && !ipv4 && !isIPv4(address ?? "")))
        problems.push({
            key: "servers[0].ipv4",
            message: `is missing, and dns.provider ${dns.provider} writes it`,
            fix: kind === "local" ? "set dns.provider to none, or the server's kind to ssh" : "give the server's public IPv4 address",
        });
    return problems;
}

/** An alias has no neighbours, and a name has one SPF record: a domain that is also a name of another purpose has both. */
export function checkNames(config: Config, raw: RawConfig): Problem[] {
    const { dns } = dnsOf(config, raw);
    if (!dns) return [];
    // A domain that stands there twice is told as that, not as a conflict of each of its names with itself.
    const domains = [...new Set(mailDomains(config))];
    const settings = { ...config, ...policiesOf(config), dns, domains, applicationDomains: config.domainRecords };
    // CAA records are at names that have an address: they add no conflict.
    const plan = dnsPlan({ ...settings, environment: {}, certificates: { issuer: "self-signed" } }, EXAMPLE);
    return conflicts(records(plan)).map((name) => ({
        key: "domains",
        message: `${name} would be a name of the deployment and of a mail domain at once`,
        fix: "choose a domain that is no service's name, or another host",
    }));
}

/** https://letsencrypt.org/docs/rate-limits/; others have the same. */
const MOST_NAMES = 100;

/** Whether one certificate can have all names. */
export function checkNameCount(config: Config): Problem[] {
    if (config.certificates.issuer !== "acme") return [];
    const names = namesOf(config).length + config.certificates.extraNames.length;
    if (names <= MOST_NAMES) return [];
    return [
        {
            key: "domains",
            message: `make ${names} names for one certificate, and authorities take ${MOST_NAMES} at most`,
            fix: "set dns.autoconfig to false, which leaves two names less for each domain, or serve fewer domains from one deployment",
        },
    ];
}

/** A part that is broken has no selector here: it can hide a problem, not make one up. */
export function checkDkim({ dkim, domainRecords, host }: Config): Problem[] {
    const problems: Problem[] = [];
    const active = Object.keys(dkim).filter((selector) => dkim[selector] === "active");
    if (active.length !== 1)
        problems.push({
            key: "dkim",
            message: `got ${active.length === 0 ? "no active selector" : `${active.length} active selectors: ${active.join(", ")}`}, wanted one`,
            fix: "set the one that signs to active, and others to next or retired",
        });
    const theirs = domainRecords[host] && [domainRecords[host], ...domainRecords[host].previous].map(({ selector }) => selector);
    for (const selector of Object.keys(dkim).filter((name) => theirs?.includes(name)))
        problems.push({ key: `dkim.${selector}`, message: `is the application's own selector for ${host}`, fix: "choose another name" });
    return problems;
}

/** Whether the server can show the authority that the names are ours. */
export function checkAcme(config: Config, raw: RawConfig, directory: string): Problem[] {
    const { certificates: acme } = config;
    if (acme.issuer !== "acme") return [];
    const problems: Problem[] = [];
    const report = (key: string, message: string, fix: string) => problems.push({ key, message, fix });
    const at = (key: string) => `certificates.${key}`;
    const [{ kind, setUp }] = config.servers;
    if (kind === "local" || !setUp)
        report(
            at("issuer"),
            "got acme on a server that the program does not set up: the renewal needs a timer on it",
            "set the server's kind to ssh or aws, or issuer to provided",
        );
    if (config.network.portOffset !== 0 && acme.challenge === "http-01")
        report(at("challenge"), "got http-01 with network.portOffset, and authorities ask port 80 only", "set portOffset to 0, or take dns-01");
    for (const name of acme.extraNames.filter((one) => one.startsWith("*.")))
        if (acme.challenge === "http-01")
            report(at("extraNames"), `got ${name} with http-01, which cannot show a wildcard`, `set ${at("challenge")} to dns-01, or remove it`);
    if (acme.staging && acme.directory !== LETS_ENCRYPT)
        report(at("staging"), "got true together with a directory of another authority", "remove one of them");
    if (acme.rootsFile !== undefined && !isReadable(directory, acme.rootsFile))
        report(at("rootsFile"), `${acme.rootsFile} cannot be read as PEM certificates`, "name a PEM file");
    if (acme.challenge === "http-01") {
        // The secret acmeDnsCredential may stay: it is given by a command, not by the stack file's next edit.
        for (const key of DNS_01_KEYS.filter((one) => acme[one] !== undefined))
            report(at(key), "means nothing with challenge http-01", `remove it, or set ${at("challenge")} to dns-01`);
        return problems;
    }
    // Zones that are not listed are guesses: the server may write to others.
    const zones = config.dns.zones.map(({ name }) => name);
    for (const name of zones.length > 0 ? acme.extraNames : [])
        if (!zoneOf(name, zones))
            report(at("extraNames"), `${name} is in none of dns.zones: ${zones.join(", ")}`, "add the zone that it belongs to, or remove it");
    const provider = dnsProviderOf(acme, config);
    if (!provider)
        return [
            ...problems,
            {
                key: at("dnsProvider"),
                message: `is missing, and dns-01 writes a record`,
                fix: "set it to cloudflare, route53 or rfc2136, or challenge to http-01",
            },
        ];
    const { wants, needs } = VARIABLES[provider];
    if (!raw.acmeDnsCredential)
        report("acmeDnsCredential", `is missing, wanted ${wants} for the server`, "pulumi config set --secret acmeDnsCredential");
    for (const key of needs)
        if (acme[key] === undefined) report(at(key), `is missing, and dns-01 by ${provider} needs it`, `pulumi config set --path '${at(key)}' VALUE`);
    return problems;
}

function isReadable(directory: string, file: string): boolean {
    try {
        return /-----BEGIN CERTIFICATE-----/.test(readProjectFile(directory, file));
    } catch {
        return false;
    }
}
