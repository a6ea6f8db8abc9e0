import { CATALOGUE, ServiceName, servicesOf, under } from "../../components/services/catalogue";
import { Check, Deployment, Finding } from "./check";
import type { World } from "./world";

/** What clients are told, against what answers. Their SRV records are looked at with all others (the check records). */
export const clientsCheck: Check = {
    id: "clients",
    title: "mail, calendar and contacts programs are told the names and ports that answer",
    source: "RFC 6764 §5, RFC 8314 §5.1; wiki.mozilla.org/Thunderbird:Autoconfiguration",
    async run(deployment, world) {
        const { settings } = deployment;
        const told = settings.autoconfig ? settings.domains.map((domain) => autoconfigOf(domain, deployment, world)) : [];
        const books = (["caldav", "carddav"] as const).filter((service) => servicesOf(settings.profile).includes(service));
        return Promise.all([...told, ...books.map((service) => wellKnown(service, deployment, world))]);
    },
};

const MAIL: ServiceName[] = ["imap", "pop3", "smtp"];

async function autoconfigOf(domain: string, deployment: Deployment, world: World): Promise<Finding> {
    const { settings, stack } = deployment;
    const servername = `autoconfig.${domain}`;
    const fix = `npm run up -- --stack ${stack}; a certificate that is refused has a check of its own (tls)`;
    const answer = await get(servername, `/mail/config-v1.1.xml?emailaddress=postmaster@${domain}`, deployment, world);
    if (answer instanceof Error) return { status: "fail", subject: servername, got: answer.message, fix };
    const servers = [...answer.body.matchAll(/<(?:incoming|outgoing)Server type="(\w+)">\s*<hostname>(.*?)<\/hostname>\s*<port>(\d+)<\/port>/g)];
    const got = servers
        .map(([, type, name, port]) => `${type} ${name}:${port}`)
        .sort()
        .join(", ");
    const expected = MAIL.map(
        (service) => `${service} ${under(settings.host, service)}:${CATALOGUE[service].publish[0] + settings.network.portOffset}`,
    ).join(", ");
    if (answer.status === 200 && got === expected) return { status: "pass", subject: servername, got };
    return { status: "fail", subject: servername, expected, got: `${answer.status}: ${got || "no servers"}`, fix };
}

/** Where a client begins that knows the server's name only; that it must log in first is an answer, too. */
async function wellKnown(service: "caldav" | "carddav", deployment: Deployment, world: World): Promise<Finding> {
    const servername = under(deployment.settings.host, service);
    const subject = `${servername}/.well-known/${service}`;
    const fix = `see the checks services and tls, and: npm run logs -- ${service} --stack ${deployment.stack}`;
    const answer = await get(servername, `/.well-known/${service}`, deployment, world);
    if (answer instanceof Error) return { status: "fail", subject, got: answer.message, fix };
    const { status } = answer;
    if (status < 400 || status === 401) return { status: "pass", subject, got: `answers ${status}` };
    return { status: status < 500 ? "warn" : "fail", subject, expected: "a redirect, or 401", got: `answers ${status}`, fix };
}

function get(servername: string, path: string, { address, settings, outputs }: Deployment, { dial }: World) {
    const where = { address, port: 443 + settings.network.portOffset, servername, ca: outputs.authority as string | undefined, path };
    return dial.get(where).catch((error: Error) => error);
}
