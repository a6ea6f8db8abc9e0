import { spf } from "mailauth";
import { zoneOf } from "../../components/dns/records";
import { policyText } from "../../components/dns/mtaSts";
import { EXCHANGER, under } from "../../components/services/catalogue";
import { canonical } from "../../components/settings/names";
import { LiveZone, Lookup, LookupAt, Type, addressOf, liveZone } from "../dnsLookup";
import { findForeignRecords } from "../foreignRecords";
import { Check, Declared, Deployment, Finding, unknown } from "./check";
import { resolverOf } from "./resolver";
import type { World } from "./world";

const publish = (deployment: Deployment): string =>
    deployment.settings.dns?.provider === "zone-file"
        ? `add what npm run -s output -- zone --stack ${deployment.stack} prints to the zone`
        : `npm run up -- --stack ${deployment.stack}`;

/** Every declared record, at each of the zone's own name servers and at this machine's resolver. */
export const recordsCheck: Check = {
    id: "records",
    title: "DNS has every record as it was declared",
    source: "RFC 1034, 5321 §5.1, 7208, 6376, 7489, 8461, 8460, 8659, 6186",
    async run(deployment, world) {
        const { dns } = deployment.settings;
        if (!dns) return [];
        return (await Promise.all(dns.zones.map(({ name }) => zoneFindings(name, deployment, world.lookupAt)))).flat();
    },
};

async function zoneFindings(name: string, deployment: Deployment, at: LookupAt): Promise<Finding[]> {
    const zone = await liveZone(name, at, { strict: true }).catch((error: Error) => error);
    if (zone instanceof Error) return [unknown(name, `nobody tells its name servers: ${zone.message}`)];
    if (zone.nameServers.length === 0) return [undelegated(name)];
    const names = deployment.settings.dns!.zones.map((one) => one.name);
    // That TLSA records fit what port 25 shows is another check's.
    const ours = deployment.records.filter((record) => zoneOf(record.name, names) === name && record.type !== "TLSA");
    const servers = await Promise.all(zone.nameServers.slice(0, MOST_SERVERS).map((server) => nameServer(server, name, at)));
    const compared = await Promise.all(ours.map((record) => compare(record, zone, servers, at(), publish(deployment))));
    const silent = servers.filter(({ isSilent }) => isSilent).map((server) => server.name);
    const wrong = [...silent.map(mute), ...compared.flat()];
    if (wrong.some(({ status }) => status === "fail" || status === "unknown")) return wrong;
    const told = servers.filter(({ isSilent }) => !isSilent).map((server) => server.name);
    return [...wrong, { status: "pass", subject: name, got: `${ours.length} records at ${told.join(", ") || "a resolver"}` }];
}

const undelegated = (zone: string): Finding => ({
    status: "fail",
    subject: zone,
    got: "DNS knows no name servers of this zone",
    fix: "see at the registrar that the domain is delegated to the provider of its zone",
});

const mute = (server: string): Finding => ({
    status: "warn",
    subject: `name server ${server}`,
    got: "leaves questions without an answer",
    fix: "see at the provider; none answers, perhaps, because this network lets nobody ask others",
});

/** Most providers give two to four; more are not asked. */
const MOST_SERVERS = 4;

/** One by itself: a secondary that was left behind gives a part of the world what was. */
interface NameServer {
    name: string;
    /** Undefined where it does not answer. */
    ask(name: string, type: Type): Promise<string[] | undefined>;
    isSilent: boolean;
}

async function nameServer(name: string, zone: string, at: LookupAt): Promise<NameServer> {
    const [address] = await addressOf(name, at());
    if (!address) return { name, isSilent: true, ask: () => Promise.resolve(undefined) };
    const lookup = at([address]);
    // One of so many datagrams may be lost. One that says nothing at first is not waited for again with every record.
    const once = await lookup(zone, "NS").catch(() => undefined);
    const server: NameServer = {
        name,
        isSilent: !once,
        ask: async (record, type) => {
            if (!once) return undefined;
            const found = await lookup(record, type).catch(() => lookup(record, type).catch(() => undefined));
            server.isSilent ||= !found;
            return found;
        },
    };
    return server;
}

async function compare({ name, type, content }: Declared, zone: LiveZone, servers: NameServer[], system: Lookup, fix: string): Promise<Finding[]> {
    const subject = `${name} ${type}`;
    const asked = await Promise.all(servers.map(async (server) => ({ from: server.name, there: await server.ask(name, type as Type) })));
    const answers = asked.flatMap(({ from, there }) => (there ? [{ from, there }] : []));
    // Where none of them answers, whoever does: some networks let nobody ask others.
    const last = answers.length > 0 ? undefined : await zone.ask(name, type as Type).catch((error: Error) => error);
    if (last instanceof Error) return [unknown(subject, `nobody answers: ${last.message}`)];
    const lacking = [...answers, ...(last ? [{ from: "a resolver", there: last }] : [])].filter(({ there }) => !there.includes(content));
    const got = lacking.map(({ from, there }) => `${there.join(", ") || "nothing"} at ${from}`).join("; ");
    if (lacking.length > 0) return [{ status: "fail", subject, expected: content, got, fix }];
    const seen = await system(name, type as Type).catch(() => undefined);
    if (!seen) return [unknown(subject, "this machine's resolver does not answer")];
    if (seen.includes(content)) return [];
    const cached = `a resolver still has ${seen.join(", ") || "nothing"}`;
    return [{ status: "warn", subject, expected: content, got: cached, fix: "wait as long as its TTL was" }];
}

