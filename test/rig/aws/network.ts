import type { InternetGatewayArgs, InternetGatewayState } from "@pulumi/aws/ec2/internetGateway";
import type { RouteArgs, RouteState } from "@pulumi/aws/ec2/route";
import type { RouteTableArgs, RouteTableState } from "@pulumi/aws/ec2/routeTable";
import type { RouteTableAssociationArgs, RouteTableAssociationState } from "@pulumi/aws/ec2/routeTableAssociation";
import type { SubnetArgs, SubnetState } from "@pulumi/aws/ec2/subnet";
import type { VpcArgs, VpcState } from "@pulumi/aws/ec2/vpc";
import type { Unwrap } from "@pulumi/pulumi";
import type { Account } from "./account";
import { newId } from "./account";
import { find, having, must } from "./errors";
import { type Cloud, kept, tagged } from "./resource";
import { cidrRange, contains, notCidr, overlap } from "./values";

const zonesOf = ({ region }: Account) => ["a", "b", "c"].map((letter) => region + letter);

/** Refuses a zone that is not one of the region's. */
export function mustBeZone(account: Account, zone: string): void {
    const message = `Value (${zone}) for parameter availabilityZone is invalid. Available: ${zonesOf(account).join(", ")}.`;
    must(zonesOf(account).includes(zone), "InvalidParameterValue", message);
}

export const vpc = (cloud: Cloud) =>
    tagged<Unwrap<VpcArgs>, Unwrap<VpcState>>({
        inputs: ["cidrBlock", "enableDnsSupport", "enableDnsHostnames"],
        required: ["cidrBlock"],
        defaults: { enableDnsSupport: true, enableDnsHostnames: false },
        inPlace: ["enableDnsSupport", "enableDnsHostnames"],
        refuse: ({ cidrBlock }) => notCidr("cidrBlock", cidrBlock),
        ...kept(cloud, "vpcs", {
            async create(account, { cidrBlock = "" }) {
                const { length } = cidrRange(cidrBlock)!;
                must(length >= 16 && length <= 28, "InvalidVpc.Range", `The CIDR '${cidrBlock}' is invalid.`);
                const id = newId("vpc");
                account.vpcs[id] = { cidrBlock };
                return { id, outs: {} };
            },
            async remove(account, id) {
                const tables = [account.subnets, account.internetGateways, account.routeTables, account.securityGroups] as Record<
                    string,
                    { vpcId: string }
                >[];
                const used = tables.some((table) => having(table, { vpcId: id }).length > 0);
                must(!used, "DependencyViolation", `The vpc '${id}' has dependencies and cannot be deleted.`);
            },
        }),
    });

export const internetGateway = (cloud: Cloud) =>
    tagged<Unwrap<InternetGatewayArgs>, Unwrap<InternetGatewayState>>({
        inputs: ["vpcId"],
        required: ["vpcId"],
        ...kept(cloud, "internetGateways", {
            async create(account, { vpcId = "" }) {
                find(account, "vpcs", vpcId);
                const other = having(account.internetGateways, { vpcId })[0];
                must(!other, "InvalidParameterValue", `Network ${vpcId} already has an internet gateway attached`);
                const id = newId("igw");
                account.internetGateways[id] = { vpcId };
                return { id, outs: {} };
            },
            async remove(account, id) {
                const { vpcId } = account.internetGateways[id];
                const mapped = Object.values(account.addressAssociations).some(({ instanceId }) => vpcOf(account, instanceId) === vpcId);
                const why = `Network ${vpcId} has some mapped public address(es). Please unmap those public address(es) before detaching the gateway.`;
                must(!mapped, "DependencyViolation", why);
            },
        }),
    });

/** The VPC of an instance. */
export const vpcOf = (account: Account, instanceId: string): string =>
    find(account, "subnets", find(account, "instances", instanceId).subnetId).vpcId;

