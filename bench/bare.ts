import * as command from "@pulumi/command";
import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import * as tls from "@pulumi/tls";
import { healthcheck } from "../components/services/health";
import { Graph } from "./graph";

/**
 * The reference program: the containers of a graph and nothing else, as one would write them for @pulumi/docker by hand.
 * No components, secrets, keys, claims, files or checks of the settings; its volumes must be there.
 */
export function bareProgram({ network, containers }: Graph, dockerHost: string, apiVersion: string): void {
    const provider = new docker.Provider("bare", { host: dockerHost });
    const images = Object.fromEntries(
        [...new Set(containers.map(({ image }) => image))].map((name, at) => [
            name,
            new docker.RemoteImage(`image-${at}`, { name, keepLocally: true }, { provider }),
        ]),
    );
    const bridge = new docker.Network(
        "bridge",
        { name: network.name, driver: "bridge", ipamConfigs: [{ subnet: network.subnet, ipRange: network.range, gateway: network.gateway }] },
        { provider },
    );
    const made: Record<string, pulumi.Resource> = {};
    for (const c of containers)
        made[c.service] = new docker.Container(
            c.service,
            {
                name: c.name,
                image: c.image,
                command: c.command,
                user: c.user,
                hostname: c.hostname,
                envs: c.env,
                mounts: c.volumes.map(({ volume, target, readOnly }) => ({ type: "volume", source: volume, target, readOnly })),
                networksAdvanced: [{ name: bridge.id, aliases: c.aliases, ipv4Address: c.address }],
                ports: c.ports.map((port) => ({ ...port, protocol: "tcp" })),
                healthcheck: healthcheck(c.probe, apiVersion),
                wait: true,
                waitTimeout: 120,
                memory: c.memory,
                memorySwap: c.memory,
                stopTimeout: c.stopTimeout,
                destroyGraceSeconds: c.stopTimeout,
                ulimits: [{ name: "nofile", soft: c.openFiles, hard: c.openFiles }],
                restart: "unless-stopped",
                capabilities: { drops: ["ALL"] },
                securityOpts: ["no-new-privileges:true"],
                readOnly: c.readOnly,
                tmpfs: Object.keys(c.tmpfs).length > 0 ? c.tmpfs : undefined,
            },
            { provider, dependsOn: [images[c.image], ...c.needs.map((need) => made[need])] },
        );
}

/** As many resources as a deployment has beside its containers, so that the same number of each kind is looked at. */
export function bareRest(counts: Record<string, number>, dockerHost: string): void {
    const provider = new docker.Provider("rest", { host: dockerHost });
    const make: Record<string, (name: string) => unknown> = {
        "docker:index/volume:Volume": (name) => new docker.Volume(name, { name: `bench-${name}` }, { provider }),
        "random:index/randomPassword:RandomPassword": (name) => new random.RandomPassword(name, { length: 32 }),
        "command:local:Command": (name) => new command.local.Command(name, { create: "true" }),
    };
    const key = (name: string) => new tls.PrivateKey(name, { algorithm: "ECDSA", ecdsaCurve: "P256" });
    const component = (name: string) => new pulumi.ComponentResource("bench:index:Rest", name);
    for (const [type, count] of Object.entries(counts))
        for (let at = 1; at <= count; at++) (make[type] ?? (type.startsWith("tls:") ? key : component))(`${type.split(":").at(-1)}-${at}`);
}
