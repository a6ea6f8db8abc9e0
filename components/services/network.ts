import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { NetworkSettings } from "../settings/settings";

/**
 * The bridge network of a deployment. Not the host's network, as upstream has it: on a bridge Docker lets a process that
 * is not root bind port 25 (upstream issue #583), and only what is published can be reached from outside.
 */
export function createNetwork(name: string, settings: NetworkSettings, opts: pulumi.CustomResourceOptions): docker.Network {
    const { range, gateway } = plan(settings.subnet4);
    return new docker.Network(
        name,
        {
            name,
            driver: "bridge",
            ipv6: settings.ipv6,
            ipamConfigs: [
                { subnet: settings.subnet4, ipRange: range, gateway },
                ...(settings.ipv6 ? [{ subnet: settings.subnet6, gateway: gateway6(settings.subnet6) }] : []),
            ],
        },
        { ...opts, deleteBeforeReplace: true }, // one owner for the subnet
    );
}

/** Addresses in the upper half of the subnet are never given out by Docker: they are for containers that must keep theirs. */
export function pinnedAddress(subnet: string, index: number): string {
    const { base, size } = parse(subnet);
    return text(base + size / 2 + 1 + index);
}

function plan(subnet: string): { range: string; gateway: string } {
    const { base, bits } = parse(subnet);
    return { range: `${text(base)}/${bits + 1}`, gateway: text(base + 1) };
}

/** Said, because Docker reports one either way, and a difference would replace the network and everything on it. */
const gateway6 = (subnet: string) => subnet.replace("::/64", "::1");

function parse(subnet: string): { base: number; bits: number; size: number } {
    const [address, bits] = subnet.split("/");
    const size = 2 ** (32 - Number(bits));
    const value = address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
    return { base: value - (value % size), bits: Number(bits), size };
}

function text(value: number): string {
    return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".");
}
