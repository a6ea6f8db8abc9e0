import * as fs from "node:fs";

import { run } from "../images/run";

/** Where a host is on its two links: one to the machine, one to the namespace that plays the internet. */
export interface HostNetwork {
    /** Namespaces of the host and of the internet outside. */
    inside: string;
    outside: string;
    address4: string;
    address6: string;
    /** The machine's own end of the link to the host. */
    machine4: string;
    machine6: string;
    outside4: string;
    outside6: string;
    /** The host's own end of the link to the internet. */
    uplink4: string;
    uplink6: string;
    /** The network of the servers that run on the host (vps.ts). */
    servers: Subnets;
}

export interface Subnets {
    subnet4: string;
    gateway4: string;
    subnet6: string;
    gateway6: string;
    /** Addresses of a server, by a number from 2 to 14. */
    address(number: number): { address4: string; address6: string };
}

/** The host's subnets are 10.231.INDEX.0/27 and fd00:231:INDEX::/48, by a number from 0 to 249 made of its name. */
const indexOf = (name: string): number => [...name].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 250, 0);

export function networkOf(name: string): HostNetwork {
    const index = indexOf(name);
    return {
        inside: name,
        outside: `${name}-out`,
        address4: `10.231.${index}.2`,
        address6: `fd00:231:${index}:a::2`,
        machine4: `10.231.${index}.1`,
        machine6: `fd00:231:${index}:a::1`,
        outside4: `10.231.${index}.6`,
        outside6: `fd00:231:${index}:b::2`,
        uplink4: `10.231.${index}.5`,
        uplink6: `fd00:231:${index}:b::1`,
        servers: {
            subnet4: `10.231.${index}.16/28`,
            gateway4: `10.231.${index}.17`,
            subnet6: `fd00:231:${index}:c::/64`,
            gateway6: `fd00:231:${index}:c::1`,
            address: (number) => ({ address4: `10.231.${index}.${16 + number}`, address6: `fd00:231:${index}:c::${number.toString(16)}` }),
        },
    };
}

/** How to run a command in a namespace. Not `ip netns exec`: its own /sys hides the cgroups, which dockerd needs. */
export const enter = (namespace: string, argv: string[]): string[] => ["nsenter", `--net=/run/netns/${namespace}`, ...argv];

export async function runIn(namespace: string, argv: string[]): Promise<string> {
    const [program, ...rest] = enter(namespace, argv);
    return run(program, rest);
}

/** Makes namespaces, links, addresses and routes. */
export async function makeNetwork(name: string): Promise<void> {
    const { inside, outside, machine4, machine6, outside4, outside6, uplink4, uplink6 } = networkOf(name);
    const index = indexOf(name);
    const [link, net4, net6] = [`rig${index}`, `10.231.${index}`, `fd00:231:${index}`];
    if (fs.existsSync(`/sys/class/net/${link}`)) throw new Error(`Another host has the subnet ${net4}.0/27 already: rename "${name}".`);
    for (const namespace of [inside, outside]) await run("ip", ["netns", "add", namespace]);
    await ip(`link add ${link} type veth peer name eth0 netns ${inside}`);
    await ip(`-n ${inside} link add eth1 type veth peer name eth0 netns ${outside}`);

    await endpoint("", link, `${machine4}/30`, `${machine6}/64`);
    await endpoint(inside, "eth0", `${net4}.2/30`, `${net6}:a::2/64`);
    await endpoint(inside, "eth1", `${uplink4}/30`, `${uplink6}/64`);
    await endpoint(outside, "eth0", `${outside4}/30`, `${outside6}/64`);
    for (const namespace of [inside, outside]) {
        await ip(`-n ${namespace} link set lo up`);
        await runIn(namespace, ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding"]);
    }

    // Whatever the host sends anywhere else reaches the outside and is refused there at once instead of timing out.
    for (const [family, via, back, host] of [
        ["-4", outside4, uplink4, `${net4}.0/30`],
        ["-6", outside6, uplink6, `${net6}:a::/64`],
    ]) {
        await ip(`${family} -n ${inside} route add default via ${via}`);
        await ip(`${family} -n ${outside} route add ${host} via ${back}`);
        await ip(`${family} -n ${outside} route add unreachable default metric 4096`);
    }
}

async function endpoint(namespace: string, link: string, address4: string, address6: string): Promise<void> {
    const where = namespace ? `-n ${namespace} ` : "";
    await ip(`${where}address add ${address4} dev ${link}`);
    await ip(`${where}address add ${address6} dev ${link} nodad`);
    await ip(`${where}link set ${link} up`);
}

const ip = (command: string): Promise<string> => run("ip", command.split(" "));

/** True when the namespaces, links and routes are all there. */
export async function hasNetwork(name: string): Promise<boolean> {
    const { inside, outside } = networkOf(name);
    try {
        // The route that is made last: with it, everything is there.
        const routes = await runIn(outside, ["ip", "-6", "route", "show", "type", "unreachable"]);
        await runIn(inside, ["ip", "link", "show", "eth1"]);
        return routes.includes("default") && fs.existsSync(`/sys/class/net/rig${indexOf(name)}`);
    } catch {
        return false;
    }
}

export async function removeNetwork(name: string): Promise<void> {
    const { inside, outside } = networkOf(name);
    for (const namespace of [inside, outside]) {
        if (!fs.existsSync(`/run/netns/${namespace}`)) continue;
        // A namespace takes its links down some time after it is gone, and until then their names are taken.
        for (const link of ["eth0", "eth1"]) await runIn(namespace, ["ip", "link", "delete", link]).catch(() => undefined);
        await run("ip", ["netns", "delete", namespace]).catch(() => fs.rmSync(`/run/netns/${namespace}`, { force: true }));
    }
}
