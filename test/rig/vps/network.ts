import type { RigHost } from "../host";
import { run } from "../images/run";

const network = "servers";
export const bridge = "servers0";

/**
 * Makes the network of the servers, whose addresses the machine and the internet outside reach directly, both ways, with nobody's address
 * translated. Answers its name. All of it goes with the host's namespace, except Docker's record of the network.
 */
export async function serverNetwork(host: RigHost): Promise<string> {
    const { subnet4, subnet6, gateway4, gateway6 } = host.servers;
    const inside = (...argv: string[]) => exec(host.inside(argv));
    const docker = (...argv: string[]) => run("docker", argv, { env: { DOCKER_HOST: host.dockerHost } });
    if (!(await docker("network", "ls", "--quiet", "--filter", `name=^${network}$`)).trim()) {
        const options = {
            "com.docker.network.bridge.name": bridge,
            "com.docker.network.bridge.enable_ip_masquerade": "false",
            // From Docker 28 on, container addresses are closed to other hosts unless it is told so; before, it does not know these.
            "com.docker.network.bridge.gateway_mode_ipv4": "nat-unprotected",
            "com.docker.network.bridge.gateway_mode_ipv6": "nat-unprotected",
        };
        const subnets = ["--subnet", subnet4, "--gateway", gateway4, "--subnet", subnet6, "--gateway", gateway6];
        const flags = Object.entries(options).flatMap(([name, value]) => ["--opt", `${name}=${value}`]);
        await docker("network", "create", "--driver", "bridge", "--ipv6", ...subnets, ...flags, network);
    }
    // Docker's own rules let in what answers, and drop the rest.
    for (const iptables of ["iptables", "ip6tables"]) await addRule(inside, iptables, "filter", `FORWARD -o ${bridge} -j ACCEPT`);
    // The registry listens on the host's loopback; only here may a packet from elsewhere be turned to it.
    const [address, port] = host.registry.split(":");
    await addRule(
        inside,
        "iptables",
        "nat",
        `PREROUTING -i ${bridge} -d ${gateway4} -p tcp --dport ${port} -j DNAT --to-destination ${address}:${port}`,
    );
    await inside("sh", "-c", `echo 1 > /proc/sys/net/ipv4/conf/${bridge}/route_localnet`);

    await exec(["ip", "route", "replace", subnet4, "via", host.address4]);
    await exec(["ip", "-6", "route", "replace", subnet6, "via", host.address6]);
    for (const [family, subnet, via] of [
        ["-4", subnet4, host.uplink4],
        ["-6", subnet6, host.uplink6],
    ]) {
        await exec(host.outside(["ip", family, "route", "replace", subnet, "via", via]));
    }
    return network;
}

async function addRule(inside: (...argv: string[]) => Promise<string>, iptables: string, table: string, rule: string): Promise<void> {
    const words = ["-t", table, "-C", ...rule.split(" ")];
    await inside(iptables, ...words).catch(() => inside(iptables, ...words.map((word) => (word === "-C" ? "-I" : word))));
}

const exec = ([program, ...argv]: string[]): Promise<string> => run(program, argv);
