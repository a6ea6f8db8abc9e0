import { domainToASCII } from "node:url";
import { answerIn, inMongo } from "../database";
import { StoredDomain } from "../domainRecords";
import { DockerAddress, Running, dockerAside } from "../health";
import { ROLES, isTaken } from "../roles";
import { Check, Deployment, Finding, unknown } from "./check";
import type { World } from "./world";

/** What upstream's application says of a domain itself (app/models/domains.js); it looks at DNS every hour. */
const VERDICTS = {
    has_mx_record: "MX",
    has_txt_record: "the verification code",
    has_dkim_record: "DKIM",
    has_return_path_record: "the return path",
    has_dmarc_record: "DMARC",
    has_smtp: "permission to send",
} as const;

/** A domain in the application's MongoDB, with its aliases that were asked for. */
export interface HostedDomain extends StoredDomain, Partial<Record<keyof typeof VERDICTS, boolean>> {
    is_smtp_suspended?: boolean;
    /** `postmaster`; `*` for all, `/…/` for a pattern. Only those that are enabled. */
    aliases: string[];
}

export interface Application {
    domains: HostedDomain[];
    /** Feature compatibility version of MongoDB's data: `7.0`. */
    compatibility: string;
}

const query = (aliases: string[]) => `
    const { domains, aliases } = db.getSiblingDB("forwardemail_production");
    const names = { $or: [{ name: { $in: ${JSON.stringify([...aliases, "*"])} } }, { name: { $regex: "^/" } }] };
    const found = aliases.find({ is_enabled: { $ne: false }, ...names }, { name: 1, domain: 1 }).toArray();
    const wanted = ${JSON.stringify(["name", "dkim_key_selector", "dkim_public_key", "return_path", "is_smtp_suspended", ...Object.keys(VERDICTS)])};
    const all = domains.find({}, Object.fromEntries(wanted.map((key) => [key, 1]))).toArray();
    const of = ({ _id }) => found.filter(({ domain }) => String(domain) === String(_id)).map(({ name }) => name);
    const { featureCompatibilityVersion } = db.getSiblingDB("admin").runCommand({ getParameter: 1, featureCompatibilityVersion: 1 });
    print(EJSON.stringify({
        domains: all.map((domain) => ({ ...domain, aliases: of(domain) })),
        compatibility: featureCompatibilityVersion?.version ?? featureCompatibilityVersion,
    }));`;

/** Asks the application's MongoDB. Private keys and passwords stay where they are. */
export async function askApplication(running: Running[], aliases: string[], host: DockerAddress): Promise<Application> {
    const database = running.find(({ service }) => service === "mongodb");
    if (!database) throw new Error("MongoDB does not run");
    const said = await dockerAside(inMongo(database.container, query(aliases)), host);
    const answer = answerIn(said);
    if (answer === undefined) throw new Error(`MongoDB answered ${JSON.stringify(said.slice(0, 200))}`);
    return JSON.parse(answer) as Application;
}

/** Local parts that checks ask for: the roles, and mailboxes that reports go to. */
export function aliasesOf({ dns }: Deployment["settings"]): string[] {
    const reports = [dns?.dmarc.reports, dns?.tlsReports].flatMap((address) => (address ? [address.split("@")[0]] : []));
    return [...new Set([...ROLES, "dmarc", "tlsrpt", ...reports])];
}

/** Whether a domain of the application takes mail for a local part. */
export const takes = ({ aliases }: HostedDomain, local: string): boolean => isTaken(aliases, local);

/** The application's name of a domain is in Unicode. */
export const hosted = ({ domains }: Application, name: string): HostedDomain | undefined =>
    domains.find((domain) => domainToASCII(domain.name ?? "") === name);

/** DNS may be right, and the application not know it yet: then it refuses mail all the same. */
export const domainsCheck: Check = {
    id: "domains",
    title: "the application takes and sends the domains' mail, and their postmaster, abuse and hostmaster can be reached",
    source: "upstream's app/models/domains.js; RFC 2142 §4, §5, §7",
    async run(deployment, world) {
        const { dns, domains } = deployment.settings;
        if (!dns) return [];
        const application = await world.application();
        return (await Promise.all(domains.map((name) => domainFindings(name, hosted(application, name), deployment, world)))).flat();
    },
};

async function domainFindings(name: string, domain: HostedDomain | undefined, deployment: Deployment, world: World): Promise<Finding[]> {
    if (!domain)
        return [{ status: "fail", subject: name, got: "the application does not have it", fix: "add it in the web interface: docs/servers.md" }];
    return [...verdicts(name, domain), ...(await codes(name, deployment, world)), ...roles(name, domain)];
}

function verdicts(name: string, domain: HostedDomain): Finding[] {
    const keys = Object.keys(VERDICTS) as Array<keyof typeof VERDICTS>;
    const missing = keys.filter((key) => domain[key] === false).map((key) => VERDICTS[key]);
    const fix =
        "see the check records; once it passes, the application looks by itself within the hour, or at once on the domain's page in the web interface";
    if (missing.length > 0) return [{ status: "fail", subject: name, got: `the application misses ${missing.join(", ")}`, fix }];
    if (domain.is_smtp_suspended)
        return [
            {
                status: "fail",
                subject: name,
                got: "the application has stopped its sending",
                fix: "see why, and allow it again, in the web interface: /admin/domains",
            },
        ];
    const silent = keys.filter((key) => domain[key] === undefined);
    if (silent.length > 0) return [unknown(name, `this version of the application does not say ${silent.join(", ")}`)];
    return [{ status: "pass", subject: name, got: "the application finds what it wants in DNS" }];
}

/** With two of them, upstream puts off all mail of the domain (helpers/get-forwarding-addresses.js). */
async function codes(name: string, { records }: Deployment, { lookupAt }: World): Promise<Finding[]> {
    const kind = /^[\w-]+-site-verification=/;
    const ours = records.flatMap((record) => (record.name === name && record.type === "TXT" ? (kind.exec(record.content) ?? []) : []))[0];
    if (!ours) return [];
    const found = (await lookupAt()(name, "TXT")).filter((text) => text.startsWith(ours));
    if (found.length < 2) return [];
    return [
        {
            status: "fail",
            subject: `${name} TXT`,
            got: `${found.length} codes: ${found.join(", ")}`,
            fix: "remove all but the one that npm run domains shows",
        },
    ];
}

function roles(name: string, domain: HostedDomain): Finding[] {
    const missing = ROLES.filter((role) => !takes(domain, role)).map((role) => `${role}@${name}`);
    if (missing.length === 0) return [{ status: "pass", subject: `roles at ${name}`, got: `${ROLES.join(", ")} are there` }];
    return [
        {
            status: "warn",
            subject: `roles at ${name}`,
            got: `no alias ${missing.join(", ")}`,
            fix: "add them in the web interface; the server's neighbours complain there",
        },
    ];
}
