import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { FirewallRules } from "../host/firewall";

interface Rule {
    protocol: "tcp" | "udp" | "icmp" | "-1";
    from?: number;
    to?: number;
    cidr: string;
    description: string;
}

const EVERYWHERE = "0.0.0.0/0";

/** The firewall at the cloud: the same rules as the host's own, one rule a resource, IPv4. */
export function createSecurityGroup(
    name: string,
    vpcId: pulumi.Input<string>,
    { ports, allow, ssh }: FirewallRules,
    opts: pulumi.CustomResourceOptions,
): aws.ec2.SecurityGroup {
    const group = new aws.ec2.SecurityGroup(`${name}-ports`, { vpcId, description: "Forward Email: mail, web and SSH", tags: { Name: name } }, opts);
    const rule = (protocol: Rule["protocol"], port: number, cidr: string, description: string): Rule => ({
        ...{ protocol, from: port, to: port, cidr, description },
    });
    const ingress = {
        ...Object.fromEntries([...new Set([...ports, ...allow.tcp])].map((port) => [String(port), rule("tcp", port, EVERYWHERE, "mail and web")])),
        ...Object.fromEntries(allow.udp.map((port) => [`${port}-udp`, rule("udp", port, EVERYWHERE, "firewall.allow")])),
        ...Object.fromEntries(
            ssh.from.filter((cidr) => !cidr.includes(":")).map((cidr) => [`ssh-${cidr.replace("/", "-")}`, rule("tcp", ssh.port, cidr, "SSH")]),
        ),
        // Fragmentation needed: without it a large mail stalls behind a small MTU (RFC 1191, RFC 2923 §2.1).
        "path-mtu": { protocol: "icmp", from: 3, to: 4, cidr: EVERYWHERE, description: "path MTU discovery" } satisfies Rule,
    };
    const args = ({ protocol, from, to, cidr, description }: Rule) => ({
        securityGroupId: group.id,
        ipProtocol: protocol,
        fromPort: from,
        toPort: to,
        cidrIpv4: cidr,
        description,
    });
    for (const [role, one] of Object.entries(ingress)) new aws.vpc.SecurityGroupIngressRule(`${name}-in-${role}`, args(one), opts);
    new aws.vpc.SecurityGroupEgressRule(`${name}-out`, args({ protocol: "-1", cidr: EVERYWHERE, description: "all" }), opts);
    return group;
}
