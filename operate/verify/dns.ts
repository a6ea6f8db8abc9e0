import { spf } from "mailauth";
import { zoneOf } from "../../components/dns/records";
import { policyText } from "../../components/dns/mtaSts";
import { EXCHANGER, under } from "../../components/services/catalogue";
import { canonical } from "../../components/settings/names";
import { LiveZone, Lookup, Type, liveZone } from "../dnsLookup";
import { findForeignRecords } from "../foreignRecords";
import { Check, Declared, Deployment, Finding } from "./check";
import type { World } from "./world";

const publish = (deployment: Deployment): string =>
    deployment.settings.dns?.provider === "zone-file"
        ? `add what npm run -s output -- zone --stack ${deployment.stack} prints to the zone`
        : `npm run up -- --stack ${deployment.stack}`;

/** Every declared record, at the zone's own name servers and at this machine's resolver. */
export const recordsCheck: Check = {
    id: "records",
    title: "DNS has every record as it was declared",
    source: "RFC 1034, 5321 §5.1, 7208, 6376, 7489, 8461, 8460, 8659, 6186",
    async run(deployment, world) {
        const { dns } = deployment.settings;
        if (!dns) return [];
        const zones = await Promise.all(dns.zones.map(({ name }) => liveZone(name, world.lookupAt)));
        const lost = zones.filter(({ nameServers }) => nameServers.length === 0);
        const found = await Promise.all(zones.filter((zone) => !lost.includes(zone)).map((zone) => zoneFindings(zone, deployment, world.lookupAt())));
        return [
            ...lost.map(({ name }): Finding => ({
                status: "fail",
                subject: name,
                got: "DNS knows no name servers of this zone",
                fix: "see at the registrar that the domain is delegated to the provider of its zone",
            })),
            ...found.flat(),
        ];
    },
};

async function zoneFindings(zone: LiveZone, deployment: Deployment, system: Lookup): Promise<Finding[]> {
    const names = deployment.settings.dns!.zones.map(({ name }) => name);
    // Node asks for no TLSA records; that they fit what port 25 shows is another check's.
    const ours = deployment.records.filter(({ name, type }) => zoneOf(name, names) === zone.name && type !== "TLSA");
    const compared = await Promise.all(ours.map((record) => compare(record, zone, system, publish(deployment))));
    const wrong = compared.flat();
    if (wrong.some(({ status }) => status === "fail")) return wrong;
    return [...wrong, { status: "pass", subject: zone.name, got: `${ours.length} records, as ${zone.nameServers[0]} has them` }];
}

async function compare({ name, type, content }: Declared, zone: LiveZone, system: Lookup, fix: string): Promise<Finding[]> {
    const subject = `${name} ${type}`;
    const there = await zone.ask(name, type as Type);
    if (!there.includes(content)) return [{ status: "fail", subject, expected: content, got: there.join(", ") || "nothing", fix }];
    const seen = await system(name, type as Type).catch(() => undefined);
    if (!seen) return [{ status: "unknown", subject, got: "this machine's resolver does not answer" }];
    return seen.includes(content)
        ? []
        : [
              {
                  status: "warn",
                  subject,
                  expected: content,
                  got: `a resolver still has ${seen.join(", ") || "nothing"}`,
                  fix: "wait as long as its TTL was",
              },
          ];
}

/** What others have put beside our records: an `up` would refuse it. */
export const foreignCheck: Check = {
    id: "foreign",
    title: "no record of others contradicts ours",
    source: "RFC 7208 §4.5, 7489 §6.6.3, 5321 §5.1",
    async run({ settings, resources }, world) {
        if (!settings.dns) return [];
        const problems = await findForeignRecords(settings, resources, world.lookupAt);
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
    const found = (await world.reverse(address)).map((one) => one.toLowerCase());
    const fix = `at the server's provider, set the reverse name of ${address} to ${name}, and no second one`;
    if (found.length !== 1 || found[0] !== name) return { status: "fail", subject: address, expected: name, got: found.join(", ") || "no name", fix };
    const back = await world.lookupAt()(name, address.includes(":") ? "AAAA" : "A");
    if (!back.map(canonical).includes(canonical(address)))
        return { status: "fail", subject: name, expected: address, got: back.join(", ") || "no address", fix: "see the check records" };
    return { status: "pass", subject: address, got: name };
}

/** What a receiver makes of the sender's address: for the return path of each domain, for the domain itself, and for the EHLO name. */
export const spfCheck: Check = {
    id: "spf",
    title: "receivers find that this server may send for the domains",
    source: "RFC 7208",
    async run(deployment, world) {
        const { settings, outputs } = deployment;
        if (!settings.dns) return [];
        const addresses = Object.keys((outputs.reverse ?? {}) as Record<string, string>);
        const helo = under(settings.host, EXCHANGER);
        const paths = settings.domains.map((domain) => `${settings.applicationDomains[domain]?.returnPath ?? "fe-bounces"}.${domain}`);
        const domains = [...new Set([helo, ...settings.domains, ...paths])];
        return Promise.all(addresses.flatMap((ip) => domains.map((domain) => spfOf(ip, domain, helo, world.lookupAt(), publish(deployment)))));
    },
};

async function spfOf(ip: string, domain: string, helo: string, lookup: Lookup, fix: string): Promise<Finding> {
    const resolver = async (name: string, type: string): Promise<unknown[]> => {
        const found = await lookup(name, type as Type);
        if (found.length === 0) throw Object.assign(new Error(`${name} has no ${type}`), { code: "ENODATA" });
        if (type === "TXT") return found.map((text) => [text]);
        if (type !== "MX") return found;
        return found.map((mx) => ({ priority: Number(mx.split(" ")[0]), exchange: mx.split(" ")[1] }));
    };
    const { status } = await spf({ sender: `postmaster@${domain}`, ip, helo, mta: helo, resolver: resolver as never });
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
