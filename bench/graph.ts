import { CATALOGUE, ServiceName, servicesOf } from "../components/services/catalogue";
import { SERVICE_LABEL, STACK_LABEL } from "../components/services/container";
import { docker } from "../operate/health";

/** A running deployment as plain containers: what a person would write down by hand to get the same fifteen services. */
export interface Graph {
    network: { name: string; subnet: string; range: string; gateway: string };
    /** In start order. */
    containers: Node[];
    /** Volumes that hold data; the others hold keys and the router's configuration. */
    data: Array<{ volume: string; image: string; user: string; target: string }>;
}

export interface Node {
    service: ServiceName;
    name: string;
    image: string;
    command: string[];
    user: string;
    hostname: string;
    env: string[];
    volumes: Array<{ volume: string; target: string; readOnly: boolean }>;
    aliases: string[];
    address?: string;
    ports: Array<{ internal: number; external: number; ip: string }>;
    probe: string;
    /** In MiB. */
    memory: number;
    /** In seconds. */
    stopTimeout: number;
    openFiles: number;
    readOnly: boolean;
    tmpfs: Record<string, string>;
    needs: ServiceName[];
}

/** Reads it from Docker, so that nothing of our components is in it. */
export function readGraph(stack: string, dockerHost: string): Graph {
    const ids = docker(["ps", "-q", "--filter", `label=${STACK_LABEL}=${stack}`], dockerHost)
        .split("\n")
        .filter(Boolean);
    const inspected = JSON.parse(docker(["inspect", ...ids], dockerHost)) as Inspected[];
    const nodes = new Map(inspected.map((c) => [c.Config.Labels[SERVICE_LABEL] as ServiceName, toNode(c)]));
    const containers = servicesOf("full").map((service) => nodes.get(service)!);
    const { Name, IPAM } = (JSON.parse(docker(["network", "inspect", stack], dockerHost)) as Network[])[0];
    const { Subnet, IPRange, Gateway } = IPAM.Config[0];
    return {
        network: { name: Name, subnet: Subnet, range: IPRange, gateway: Gateway },
        containers,
        data: containers
            .filter(({ service }) => ["mongodb", "redis", "sqlite"].includes(service))
            .map(({ image, user, volumes }) => ({ image, user, ...volumes.find(({ readOnly }) => !readOnly)! })),
    };
}

function toNode({ Name, Config, HostConfig, NetworkSettings, Mounts }: Inspected): Node {
    const service = Config.Labels[SERVICE_LABEL] as ServiceName;
    const [network] = Object.values(NetworkSettings.Networks);
    return {
        service,
        name: Name.slice(1),
        image: Config.Image,
        command: Config.Cmd,
        user: Config.User,
        hostname: Config.Hostname,
        env: Config.Env,
        volumes: Mounts.map((mount) => ({ volume: mount.Name, target: mount.Destination, readOnly: !mount.RW })),
        aliases: network.Aliases.filter((alias) => !/^[0-9a-f]{12}$/.test(alias)),
        address: network.IPAMConfig?.IPv4Address || undefined,
        ports: Object.entries(HostConfig.PortBindings ?? {}).flatMap(([port, bindings]) =>
            bindings.map((b) => ({ internal: parseInt(port), external: Number(b.HostPort), ip: b.HostIp })),
        ),
        probe: Config.Healthcheck.Test[1],
        memory: HostConfig.Memory / 2 ** 20,
        stopTimeout: Config.StopTimeout,
        openFiles: HostConfig.Ulimits[0].Hard,
        readOnly: HostConfig.ReadonlyRootfs,
        tmpfs: HostConfig.Tmpfs ?? {},
        // The router's configuration waits for what it routes to.
        needs: service === "router" ? servicesOf("full").filter((other) => CATALOGUE[other].routed) : CATALOGUE[service].needs,
    };
}

interface Inspected {
    Name: string;
    Config: {
        Image: string;
        Cmd: string[];
        User: string;
        Hostname: string;
        Env: string[];
        Labels: Record<string, string>;
        Healthcheck: { Test: string[] };
        StopTimeout: number;
    };
    HostConfig: {
        PortBindings: Record<string, Array<{ HostIp: string; HostPort: string }>> | null;
        Memory: number;
        Ulimits: Array<{ Hard: number }>;
        ReadonlyRootfs: boolean;
        Tmpfs: Record<string, string> | null;
    };
    Mounts: Array<{ Name: string; Destination: string; RW: boolean }>;
    NetworkSettings: { Networks: Record<string, { Aliases: string[]; IPAMConfig: { IPv4Address?: string } | null }> };
}

interface Network {
    Name: string;
    IPAM: { Config: Array<{ Subnet: string; IPRange: string; Gateway: string }> };
}
