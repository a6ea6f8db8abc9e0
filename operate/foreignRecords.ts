import { randomBytes } from "node:crypto";
import { dnsPlan, knownValues } from "../components/dns/plan";
import { DnsRecord, RecordData, records, zoneOf } from "../components/dns/records";
import type { Problem } from "../components/errors";
import type { DnsSettings, Settings } from "../components/settings/settings";
import { LiveZone, LookupAt, Type, content, contentOf, liveZone, lookupAt } from "./dnsLookup";
import { StateResource, outputsIn } from "./machines";

/**
 * Records of others that ours would not go with, though the provider takes both: another MX or address, a second SPF or DMARC record, an
 * alias; and such as the provider would refuse to write. Asked of DNS before anything is written. A name that cannot be asked for is
 * passed over: the provider has the last word. With `strict`, it rejects.
 */
export async function findForeignRecords(
    settings: Settings,
    resources: StateResource[],
    at: LookupAt = lookupAt,
    { strict = false } = {},
): Promise<Problem[]> {
    const { dns, host } = settings;
    if (!dns) return [];
    // An address or a key that is not known yet is nobody's.
    const ours = records(dnsPlan(settings, knownValues(settings, "")));
    const before = written(resources);
    // What an earlier `up` wrote is not foreign, though the config wants something else now.
    const declared = told(outputsIn(resources)).map((one) => line(one.name, one.type, one.content));
    const own = new Set([...ours.map(({ name, data }) => line(name, data.type, content(data))), ...declared, ...before]);
    const zones = await Promise.all(dns.zones.map(({ name }) => liveZone(name, at, { strict })));
    const places = [...new Set(ours.map(({ name }) => name))].flatMap((name) => placeOf(name, ours, zones));
    const foreign = await Promise.all(places.map((place) => problemsAt(place, own, host)));
    const sets = new Set(before.map((one) => one.split(" ", 2).join(" ")));
    const there = await Promise.all(places.map((place) => alreadyAt(place, own, sets, dns)));
    return [...foreign.flat(), ...already(there.flat(), dns)];
}

/** A record as one text, to find it again. */
const line = (name: string, type: string, content: string) => `${name} ${type} ${content}`;

/** What an earlier `up` wrote, or told the operator to write. */
export function told({ zone }: Record<string, unknown>): Array<{ name: string; type: string; content: string }> {
    const texts = Object.values((zone ?? {}) as Record<string, string>).join("\n");
    const lines = [...texts.matchAll(/^(\S+)\.\s+\d+\s+IN\s+(\S+)\s+(.*)$/gm)];
    return lines.map(([, name, type, rdata]) => ({ name, type, content: contentOf(type, rdata) }));
}

/** What an earlier `up` wrote, also one that did not come to its end and has no outputs. */
function written(resources: StateResource[]): string[] {
    return resources.flatMap(({ type: of, outputs = {} }) => {
        const { name, type, content: text, priority, records: set } = outputs as Partial<Record<string, string>> & { records?: string[] };
        if (of === CLOUDFLARE) return [line(name!, type!, contentOf(type!, type === "MX" ? `${priority} ${text}` : `${text}`))];
        // The provider has the outer quotes of a text off.
        if (of === ROUTE53) return (set ?? []).map((one) => line(name!, type!, contentOf(type!, type === "TXT" ? `"${one}"` : one)));
        return [];
    });
}

const CLOUDFLARE = "cloudflare:index/dnsRecord:DnsRecord";
const ROUTE53 = "aws:route53/record:Record";

/** A name at which we write. */
interface Place {
    name: string;
    zone: LiveZone;
    ours: RecordData[];
}

function placeOf(name: string, all: DnsRecord[], zones: LiveZone[]): Place[] {
    const of = zoneOf(
        name,
        zones.map((zone) => zone.name),
    );
    const ours = all.filter((record) => record.name === name).map(({ data }) => data);
    return zones.filter((zone) => zone.name === of).map((zone) => ({ name, zone, ours }));
}

/** A label that nobody has. */
const NOBODY = `no-${randomBytes(8).toString("hex")}`;

/** Contents that are there for this name itself: what a wildcard says ends where a name gets a record of its own (RFC 4592 §2.2.1). */
async function present({ name, zone }: Place, type: Type): Promise<string[]> {
    const found = await zone.ask(name, type);
    if (found.length === 0 || name === zone.name) return found;
    const beside = await zone.ask(name.replace(/^[^.]+/, NOBODY), type);
    return found.filter((one) => !beside.includes(one));
}

async function problemsAt(place: Place, own: Set<string>, host: string): Promise<Problem[]> {
    const { name, zone, ours } = place;
    const has = (type: RecordData["type"]) => ours.some((data) => data.type === type);
    const foreign = async (type: Type) => (await present(place, type)).filter((one) => !own.has(line(name, type, one)));
    // Where there is an alias, whatever else is asked for is told of its target.
    if ((await zone.ask(name, "CNAME")).length > 0) return (await foreign("CNAME")).map((target) => alias(name, target));
    const [exchanges, texts, ...addresses] = await Promise.all([
        has("MX") ? foreign("MX") : [],
        has("TXT") ? foreign("TXT") : [],
        // Clients prefer IPv6: an address of the other kind is as wrong.
        ...(["A", "AAAA"] as const).map((type) => (has("A") ? foreign(type) : [])),
    ]);
    return [
        ...elsewhere(name, addresses.flat(), host),
        ...exchanges.flatMap((one) => exchanger(place, one)),
        ...texts.flatMap((text) => second(place, text)),
    ];
}