export const subnet = (cloud: Cloud) =>
    tagged<Unwrap<SubnetArgs>, Unwrap<SubnetState>>({
        inputs: ["vpcId", "cidrBlock", "availabilityZone"],
        required: ["vpcId", "cidrBlock"],
        computed: ["availabilityZone"],
        refuse: ({ cidrBlock }) => notCidr("cidrBlock", cidrBlock),
        ...kept(cloud, "subnets", {
            async create(account, { vpcId = "", cidrBlock = "", availabilityZone = zonesOf(account)[0] }) {
                const block = cidrRange(cidrBlock)!;
                mustBeZone(account, availabilityZone);
                const inVpc = contains(cidrRange(find(account, "vpcs", vpcId).cidrBlock)!, block);
                must(inVpc && block.length >= 16 && block.length <= 28, "InvalidSubnet.Range", `The CIDR '${cidrBlock}' is invalid.`);
                const others = having(account.subnets, { vpcId });
                const conflict = others.some(([, other]) => overlap(cidrRange(other.cidrBlock)!, block));
                must(!conflict, "InvalidSubnet.Conflict", `The CIDR '${cidrBlock}' conflicts with another subnet`);
                const id = newId("subnet");
                account.subnets[id] = { vpcId, cidrBlock, availabilityZone };
                return { id, outs: { availabilityZone } };
            },
            async remove(account, id) {
                const used = having(account.instances, { subnetId: id }).length > 0;
                must(!used, "DependencyViolation", `The subnet '${id}' has dependencies and cannot be deleted.`);
                for (const [association] of having(account.routeTableAssociations, { subnetId: id }))
                    delete account.routeTableAssociations[association];
            },
        }),
    });

export const routeTable = (cloud: Cloud) =>
    tagged<Unwrap<RouteTableArgs>, Unwrap<RouteTableState>>({
        inputs: ["vpcId"],
        required: ["vpcId"],
        ...kept(cloud, "routeTables", {
            async create(account, { vpcId }) {
                find(account, "vpcs", vpcId);
                const id = newId("rtb");
                account.routeTables[id] = { vpcId };
                return { id, outs: {} };
            },
            async remove(account, id) {
                const used = having(account.routeTableAssociations, { routeTableId: id }).length > 0;
                must(!used, "DependencyViolation", `The routeTable '${id}' has dependencies and cannot be deleted.`);
                for (const [route] of having(account.routes, { routeTableId: id })) delete account.routes[route];
            },
        }),
    });

export const route = (cloud: Cloud) => ({
    inputs: ["routeTableId", "destinationCidrBlock", "gatewayId"] as (keyof RouteArgs)[],
    required: ["routeTableId", "destinationCidrBlock", "gatewayId"] as (keyof RouteArgs)[],
    refuse: ({ destinationCidrBlock }: Unwrap<RouteArgs>) => notCidr("destinationCidrBlock", destinationCidrBlock),
    ...kept<"routes", Unwrap<RouteArgs>, Unwrap<RouteState>>(cloud, "routes", {
        async create(account, { routeTableId, destinationCidrBlock = "", gatewayId = "" }) {
            const { vpcId } = find(account, "routeTables", routeTableId);
            const gateway = find(account, "internetGateways", gatewayId);
            const foreign = `route table ${routeTableId} and network gateway ${gatewayId} belong to different networks`;
            must(gateway.vpcId === vpcId, "InvalidParameterValue", foreign);
            const same = having(account.routes, { routeTableId, destinationCidrBlock });
            must(same.length === 0, "RouteAlreadyExists", `The route identified by ${destinationCidrBlock} already exists.`);
            const id = newId(`r-${routeTableId}`);
            account.routes[id] = { routeTableId, destinationCidrBlock, gatewayId };
            return { id, outs: { state: "active", origin: "CreateRoute" } };
        },
    }),
});

export const routeTableAssociation = (cloud: Cloud) => ({
    inputs: ["subnetId", "routeTableId"] as (keyof RouteTableAssociationArgs)[],
    required: ["subnetId", "routeTableId"] as (keyof RouteTableAssociationArgs)[],
    ...kept<"routeTableAssociations", Unwrap<RouteTableAssociationArgs>, Unwrap<RouteTableAssociationState>>(cloud, "routeTableAssociations", {
        async create(account, { subnetId = "", routeTableId }) {
            const sameVpc = find(account, "subnets", subnetId).vpcId === find(account, "routeTables", routeTableId).vpcId;
            must(sameVpc, "InvalidParameterValue", `Route table ${routeTableId} and subnet ${subnetId} belong to different networks`);
            const others = having(account.routeTableAssociations, { subnetId });
            must(
                others.length === 0,
                "Resource.AlreadyAssociated",
                `the specified association for route table ${routeTableId} conflicts with an existing association`,
            );
            const id = newId("rtbassoc");
            account.routeTableAssociations[id] = { subnetId, routeTableId };
            return { id, outs: {} };
        },
    }),
});
