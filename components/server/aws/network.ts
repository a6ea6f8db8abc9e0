import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { AwsSettings } from "../../settings/settings";

/** Where an instance is. */
export interface AwsNetwork {
    vpcId: pulumi.Input<string>;
    subnetId: pulumi.Input<string>;
    /** Availability zone of the subnet. */
    zone: pulumi.Input<string>;
    /** What must be there before the instance can be reached. */
    routes: pulumi.Resource[];
}

/** Of the own network. Not among those that Docker or this program take on the host. */
const CIDR = "10.90.0.0/24";

/** A network of the deployment's own, or the account's default one. IPv4 only: AWS gives no reverse name to an IPv6 address. */
export function createNetwork(name: string, { vpc, zone }: Pick<AwsSettings, "vpc" | "zone">, opts: pulumi.CustomResourceOptions): AwsNetwork {
    return vpc === "own" ? ownNetwork(name, zone, opts) : defaultNetwork(zone!, opts);
}

function ownNetwork(name: string, zone: string | undefined, opts: pulumi.CustomResourceOptions): AwsNetwork {
    const tags = { Name: name };
    const vpc = new aws.ec2.Vpc(`${name}-vpc`, { cidrBlock: CIDR, enableDnsSupport: true, enableDnsHostnames: true, tags }, opts);
    const gateway = new aws.ec2.InternetGateway(`${name}-gateway`, { vpcId: vpc.id, tags }, opts);
    const subnet = new aws.ec2.Subnet(`${name}-subnet`, { vpcId: vpc.id, cidrBlock: CIDR, availabilityZone: zone, tags }, opts);
    const table = new aws.ec2.RouteTable(`${name}-routes`, { vpcId: vpc.id, tags }, opts);
    const route = new aws.ec2.Route(`${name}-internet`, { routeTableId: table.id, destinationCidrBlock: "0.0.0.0/0", gatewayId: gateway.id }, opts);
    const association = new aws.ec2.RouteTableAssociation(`${name}-routes`, { subnetId: subnet.id, routeTableId: table.id }, opts);
    return { vpcId: vpc.id, subnetId: subnet.id, zone: subnet.availabilityZone, routes: [route, association] };
}

function defaultNetwork(availabilityZone: string, opts: pulumi.InvokeOptions): AwsNetwork {
    const vpcId = aws.ec2.getVpcOutput({ default: true }, opts).id;
    const subnetId = aws.ec2.getSubnetOutput({ vpcId, availabilityZone, defaultForAz: true }, opts).id;
    return { vpcId, subnetId, zone: availabilityZone, routes: [] };
}
