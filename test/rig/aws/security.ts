import { randomBytes } from "node:crypto";
import type { SecurityGroupArgs, SecurityGroupState } from "@pulumi/aws/ec2/securityGroup";
import type { SecurityGroupIngressRuleArgs, SecurityGroupIngressRuleState } from "@pulumi/aws/vpc/securityGroupIngressRule";
import type { Unwrap } from "@pulumi/pulumi";
import { type Account, newId, type SecurityGroupRule } from "./account";
import { find, having, must } from "./errors";
import { type Cloud, kept, tagged } from "./resource";
import { isCidr6, notCidr } from "./values";

type RuleArgs = Unwrap<SecurityGroupIngressRuleArgs>;

const described = /^[a-zA-Z0-9. _\-:/()#,@[\]+=&;{}!$*]{0,255}$/;

/** The name that Pulumi makes of a resource's. */
export const autoName = (name: string): string => `${name}-${randomBytes(4).toString("hex").slice(1)}`;

export const securityGroup = (cloud: Cloud) =>
    tagged<Unwrap<SecurityGroupArgs>, Unwrap<SecurityGroupState>>({
        inputs: ["name", "description", "vpcId"],
        computed: ["name", "vpcId"],
        defaults: { description: "Managed by Pulumi" },
        refuse: ({ name = "", description = "" }) =>
            name.startsWith("sg-")
                ? `"name" must not begin with sg-: ${name}`
                : [name, description].every((text) => described.test(text))
                  ? undefined
                  : `InvalidParameterValue: Character sets beyond ASCII are not supported, nor other signs than a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*: ${name}, ${description}`,
        ...kept(cloud, "securityGroups", {
            async create(account, args, resourceName) {
                const vpcId = args.vpcId ?? having(account.vpcs, { isDefault: true })[0]?.[0];
                const name = args.name ?? autoName(resourceName);
                find(account, "vpcs", vpcId);
                const same = having(account.securityGroups, { vpcId, name });
                must(same.length === 0, "InvalidGroup.Duplicate", `The security group '${name}' already exists for VPC '${vpcId}'`);
                const id = newId("sg");
                account.securityGroups[id] = { vpcId, name };
                return { id, outs: { name, vpcId } };
            },
            async remove(account, id) {
                const used = Object.values(account.instances).some(({ securityGroupIds }) => securityGroupIds.includes(id));
                must(!used, "DependencyViolation", `resource ${id} has a dependent object`);
                for (const [rule] of having(account.securityGroupRules, { securityGroupId: id })) delete account.securityGroupRules[rule];
            },
        }),
    });

const fields = ["ipProtocol", "fromPort", "toPort", "cidrIpv4", "cidrIpv6"] as const;

export const securityGroupRule = (cloud: Cloud, direction: SecurityGroupRule["direction"]) =>
    tagged<RuleArgs, Unwrap<SecurityGroupIngressRuleState>>({
        inputs: ["securityGroupId", ...fields, "description"],
        required: ["securityGroupId", "ipProtocol"],
        inPlace: [...fields, "description"],
        refuse: (args) => badRule(args),
        ...kept(cloud, "securityGroupRules", {
            async create(account, args) {
                find(account, "securityGroups", args.securityGroupId);
                const id = newId("sgr");
                account.securityGroupRules[id] = unique(account, args, direction);
                return { id, outs: { securityGroupRuleId: id } };
            },
            async update(account, args, _state, id) {
                find(account, "securityGroupRules", id);
                account.securityGroupRules[id] = unique(account, args, direction, id);
                return {};
            },
        }),
    });

function unique(account: Account, args: RuleArgs, direction: SecurityGroupRule["direction"], self?: string): SecurityGroupRule {
    const { securityGroupId, ipProtocol, fromPort, toPort, cidrIpv4, cidrIpv6 } = args;
    const rule = { direction, securityGroupId, ipProtocol, fromPort, toPort, cidrIpv4, cidrIpv6 };
    const same = having(account.securityGroupRules, rule).filter(([id]) => id !== self);
    const ports = `from port: ${fromPort}, to port: ${toPort}`;
    const peer = cidrIpv4 ?? cidrIpv6;
    must(
        same.length === 0,
        "InvalidPermission.Duplicate",
        `the specified rule "peer: ${peer}, ${ipProtocol.toUpperCase()}, ${ports}, ALLOW" already exists`,
    );
    return rule;
}

function badRule({ ipProtocol, fromPort, toPort, cidrIpv4, cidrIpv6, description = "" }: RuleArgs): string | undefined {
    const ports = [fromPort, toPort].filter((port) => port !== undefined);
    if ((cidrIpv4 === undefined) === (cidrIpv6 === undefined)) return "Exactly one of cidrIpv4 and cidrIpv6 must be given";
    if (cidrIpv6 !== undefined && !isCidr6(cidrIpv6)) return `"cidrIpv6": "${cidrIpv6}" is not a valid IPv6 CIDR block`;
    if (!described.test(description)) return `InvalidParameterValue: Invalid rule description: ${description}`;
    if (ipProtocol === "-1" && ports.length > 0) return 'fromPort and toPort do not go with ipProtocol "-1": it is every port of every protocol';
    if (!["-1", "tcp", "udp", "icmp", "icmpv6"].includes(ipProtocol)) return `InvalidParameterValue: Invalid value '${ipProtocol}' for ipProtocol`;
    if (ipProtocol !== "-1" && ports.length < 2) return "InvalidParameterValue: Invalid value for portRange. Must specify both from and to ports";
    const [from = 0, to = 0] = ports;
    const isPort = ipProtocol.startsWith("icmp") ? from >= -1 && to >= -1 : from >= 0 && from <= to && to <= 65535;
    if (!isPort) return `InvalidParameterValue: Invalid ${ipProtocol.toUpperCase()} port range (${from}-${to})`;
    return notCidr("cidrIpv4", cidrIpv4);
}
