import { isIPv4 } from "node:net";
import { isDeepStrictEqual } from "node:util";
import { Problem } from "../errors";
import { publishedPorts } from "../services/catalogue";
import { DOCKER_SOCKET, SshConnection, dockerUrl } from "../server/connection";
import { EVERYWHERE } from "../server/host/firewall";
import { Config } from "./schema";
import { bans } from "./serverSchema";
import { ServerSettings } from "./settings";

/** Whether the servers fit their kinds. */
export function checkServers(config: Config): Problem[] {
    const problems = duplicates(
        "servers",
        config.servers.map((s) => s.name),
        "a name of its own for each server",
    );
    config.servers.forEach((server, at) => problems.push(...checkServer(server, `servers[${at}]`, config)));
    problems.push(...checkFirewall(config));
    if (config.servers.length > 1)
        problems.push({ key: "servers", message: `got ${config.servers.length} servers; several servers: not available yet`, fix: "keep one" });
    return problems;
}

function checkServer(server: Config["servers"][number], key: string, config: Config): Problem[] {
    const foreign = strangers(server).map((name) => ({
        key: `${key}.${name}`,
        message: `means nothing on kind: ${server.kind}`,
        fix: `set ${key}.kind to ${name === "aws" ? "aws" : "ssh"}, or remove it`,
    }));
    const own = { local: checkLocal, ssh: checkSsh, aws: checkAws }[server.kind];
    return [...foreign, ...own(server, key, config)];
}

/** Keys that belong to other kinds of server. */
function strangers({ kind, address, hostKey, jump, ipv4, ipv6, aws }: Config["servers"][number]): string[] {
    const keys = kind === "local" ? { address, hostKey, jump, ipv4, ipv6, aws } : kind === "ssh" ? { aws } : { address, hostKey, jump, ipv4, ipv6 };
    return Object.entries(keys).flatMap(([name, value]) => (value === undefined ? [] : [name]));
}

function checkLocal(_: unknown, key: string, { data }: Config): Problem[] {
    return data.device
        ? [{ key: "data.device", message: "means nothing on kind: local", fix: `mount the disk yourself, or set ${key}.kind to ssh` }]
        : [];
}

function checkSsh({ address, port, hostKey, setUp }: Config["servers"][number], key: string, { data }: Config): Problem[] {
    const problems: Problem[] = [];
    if (!address)
        problems.push({
            key: `${key}.address`,
            message: "is missing, wanted the host's IP address or DNS name",
            fix: `pulumi config set --path '${key}.address' VALUE`,
        });
    if (!hostKey)
        problems.push({
            key: `${key}.hostKey`,
            message: "is missing, wanted the host's public key, so that nobody else can answer in its place",
            fix: `compare ssh-keyscan -t ed25519 -p ${port} ${address ?? "ADDRESS"} with what the provider's console shows, then pulumi config set --path '${key}.hostKey' 'ssh-ed25519 AAAA…'`,
        });
    if (data.device && !data.directory)
        problems.push({
            key: "data.device",
            message: "needs data.directory, where it is mounted",
            fix: "set data.directory, such as /srv/forwardemail",
        });
    if (data.device && !setUp)
        problems.push({ key: "data.device", message: `means nothing with ${key}.setUp: false`, fix: "mount the disk yourself, and remove it" });
    return problems;
}