/** What others have put beside our records: an `up` would refuse it. */
export const foreignCheck: Check = {
    id: "foreign",
    title: "no record of others contradicts ours",
    source: "RFC 7208 §4.5, 7489 §6.6.3, 5321 §5.1",
    async run({ settings, resources }, world) {
        if (!settings.dns) return [];
        const problems = await findForeignRecords(settings, resources, world.lookupAt, { strict: true });
        const refused = problems.filter(({ message }) => !message.includes("there already")); // of no concern once they are written
        if (refused.length === 0) return [{ status: "pass", subject: settings.dns.zones.map(({ name }) => name).join(", "), got: "only ours" }];
        return refused.map(({ key, message, fix }) => ({ status: "fail", subject: key, got: message, fix }));
    },
};

/** The reverse name of each address, and the way back. */
export const reverseCheck: Check = {
    id: "reverse",
    title: "each address has the name of the server, and the name has the address",
    source: "RFC 1912 §2.1; large receivers refuse mail from an address without",
    async run({ outputs }, world) {
        const names = Object.entries((outputs.reverse ?? {}) as Record<string, string>);
        return Promise.all(names.map(([address, name]) => reverseOf(address, name, world)));
    },
};

async function reverseOf(address: string, name: string, world: World): Promise<Finding> {
    try {
        const found = (await world.reverse(address)).map((one) => one.toLowerCase());
        const fix = `at the server's provider, set the reverse name of ${address} to ${name}, and no second one`;
        const got = found.join(", ") || "no name";
        if (!found.includes(name)) return { status: "fail", subject: address, expected: name, got, fix };
        const back = await world.lookupAt()(name, address.includes(":") ? "AAAA" : "A");
        if (!back.map(canonical).includes(canonical(address)))
            return { status: "fail", subject: name, expected: address, got: back.join(", ") || "no address", fix: "see the check records" };
        // Which of two a receiver takes is chance.
        return found.length > 1 ? { status: "warn", subject: address, expected: name, got, fix } : { status: "pass", subject: address, got };
    } catch (error) {
        return unknown(address, (error as Error).message);
    }
}

/** What a receiver makes of the sender's address: for each name that was declared as one that sends. */
export const spfCheck: Check = {
    id: "spf",
    title: "receivers find that this server may send for the domains",
    source: "RFC 7208",
    async run(deployment, world) {
        const { settings, outputs } = deployment;
        if (!settings.dns) return [];
        const addresses = Object.keys((outputs.reverse ?? {}) as Record<string, string>);
        const helo = under(settings.host, EXCHANGER);
        const names = sendersOf(deployment);
        return Promise.all(addresses.flatMap((ip) => names.map((name) => spfOf(ip, name, helo, world.lookupAt(), publish(deployment)))));
    },
};

/** Names whose SPF record lets somebody send, and the return paths, which are aliases of one. */
function sendersOf({ settings, records }: Deployment): string[] {
    const paths = [...settings.domains, settings.host].map(
        (domain) => `${settings.applicationDomains[domain]?.returnPath ?? "fe-bounces"}.${domain}`,
    );
    const sends = ({ name, type, content }: Declared) =>
        type === "TXT" ? /^v=spf1 (.* )?(mx|a)( |$)/.test(content) : type === "CNAME" && paths.includes(name);
    return [...new Set(records.filter(sends).map(({ name }) => name))];
}

async function spfOf(ip: string, domain: string, helo: string, lookup: Lookup, fix: string): Promise<Finding> {
    const { status } = await spf({ sender: `postmaster@${domain}`, ip, helo, mta: helo, resolver: resolverOf(lookup) });
    const subject = `${domain} from ${ip}`;
    if (status.result === "pass") return { status: "pass", subject, got: "pass" };
    if (status.result === "temperror") return { status: "unknown", subject, got: `temperror: ${status.comment ?? ""}` };
    return { status: "fail", subject, expected: "pass", got: `${status.result}: ${status.comment ?? ""}`, fix };
}

/** The policy, as senders fetch it. */
export const mtaStsCheck: Check = {
    id: "mta-sts",
    title: "senders can fetch the MTA-STS policy of each domain",
    source: "RFC 8461 §3.2, §3.3",
    async run({ settings, address, outputs, stack }, world) {
        const { mtaSts, domains, host, network } = settings;
        if (!mtaSts) return [];
        const expected = policyText(mtaSts, [under(host, EXCHANGER)]);
        const ca = outputs.authority as string | undefined;
        return Promise.all(
            domains.map(async (domain): Promise<Finding> => {
                const servername = `mta-sts.${domain}`;
                const where = { address, port: 443 + network.portOffset, servername, ca, path: "/.well-known/mta-sts.txt" };
                const fix = `npm run up -- --stack ${stack}; a certificate that is refused has a check of its own (tls)`;
                const answer = await world.dial.get(where).catch((error: Error) => error);
                if (answer instanceof Error) return { status: "fail", subject: servername, got: answer.message, fix };
                const { status, type, body } = answer;
                const good = status === 200 && type.startsWith("text/plain") && body === expected;
                const got = good ? `mode ${mtaSts.mode}` : `${status} ${type}: ${body.slice(0, 80).replace(/\s+/g, " ")}`;
                return good ? { status: "pass", subject: servername, got } : { status: "fail", subject: servername, expected, got, fix };
            }),
        );
    },
};