/** How the name servers of each provider are called; where a zone has others, what DNS says is not what the provider has. */
const NAME_SERVERS: Record<DnsSettings["provider"], RegExp> = {
    cloudflare: /\.(ns\.cloudflare|foundationdns)\.(com|net|org)$/,
    route53: /\.awsdns-\d+\.[a-z.]+$/,
    "zone-file": /^$/,
};

/** Names and types that the provider would refuse: at Cloudflare the same record twice, at Route 53 any set that is there. */
async function alreadyAt(place: Place, own: Set<string>, before: Set<string>, { provider, keep }: DnsSettings): Promise<string[]> {
    const { name, zone, ours } = place;
    if (!zone.nameServers.some((server) => NAME_SERVERS[provider].test(server))) return [];
    const aliased = (await zone.ask(name, "CNAME")).length > 0;
    const types = [...new Set(ours.map(({ type }) => type))].filter((type) => type !== "TLSA" && (type === "CNAME" || !aliased)) as Type[];
    const found = types.map(async (type) => {
        const set = `${name} ${type}`;
        if (before.has(set) || (provider === "route53" && keep[set]?.length > 0)) return [];
        const there = await present(place, type);
        const refused = provider === "route53" ? there.length > 0 : there.some((one) => own.has(line(name, type, one)));
        return refused ? [set] : [];
    });
    return (await Promise.all(found)).flat();
}

/** One problem, however many they are: an import at the provider brings all of them at once. */
function already(sets: string[], { provider }: DnsSettings): Problem[] {
    if (sets.length === 0) return [];
    const shown = sets.slice(0, 3).join(", ");
    const names = sets.length > 3 ? `${shown} and ${sets.length - 3} more` : shown;
    const [there, them] = sets.length === 1 ? ["is there already", "it"] : ["are there already", "them"];
    const SECTION = 'docs/dns.md, "From zone-file to Cloudflare or Route 53"';
    return provider === "route53"
        ? [
              {
                  key: names,
                  message: `${there}, and Route 53 refuses a second set of a name and type`,
                  fix: `remove ${them} there and run this again at once; values of others that are to stay go into dns.keep (${SECTION})`,
              },
          ]
        : [
              {
                  key: names,
                  message: `${there}, and Cloudflare refuses a record that it has (error 81058)`,
                  fix: `remove ${them} there and run this again at once (${SECTION})`,
              },
          ];
}

const alias = (name: string, target: string): Problem => ({
    key: name,
    message: `is an alias of ${target}, beside which nothing else may be`,
    fix: "remove the CNAME record",
});

function elsewhere(name: string, addresses: string[], host: string): Problem[] {
    if (addresses.length === 0) return [];
    return [
        {
            key: name,
            message: `has the address ${addresses.sort().join(", ")}, to which part of the connections would go`,
            fix: name === host ? "remove it; or, where a web site is to stay there, choose a host below it" : "remove it",
        },
    ];
}

function exchanger({ name, ours }: Place, mx: string): Problem[] {
    const target = mx.replace(/^\d+ /, "");
    if (ours.some((data) => data.type === "MX" && data.target === target)) return [];
    return [
        {
            key: name,
            message: `has the MX ${target}, which would go on getting some of the mail`,
            fix: "remove it when this server is to take over, and run this again at once",
        },
    ];
}

/** Texts of which two at a name count as none: RFC 7208 §4.5, 7489 §6.6.3, 8461 §3.1, 8460 §3, 6376 §3.6.2.2. */
const KINDS = [/^v=spf1\b/i, /^v=DMARC1\b/i, /^v=STSv1\b/i, /^v=TLSRPTv1\b/i, /^v=DKIM1\b|^(.*;)?\s*p=/i];
const kindOf = (text: string) => KINDS.find((kind) => kind.test(text));

function second({ name, ours }: Place, text: string): Problem[] {
    const kind = kindOf(text);
    // A domain may be told twice that its reports are welcome (RFC 7489 §7.1).
    if (!kind || name.includes("._report._dmarc.") || !ours.some((data) => data.type === "TXT" && kindOf(data.text) === kind)) return [];
    if (name.includes("._domainkey.")) return [key(name, text)];
    return [{ key: name, message: `has the record "${text}"; two of its kind count as none`, fix: `remove it${kind === KINDS[0] ? SENDERS : ""}` }];
}

const SENDERS = "; senders that it names beside this server have no place in ours";

/** Receivers take either (RFC 6376 §3.6.2.2), and refuse what the other one signed. */
const key = (name: string, text: string): Problem => ({
    key: name,
    message: `has a DKIM key of others, which ends in ${/\bp=([^;]*)/.exec(text)?.[1].trim().slice(-12)}: what ours signs could not be verified`,
    fix: "remove it when nothing is signed with it any more; else let one of the two have another selector",
});

/** All of them at once, each with what to do. */
export class DnsError extends Error {
    constructor(problems: Problem[]) {
        const lines = problems.map(({ key, message, fix }) => `  - ${key} ${message}\n      fix: ${fix}`);
        super(["DNS has records that ours do not go with; nothing was created or changed.", ...lines].join("\n"));
    }
}
