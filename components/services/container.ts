import * as docker from "@pulumi/docker";
import type { types } from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import type { MetricsName } from "../metrics/programs";
import { Settings } from "../settings/settings";
import { CATALOGUE, Service, ServiceName, under } from "./catalogue";
import { applicationProbe, healthcheck, probeCommand } from "./health";
import { pinnedAddress } from "./network";

/** What a container needs beyond its row of the catalogue. */
export interface ContainerArgs {
    settings: Settings;
    image: pulumi.Input<string>;
    /** Docker API version of the server. */
    apiVersion: pulumi.Input<string>;
    networkId: pulumi.Input<string>;
    command: string[];
    envs: pulumi.Input<string>[];
    mounts: types.input.ContainerMount[];
    /** A change of it replaces the container: what the program in it reads only at start. */
    restartOn?: pulumi.Input<string>;
}

/** Labels by which `npm run up` finds the containers of a stack. */
export const STACK_LABEL = "forwardemail.stack";
export const SERVICE_LABEL = "forwardemail.service";

/** Name of a service's container on the Docker host; routed services add a suffix, because two of them overlap while one is replaced. */
export function containerName(settings: Settings, service: ServiceName): string {
    return `${settings.name}-${service.replaceAll("_", "-")}`;
}

/** The container of a service. `up` waits until it is healthy; a container that does not get there fails the `up`. */
export function createContainer(service: ServiceName, args: ContainerArgs, opts: pulumi.CustomResourceOptions): docker.Container {
    const row = CATALOGUE[service];
    const { settings } = args;
    const name = containerName(settings, service);
    return new docker.Container(
        name,
        {
            name: row.routed ? undefined : name, // unset: Pulumi adds a random suffix
            image: args.image,
            command: args.command,
            user: row.user,
            hostname: hostname(row, settings.host),
            envs: args.envs,
            mounts: args.mounts,
            networksAdvanced: [{ name: args.networkId, aliases: aliases(row, settings.host, service), ipv4Address: pinned(service, settings) }],
            ports: ports(row, settings),
            labels: stackLabels(settings, service, {
                "forwardemail.ports": portsLabel(ports(row, settings)),
                "forwardemail.certificate": args.restartOn,
            }),
            healthcheck: pulumi
                .output(args.apiVersion)
                .apply((api) => healthcheck(row.entry ? applicationProbe(row.probe) : probeCommand(row.probe), api)),
            ...runtime(settings, settings.memoryMb[service], row.stopSeconds),
            readOnly: row.readOnly,
            tmpfs: row.readOnly ? { "/tmp": "rw,noexec,nosuid,nodev,size=64m" } : undefined,
        },
        {
            ...opts,
            // A routed service starts its new container beside the old one, and the route moves when it is healthy.
            // The others own a port or data, and there can be only one.
            deleteBeforeReplace: !row.routed,
            // Docker cannot change these on a container; the provider would report success and do nothing.
            replaceOnChanges: ["healthcheck", "tmpfs"],
            // Engines before Docker 28 report the IPv4 and IPv6 bindings of a port in reverse (nat.SortPortMap), which would
            // replace the container on every `up`. A label carries the ports instead: a new one replaces, with the new ports.
            ignoreChanges: settings.network.ipv6 ? ["ports"] : [],
        },
    );
}

/** What every container may use and do: `up` waits until it is healthy, it stops in time, and it has no privilege. */
export function runtime({ startTimeout, openFiles }: Settings, memory: number, stopSeconds: number) {
    return {
        wait: true,
        waitTimeout: startTimeout,
        memory,
        memorySwap: memory, // equal: no swap; left out it would differ on every `up`
        stopTimeout: stopSeconds,
        destroyGraceSeconds: stopSeconds, // else Docker is told to kill at once
        ulimits: [{ name: "nofile", soft: openFiles, hard: openFiles }],
        restart: "unless-stopped",
        // Nothing is added back: on a bridge a process without privileges may bind any port of its own network namespace.
        capabilities: { drops: ["ALL"] },
        securityOpts: ["no-new-privileges:true"],
        logDriver: "json-file",
        logOpts: { "max-size": "10m", "max-file": "3" },
    } satisfies Partial<docker.ContainerArgs>;
}

function hostname(row: Service, host: string): string {
    return row.hostname.endsWith(".") ? `${row.hostname}${host}` : row.hostname;
}

function aliases(row: Service, host: string, service: ServiceName): string[] {
    const short = row.routed ? [] : [service];
    return [...short, ...row.aliases.map((label) => under(host, label))];
}

/** smtp_bree marks the mail it works on, and the senders that blocked it, with its address: it keeps one for its successors. */
function pinned(service: ServiceName, settings: Settings): string | undefined {
    return service === "smtp_bree" ? pinnedAddress(settings.network.subnet4, 0) : undefined;
}

interface Published {
    internal: number;
    external: number;
    ip: string;
    protocol: string;
}

/** Ascending by port, as Docker reports them. IPv6 only where the network has it, else the client's address is lost. */
function ports(row: Service, { network }: Settings): Published[] {
    const ips = network.ipv6 ? [network.bindAddress, network.bindAddress === "0.0.0.0" ? "::" : "::1"] : [network.bindAddress];
    return [...row.publish]
        .sort((a, b) => a - b)
        .flatMap((port) => ips.map((ip) => ({ internal: port, external: port + network.portOffset, ip, protocol: "tcp" })));
}

const portsLabel = (published: Published[]) => (published.length > 0 ? published.map((p) => `${p.ip} ${p.external}`).join(", ") : undefined);

/** Labels of a container of the stack: `npm run up` sees that it is healthy. One without a value is left out. */
export function stackLabels(
    settings: Settings,
    service: ServiceName | MetricsName,
    more: Record<string, pulumi.Input<string> | undefined>,
): types.input.ContainerLabel[] {
    const all = { [STACK_LABEL]: settings.name, [SERVICE_LABEL]: service, ...more };
    return Object.entries(all).flatMap(([label, value]) => (value === undefined ? [] : [{ label, value }]));
}
