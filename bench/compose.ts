import { ServiceName } from "../components/services/catalogue";
import { healthcheck } from "../components/services/health";
import { Graph, Node } from "./graph";

/** How the services of a compose file are probed, and what they wait for. */
export type Probes = { kind: "ours"; apiVersion: string } | { kind: "upstream" };

/** Services without a probe in upstream's self-hosting/docker-compose-self-hosted.yml. */
const UNPROBED: ServiceName[] = ["mongodb", "redis", "bree", "smtp_bree", "sqlite_bree", "router"];
/** Its depends_on, beyond MongoDB and Redis, which every service of the application has. */
const UPSTREAM_NEEDS: Partial<Record<ServiceName, ServiceName>> = {
    web: "smtp",
    api: "smtp",
    smtp_bree: "smtp",
    sqlite: "smtp",
    sqlite_bree: "sqlite",
    imap: "sqlite",
    pop3: "sqlite",
    caldav: "sqlite",
    carddav: "sqlite",
};

/** A compose file of the same containers, images, volumes and network; its volumes must be there. */
export function composeFile(graph: Graph, probes: Probes): unknown {
    const volumes = [...new Set(graph.containers.flatMap((c) => c.volumes.map(({ volume }) => volume)))];
    const { name, subnet, range, gateway } = graph.network;
    const file = {
        name: "bench",
        services: Object.fromEntries(graph.containers.map((c) => [c.service, service(c, probes)])),
        networks: { bridge: { name, driver: "bridge", ipam: { config: [{ subnet, ip_range: range, gateway }] } } },
        volumes: Object.fromEntries(volumes.map((volume) => [volume, { name: volume, external: true }])),
    };
    return JSON.parse(JSON.stringify(file).replaceAll("$", "$$$$")); // compose reads $$ as a dollar sign
}

function service(c: Node, probes: Probes): unknown {
    const probed = (name: ServiceName) => probes.kind === "ours" || !UNPROBED.includes(name);
    return {
        image: c.image,
        container_name: c.name,
        command: c.command,
        user: c.user,
        hostname: c.hostname,
        environment: c.env,
        volumes: c.volumes.map(({ volume, target, readOnly }) => ({ type: "volume", source: volume, target, read_only: readOnly })),
        networks: { bridge: { aliases: c.aliases, ipv4_address: c.address } },
        ports: c.ports.map(({ internal, external, ip }) => ({ target: internal, published: String(external), host_ip: ip })),
        healthcheck: probed(c.service) ? healthcheckOf(c.probe, probes) : undefined,
        depends_on: Object.fromEntries(needs(c, probes).map((name) => [name, { condition: probed(name) ? "service_healthy" : "service_started" }])),
        mem_limit: `${c.memory}m`,
        memswap_limit: `${c.memory}m`,
        stop_grace_period: `${c.stopTimeout}s`,
        ulimits: { nofile: c.openFiles },
        restart: "unless-stopped",
        cap_drop: ["ALL"],
        security_opt: ["no-new-privileges:true"],
        read_only: c.readOnly,
        tmpfs: Object.entries(c.tmpfs).map(([at, options]) => `${at}:${options}`),
    };
}

function needs(c: Node, probes: Probes): ServiceName[] {
    if (probes.kind === "ours") return c.needs;
    if (UNPROBED.slice(0, 2).includes(c.service) || c.service === "router") return [];
    const further = UPSTREAM_NEEDS[c.service];
    return ["mongodb", "redis", ...(further ? [further] : [])];
}

function healthcheckOf(probe: string, probes: Probes): unknown {
    if (probes.kind === "upstream") return { test: ["CMD-SHELL", probe], interval: "30s", timeout: "30s", retries: 3 };
    const { tests, startPeriod, startInterval, ...rest } = healthcheck(probe, probes.apiVersion);
    return { test: tests, start_period: startPeriod, start_interval: startInterval, ...rest };
}
