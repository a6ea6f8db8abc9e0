import type { Type } from "../dnsLookup";
import { Application, hosted, takes } from "./application";
import { Check, Deployment, Finding, unknown } from "./check";
import type { World } from "./world";

/** What asks receivers for reports. */
interface Kind {
    label: string;
    /** What its record begins with. */
    version: string;
    /** What is wrong with the record's other tags. */
    problem(tags: Map<string, string>): string | undefined;
    /** Whether a receiver elsewhere must say that it wants them (RFC 7489 §7.1). */
    wantsConsent: boolean;
}

const DMARC: Kind = {
    label: "_dmarc",
    version: "v=DMARC1",
    wantsConsent: true,
    problem(tags) {
        const policy = tags.get("p") ?? "";
        if (!["none", "quarantine", "reject"].includes(policy)) return `p is "${policy}"`;
        // Upstream takes a domain whose policy is for a part of its mail for one without (models/domains.js).
        return ["", "100"].includes(tags.get("pct") ?? "") ? undefined : `pct is "${tags.get("pct")}", which the application refuses`;
    },
};
const TLS: Kind = { label: "_smtp._tls", version: "v=TLSRPTv1", wantsConsent: false, problem: () => undefined };

/** A report that nobody gets tells nobody that mail is forged, or refused for its TLS. */
export const reportsCheck: Check = {
    id: "reports",
    title: "receivers know one place for reports of DMARC and of TLS each, and it exists",
    source: "RFC 7489 §6.3, §7.1; RFC 8460 §3",
    async run(deployment, world) {
        const { dns, domains, host } = deployment.settings;
        if (!dns) return [];
        const asked = world.application();
        const application = await asked.catch((error: Error) => error);
        const all = [...[...new Set([...domains, host])].map((name) => [DMARC, name] as const), ...domains.map((name) => [TLS, name] as const)];
        return Promise.all(all.map(([kind, name]) => reportOf(kind, name, { deployment, world, application })));
    },
};

interface Asked {
    deployment: Deployment;
    world: World;
    /** An error, where MongoDB cannot be asked. */
    application: Application | Error;
}

async function reportOf(kind: Kind, domain: string, asked: Asked): Promise<Finding> {
    const subject = `${kind.label}.${domain}`;
    try {
        const texts = (await asked.world.lookupAt()(subject, "TXT")).filter((text) => text.startsWith(kind.version));
        const fix = "see the checks records and foreign";
        if (texts.length !== 1)
            return { status: "fail", subject, got: texts.length === 0 ? "no record" : "several records, which count as none", fix };
        const tags = tagsOf(texts[0]);
        const places = (tags.get("rua") ?? "").split(",").map((place) => place.trim().replace(/!\d+[kmgt]?$/i, ""));
        const problem =
            kind.problem(tags) ?? places.filter((place) => !/^(mailto:[^@]+@[^@]+|https:.+)$/.test(place)).map((place) => `rua is "${place}"`)[0];
        if (problem) return { status: "fail", subject, got: problem, fix };
        const lost = (await Promise.all(places.map((place) => whyLost(place, kind, domain, asked)))).flat();
        return lost[0] ?? { status: "pass", subject, got: places.join(", ") };
    } catch (error) {
        return unknown(subject, (error as Error).message);
    }
}

/** `v=X; a=b` as a map (RFC 6376 §3.2). */
const tagsOf = (text: string) =>
    new Map(
        text
            .split(";")
            .flatMap((tag) => (tag.includes("=") ? [[tag.slice(0, tag.indexOf("=")).trim(), tag.slice(tag.indexOf("=") + 1).trim()] as const] : [])),
    );

/** That our own MX takes a recipient says nothing: upstream takes any, and decides when it has the message. So the application's database is asked. */
async function whyLost(place: string, kind: Kind, domain: string, { deployment, world, application }: Asked): Promise<Finding[]> {
    if (place.startsWith("https:")) return [];
    const subject = `${kind.label}.${domain}`;
    const address = decodeURIComponent(place.slice("mailto:".length)).toLowerCase();
    const [local, receiver] = address.split("@");
    const { domains, host } = deployment.settings;
    const lost = (got: string, fix: string): Finding[] => [{ status: "warn", subject, got: `${address}: ${got}`, fix }];
    const lookup = world.lookupAt();
    if ([...domains, host].includes(receiver)) {
        if (application instanceof Error) return [unknown(subject, application.message)];
        const owner = hosted(application, receiver);
        return owner && takes(owner, local)
            ? []
            : lost("there is no such alias", `add it in the web interface, or set ${keyOf(kind)} in dns to one that is read`);
    }
    if ((await addressesOf(receiver, lookup)).length === 0) return lost("nobody takes its mail", `set ${keyOf(kind)} in dns to one that is read`);
    if (!kind.wantsConsent || related(domain, receiver)) return [];
    const consent = await lookup(`${domain}._report._dmarc.${receiver}`, "TXT");
    if (consent.some((text) => text.startsWith(DMARC.version))) return [];
    return lost("does not say that it wants them", `its owner must publish ${domain}._report._dmarc.${receiver} TXT "v=DMARC1"`);
}

const keyOf = (kind: Kind) => (kind === DMARC ? "dmarc.reports" : "tlsReports");

/** A domain without MX takes its mail itself (RFC 5321 §5.1), and one with a null MX takes none (RFC 7505). */
async function addressesOf(domain: string, lookup: (name: string, type: Type) => Promise<string[]>): Promise<string[]> {
    const exchangers = await lookup(domain, "MX");
    return exchangers.length > 0
        ? exchangers.filter((mx) => !mx.endsWith(" ."))
        : [...(await lookup(domain, "A")), ...(await lookup(domain, "AAAA"))];
}

/** Of one organisation, as far as the names tell. */
const related = (one: string, other: string) => one === other || one.endsWith(`.${other}`) || other.endsWith(`.${one}`);