function checkAws({ aws, setUp, port, user }: Config["servers"][number], key: string, { network, data, firewall }: Config): Problem[] {
    if (!aws)
        return [
            {
                key: `${key}.aws`,
                message: "is missing, wanted a map with region and authorizedKeys",
                fix: `pulumi config set --path '${key}.aws.region' eu-central-1, and '${key}.aws.authorizedKeys[0]' "$(cat ~/.ssh/id_ed25519.pub)"`,
            },
        ];
    const problems: Problem[] = [];
    const report = (at: string, message: string, fix: string) => problems.push({ key: at, message, fix });
    if (port !== 22) report(`${key}.port`, `got ${port} on kind: aws, whose image listens on 22`, "remove it");
    if (user !== "root") report(`${key}.user`, `got ${user} on kind: aws, where the image decides`, "remove it");
    if (!setUp) report(`${key}.setUp`, "got false on kind: aws, whose instance comes bare", "remove it");
    if (aws.zone && !aws.zone.startsWith(aws.region))
        report(`${key}.aws.zone`, `got ${aws.zone}, which is not in ${aws.region}`, `name a zone such as ${aws.region}a, or remove it`);
    if (aws.vpc === "default" && !aws.zone)
        report(`${key}.aws.zone`, "is missing, and the default VPC has a subnet in each zone", `name one, such as ${aws.region}a`);
    // AWS gives no reverse name to an IPv6 address, and large receivers refuse mail from one without.
    if (network.ipv6) report("network.ipv6", "got true on kind: aws, where an IPv6 address can have no reverse name", "set it to false");
    if (data.device) report("data.device", "is the program's own on kind: aws", `remove it; ${key}.aws.dataGb is the size of its volume`);
    if (firewall.sshFrom.every((from) => from.includes(":")))
        report("firewall.sshFrom", "names only IPv6 networks, and the instance has IPv4", "add the IPv4 network that you connect from");
    return problems;
}

/** What would be ignored without a word, or open SSH to more than it says. */
function checkFirewall({ firewall, servers: [{ kind, setUp, port }], profile, network }: Config): Problem[] {
    const problems: Problem[] = [];
    const report = (key: string, message: string, fix: string) => problems.push({ key, message, fix });
    const open = firewall.sshFrom.length === EVERYWHERE.length && EVERYWHERE.every((all) => firewall.sshFrom.includes(all));
    const isDefault = open && firewall.allow.length === 0 && isDeepStrictEqual(firewall.bans, bans.parse({}));
    if ((kind === "local" || !setUp) && !isDefault)
        report("firewall", "means nothing on a host that is not set up", "remove it, or let a server of kind ssh be set up");
    if (!open && firewall.allow.includes(port))
        report("firewall.allow", `holds SSH's port ${port}, which would open it to all`, "remove it; firewall.sshFrom decides");
    if (kind !== "local" && publishedPorts(profile, network.portOffset).includes(port))
        report("servers[0].port", `got ${port}, which the deployment publishes itself`, "let sshd listen on another port");
    return problems;
}

/** Where a data directory is when the config names none: on kind aws the data is on a volume of its own. */
export function dataDirectory({ data, servers }: Config): string | undefined {
    return data.directory ?? (servers.some(({ kind }) => kind === "aws") ? "/srv/forwardemail" : undefined);
}

/** Servers with what is known of how each is reached. `deployment` names their keys' files. */
export function placed(config: Config, deployment: string, ownKey: boolean): ServerSettings[] {
    return config.servers.map((server) => {
        const { name, kind, reach, blockLists, dockerHost, port, user, address, hostKey, jump, aws, setUp, engine, ipv6 } = server;
        const place = { name, kind, dockerHost: dockerHost ?? `unix://${DOCKER_SOCKET}`, reach, blockLists };
        if (kind === "local") return place;
        const socket = place.dockerHost.slice("unix://".length);
        const login = { alias: `${deployment}-${name}`, port, user: aws ? USER_OF[aws.image] : user, socket, ownKey, jump };
        if (kind === "aws") return { ...place, login, aws, engine };
        const ssh: SshConnection = { ...login, address: address!, hostKey: hostKey! };
        const ipv4 = server.ipv4 ?? (isIPv4(address!) ? address : undefined);
        return { ...place, ipv4, ipv6, dockerHost: dockerUrl(ssh), login, ssh, engine: setUp ? engine : undefined };
    });
}

/** Who may log in on the images of Debian and of Ubuntu. */
const USER_OF = { "debian-12": "admin", "debian-13": "admin", "ubuntu-22.04": "ubuntu", "ubuntu-24.04": "ubuntu" };

/** A problem for each value that stands there twice. */
export function duplicates(key: string, values: string[], wanted: string): Problem[] {
    const twice = [...new Set(values.filter((value, at) => values.indexOf(value) !== at))];
    return twice.map((value) => ({ key, message: `"${value}" stands there twice, wanted ${wanted}`, fix: "remove or rename one" }));
}
