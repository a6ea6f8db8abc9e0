import { ROLES, isTaken } from "../roles";
import type { Alias, Seen } from "./application";
import { publishedStep, sendingStep, verifiedStep } from "./dnsSteps";
import { Place, Step, command, mailDomains, pageOf } from "./place";

/** All steps in their order. Where nobody can look the names up, the steps that want to see them in DNS are left out. */
export function stepsOf(seen: Seen, place: Place): Step[] {
    const { settings, rehearsal } = place;
    const domains = mailDomains(settings);
    const hasDns = !rehearsal && !isLocal(settings.host);
    return [
        adminStep(seen, place),
        ...domains.map((domain) => domainStep(domain, seen, place)),
        ...(hasDns ? domains.flatMap((domain) => [publishedStep(domain, seen, place), verifiedStep(domain, seen, place)]) : []),
        mailboxStep(seen, place),
        // The real application lets nobody log in whose domain's code is not in DNS (upstream's helpers/on-auth.js).
        ...(hasDns || rehearsal ? [systemStep(seen, place)] : []),
        // Approving a domain sends mail: from the host, which is therefore the first.
        ...(hasDns ? [...domains].reverse().map((domain) => sendingStep(domain, seen, place)) : []),
        rolesStep(seen, place),
    ];
}

/** No DNS server knows such a name (RFC 6761 §6.3). */
const isLocal = (name: string) => /(^|\.)localhost$/.test(name);

function adminStep({ admin }: Seen, place: Place): Step {
    return {
        kind: "admin",
        title: "the administrator's account",
        done: admin?.verified === true,
        // Nobody can log in for mail whose administrator's address is not verified (upstream's helpers/validate-domain.js).
        how: admin
            ? [`Verify the address ${admin.email} at ${place.url}/verify: as long as the application cannot send mail, opening the page will do.`]
            : [
                  `Open ${place.url}/setup (${place.url}/register in an image without that page).`,
                  `User admin, password from: ${command(place, "-s output", "firstRun")}`,
                  "The first account made there is the administrator's. Take a mail address that can be read today.",
              ],
    };
}

function domainStep(domain: string, { domains }: Seen, place: Place): Step {
    const system = domain === place.settings.host ? [`The application sends its own mail as support@${domain}.`] : [];
    return {
        kind: "domain",
        domain,
        title: `the domain ${domain}`,
        done: domains.some(({ name }) => name === domain),
        how: [`Add ${domain} at ${place.url}/my-account/domains/new`, ...system],
    };
}

/** Local parts that are nobody's own. */
const NOBODYS = [...ROLES, "support", "dmarc", "tlsrpt"];

/** Whether a name can be somebody's own address: no role, and none that takes more than itself. */
export const canBeOwn = (name: string): boolean => !NOBODYS.includes(name) && !/^[*/]/.test(name);

/** The operator's own alias: the first that is no role, with a password where mail is kept here. */
export function ownAlias({ aliases }: Seen, { settings: { domains, profile } }: Place): Alias | undefined {
    const own = aliases.filter(({ name, domain, enabled }) => domain === domains[0] && enabled && canBeOwn(name));
    return profile === "full" ? own.find(({ mailbox, passwords }) => mailbox && passwords > 0) : own[0];
}

function mailboxStep(seen: Seen, place: Place): Step {
    const [domain] = place.settings.domains;
    const stored = place.settings.profile === "full";
    return {
        kind: "mailbox",
        domain,
        title: `${stored ? "a mailbox" : "an alias"} of your own at ${domain}`,
        done: ownAlias(seen, place) !== undefined,
        how: [
            `Make an alias such as you@${domain}${stored ? ", with IMAP enabled," : ""} at ${pageOf(place, domain, "/aliases/new")}`,
            ...(stored ? [`Generate its password at ${pageOf(place, domain, "/aliases")}`] : []),
        ],
    };
}

export const aliasOf = ({ aliases }: Seen, name: string, domain: string): Alias | undefined =>
    aliases.find((alias) => alias.name === name && alias.domain === domain);

/** Whether any password is there that submission could take for support@HOST: its own, or one of the whole domain. */
export function systemHasPassword(seen: Seen, host: string): boolean {
    const ofDomain = seen.domains.find(({ name }) => name === host)?.passwords ?? 0;
    return ofDomain + (aliasOf(seen, "support", host)?.passwords ?? 0) > 0;
}

/** Without that alias and its password no mail of the application's own leaves, and verifying SMTP fails (upstream's issue 362). */
function systemStep(seen: Seen, place: Place): Step {
    const { host, profile } = place.settings;
    const generate =
        profile === "full"
            ? `Generate its password at ${pageOf(place, host, "/aliases")}`
            : `Generate a password of the domain (a catch-all password) at ${pageOf(place, host, "/advanced-settings")}`;
    return {
        kind: "system",
        domain: host,
        title: `the application's own mail, from support@${host}`,
        done: seen.login.startsWith("235"),
        how: [
            ...(aliasOf(seen, "support", host)
                ? []
                : [`Make the alias support at ${pageOf(place, host, "/aliases/new")}: its recipients get the answers.`]),
            ...(systemHasPassword(seen, host) ? [`The application's login is answered: ${seen.login}`] : [generate]),
            ...(place.rehearsal || place.stack === "dev"
                ? []
                : [
                      `Give that password to the deployment: pulumi config set --secret smtpTransportPassword --stack ${place.stack}`,
                      `and then: ${command(place, "up")}`,
                  ]),
        ],
    };
}

/** Addresses that nobody reads. */
export function missingRoles(seen: Seen, { settings }: Place): Array<{ name: string; domain: string }> {
    const { dns, domains } = settings;
    const wanted = mailDomains(settings).flatMap((domain) => {
        const reports = dns ? [...(dns.dmarc.reports ? [] : ["dmarc"]), ...(dns.tlsReports || !domains.includes(domain) ? [] : ["tlsrpt"])] : [];
        return [...ROLES, ...reports].map((name) => ({ name, domain }));
    });
    const names = (of: string) => seen.aliases.filter(({ domain, enabled }) => domain === of && enabled).map(({ name }) => name);
    return wanted.filter(({ name, domain }) => !isTaken(names(domain), name));
}

function rolesStep(seen: Seen, place: Place): Step {
    const missing = missingRoles(seen, place);
    const pages = [...new Set(missing.map(({ domain }) => pageOf(place, domain, "/aliases/new")))];
    return {
        kind: "roles",
        title: `the addresses that others write to: ${ROLES.join(", ")} (RFC 2142)${place.settings.dns ? ", and those of reports" : ""}`,
        done: missing.length === 0,
        how: [
            `Nobody has ${missing.map(({ name, domain }) => `${name}@${domain}`).join(", ")}`,
            `Make aliases, or one that takes all (*), at ${pages.join(" and ")}`,
        ],
    };
}
