import { Resolver } from "node:dns/promises";
import { RecordData } from "../components/dns/records";
import { rdata } from "../components/dns/zoneFile";
import { canonical } from "../components/settings/names";

/** What can be asked for: Node 20 asks for no TLSA records (verify/world.ts). */
export type Type = Exclude<RecordData["type"], "TLSA"> | "NS";

/** Answers the contents of a name's records of a type, as `content` below has them; none where there are none. Rejects where nobody answers. */
export type Lookup = (name: string, type: Type) => Promise<string[]>;
/** A lookup at these addresses; without any, at the system's resolver. */
export type LookupAt = (servers?: string[]) => Lookup;

/** One form of a record's content, whoever tells it: DNS, the plan, a zone's text or the state. */
export const content = (data: RecordData): string => contentOf(data.type, rdata(data));

/** The same of what stands in a master file (RFC 1035 §5.1). */
export function contentOf(type: string, text: string): string {
    if (type === "A" || type === "AAAA") return canonical(text);
    const strings = [...text.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, string]) => string.replace(/\\(.)/g, "$1"));
    if (type === "TXT") return strings.join("");
    if (type === "CAA") return [...text.split(" ", 2), ...strings].join(" ");
    return text.replace(/\S+$/, host);
}

/** In lower case, without the final dot but for the root. */
const host = (name: string) => name.toLowerCase().replace(/(?<=.)\.$/, "") || ".";

/** Of an error: no content, where it is an answer that there is nothing. */
export function nothing(error: NodeJS.ErrnoException): string[] {
    if (["ENODATA", "ENOTFOUND"].includes(error.code ?? "")) return [];
    throw error;
}

export const lookupAt: LookupAt = (servers) => {
    const resolver = new Resolver({ timeout: 2000, tries: servers ? 1 : 2 });
    if (servers) resolver.setServers(servers);
    const ask: Record<Type, (name: string) => Promise<string[]>> = {
        A: (name) => resolver.resolve4(name),
        AAAA: async (name) => (await resolver.resolve6(name)).map(canonical),
        NS: async (name) => (await resolver.resolveNs(name)).map(host),
        CNAME: async (name) => (await resolver.resolveCname(name)).map(host),
        MX: async (name) => (await resolver.resolveMx(name)).map(({ priority, exchange }) => `${priority} ${host(exchange)}`),
        TXT: async (name) => (await resolver.resolveTxt(name)).map((strings) => strings.join("")),
        SRV: async (name) =>
            (await resolver.resolveSrv(name)).map(({ priority, weight, port, name: target }) => `${priority} ${weight} ${port} ${host(target)}`),
        CAA: async (name) =>
            (await resolver.resolveCaa(name)).flatMap(({ critical, ...tags }) =>
                Object.entries(tags).map(([tag, value]) => `${critical} ${tag} ${value}`),
            ),
    };
    return (name, type) => ask[type](name).catch(nothing);
};

/** A zone, as those who keep it have it. */
export interface LiveZone {
    name: string;
    /** Names of its name servers; none where nobody tells. */
    nameServers: string[];
    /** What nobody tells is not there; with `strict`, it rejects. */
    ask: Lookup;
}

/**
 * Its own name servers know of a change at once; the system's resolver remembers what was, for as long as the TTL says. It is asked where
 * these do not answer: some networks let nobody ask others. With `strict`, a question that nobody answers rejects: silence is no answer.
 */
export async function liveZone(name: string, at: LookupAt, { strict = false } = {}): Promise<LiveZone> {
    const system = at();
    const silence = (error: Error): string[] => {
        if (strict) throw error;
        return [];
    };
    const nameServers = await system(name, "NS").catch(silence);
    const addresses = await Promise.all(nameServers.slice(0, 3).map((server) => addressOf(server, system)));
    const found = addresses.flat();
    const own = found.length > 0 ? at(found) : system;
    const answers = await own(name, "NS").then(
        (servers) => servers.length > 0,
        () => false,
    );
    const first = answers ? own : system;
    const asked = new Map<string, Promise<string[]>>();
    const ask: Lookup = (one, type) => {
        const question = `${one} ${type}`;
        const known = asked.get(question);
        if (known) return known;
        const answer = first(one, type).catch(() => system(one, type).catch(silence));
        asked.set(question, answer);
        return answer;
    };
    return { name, nameServers, ask };
}

/** One is enough; over IPv4 where there is one, which most networks have. */
export async function addressOf(server: string, system: Lookup): Promise<string[]> {
    for (const type of ["A", "AAAA"] as const) {
        const [found] = await system(server, type).catch(() => []);
        if (found) return [found];
    }
    return [];
}
