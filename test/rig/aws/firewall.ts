import type { Subnets } from "../host/network";
import type { Account, Instance, SecurityGroupRule } from "./account";
import { having } from "./errors";

const table = "inet rig_aws";
const everywhere = "0.0.0.0/0";

/** Public addresses with the servers that they lead to: those whose subnet has a route to the internet, and nobody else. */
export function publicAddresses(account: Account, servers: Subnets): { publicIp: string; instanceId: string }[] {
    return Object.values(account.addressAssociations)
        .filter(({ instanceId }) => reachesInternet(account, account.instances[instanceId].subnetId))
        .map(({ allocationId, instanceId }) => ({ publicIp: servers.address(account.addresses[allocationId].number).address4, instanceId }));
}

/** By the route table of the subnet, or the VPC's main one: that of the default VPC has such a route. */
function reachesInternet(account: Account, subnetId: string): boolean {
    const [association] = having(account.routeTableAssociations, { subnetId });
    if (!association) return account.subnets[subnetId].isDefault === true;
    const { routeTableId } = association[1];
    return having(account.routes, { routeTableId, destinationCidrBlock: everywhere }).some(
        ([, { gatewayId }]) => account.internetGateways[gatewayId],
    );
}

/**
 * The rules of the host's namespace, for `nft`: each public address is translated to its server's private one and back, and security groups
 * let pass what they name. Applied as a whole, so that nothing of the past is left.
 */
export function ruleset(account: Account, servers: Subnets, bridge: string): string {
    const drop = [`table ${table}`, `delete table ${table}`];
    const instances = Object.entries(account.instances);
    if (instances.length === 0) return `${drop.join("\n")}\n`;
    const outward = publicAddresses(account, servers);
    const privateOf = (id: string) => servers.address(account.instances[id].number).address4;
    const all = outward.map(({ publicIp }) => publicIp).join(", ");
    const to = outward.map(({ publicIp, instanceId }) => `ip daddr ${publicIp} dnat ip to ${privateOf(instanceId)}`);
    const from = outward.flatMap(({ publicIp, instanceId }) => [
        `ip saddr ${privateOf(instanceId)} ip daddr != ${servers.subnet4} snat ip to ${publicIp}`,
        // Servers reach each other, and themselves, by public addresses too.
        `ip saddr ${privateOf(instanceId)} ct original ip daddr { ${all} } snat ip to ${publicIp}`,
    ]);
    const chains = {
        prerouting: ["type nat hook prerouting priority dstnat - 5", ...to],
        postrouting: ["type nat hook postrouting priority srcnat - 5", ...from],
        forward: [
            "type filter hook forward priority filter - 5",
            ...instances.flatMap(([id, { number }]) => passing(id, servers.address(number), bridge, account, outward)),
        ],
        ...Object.fromEntries(instances.flatMap(([id, instance]) => groups(account, id, instance))),
    };
    const text = Object.entries(chains).map(([name, lines]) => `chain ${name} {\n${lines.map((line) => `    ${line}\n`).join("")}}`);
    return `${[...drop, `table ${table} {`, ...text, "}"].join("\n")}\n`;
}

/** What may reach a server and what it may reach: neighbours, and the internet by its public address alone. */
function passing(
    id: string,
    { address4, address6 }: ReturnType<Subnets["address"]>,
    bridge: string,
    account: Account,
    outward: { instanceId: string }[],
): string[] {
    const isPublic = outward.some(({ instanceId }) => instanceId === id) || account.subnets[account.instances[id].subnetId].isDefault;
    return [
        `ip6 saddr ${address6} drop`,
        `ip6 daddr ${address6} drop`,
        ...(isPublic ? [] : [`ip saddr ${address4} oifname != "${bridge}" drop`]),
        `ip saddr ${address4} ct state new jump egress_${chainOf(id)}`,
        `ip daddr ${address4} ct state established,related accept`,
        `ip daddr ${address4} iifname "${bridge}" goto ingress_${chainOf(id)}`,
        `ip daddr ${address4} ct status dnat goto ingress_${chainOf(id)}`,
        `ip daddr ${address4} drop`,
    ];
}

const chainOf = (id: string) => id.replace("-", "_");

/** One chain a direction with the rules of every security group of a server. */
function groups(account: Account, id: string, { securityGroupIds }: Instance): [string, string[]][] {
    return (["ingress", "egress"] as const).map((direction) => {
        const rules = Object.values(account.securityGroupRules).filter(
            (rule) => rule.direction === direction && securityGroupIds.includes(rule.securityGroupId) && rule.cidrIpv4,
        );
        const verdict = direction === "ingress" ? "accept" : "return"; // what may leave may still not be let in
        return [`${direction}_${chainOf(id)}`, [...rules.map((rule) => `${matching(rule)} ${verdict}`), "drop"]];
    });
}

function matching({ direction, ipProtocol, fromPort = 0, toPort = 0, cidrIpv4 }: SecurityGroupRule): string {
    const peer = `ip ${direction === "ingress" ? "saddr" : "daddr"} ${cidrIpv4}`;
    if (ipProtocol === "-1") return peer;
    if (!ipProtocol.startsWith("icmp")) return `${peer} ${ipProtocol} dport ${fromPort}-${toPort}`;
    return fromPort === -1 ? `${peer} ip protocol icmp` : `${peer} icmp type ${fromPort}`;
}
