import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { isRpcSecret, unknownValue } from "@pulumi/pulumi/runtime/rpc";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { type Account, accountIn, readAccount } from "../rig/aws/account";
import { cloudConfig, writeSeed } from "../rig/aws/cloud-init";
import { ruleset } from "../rig/aws/firewall";
import type { Hardware } from "../rig/aws/hardware";
import { terminate } from "../rig/aws/instance";
import { awsProvider } from "../rig/aws/resources";
import { networkOf } from "../rig/host/network";

type Props = Record<string, unknown>;

const folder = mkdtempSync(path.join(tmpdir(), "aws-"));
const file = path.join(folder, "account.json");
const { servers } = networkOf("unit");

/** What the provider told the servers to do. */
let told: string[];
let broken: boolean;
const hardware: Hardware = {
    address: (number) => servers.address(number).address4,
    freeNumber: async () => 2,
    connect: async (account) => void ruleset(account, servers, "servers0"),
    boot: async (id) => {
        told.push(`boot ${id}`);
        if (broken) throw new Error("it does not boot");
    },
    reboot: async (id) => void told.push(`reboot ${id}`),
    stop: async (id) => void told.push(`stop ${id}`),
    terminate: async (id) => void told.push(`terminate ${id}`),
    makeVolume: async (id, size) => void told.push(`make ${id} ${size}`),
    deleteVolume: async (id) => void told.push(`delete ${id}`),
    attach: async (_id, volumeId, running) => void told.push(`attach ${volumeId} ${running}`),
    detach: async (_id, volumeId, running) => void told.push(`detach ${volumeId} ${running}`),
};
const withAccount = accountIn(file);
const provider = awsProvider({ withAccount, hardware: async () => hardware });

beforeEach(() => {
    rmSync(file, { force: true });
    told = [];
    broken = false;
});
afterAll(() => rmSync(folder, { recursive: true }));

const types: Record<string, string> = {
    Vpc: "aws:ec2/vpc:Vpc",
    InternetGateway: "aws:ec2/internetGateway:InternetGateway",
    Subnet: "aws:ec2/subnet:Subnet",
    RouteTable: "aws:ec2/routeTable:RouteTable",
    Route: "aws:ec2/route:Route",
    RouteTableAssociation: "aws:ec2/routeTableAssociation:RouteTableAssociation",
    SecurityGroup: "aws:ec2/securityGroup:SecurityGroup",
    IngressRule: "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
    EgressRule: "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
    Eip: "aws:ec2/eip:Eip",
    EipAssociation: "aws:ec2/eipAssociation:EipAssociation",
    EipDomainName: "aws:ec2/eipDomainName:EipDomainName",
    Volume: "aws:ebs/volume:Volume",
    VolumeAttachment: "aws:ec2/volumeAttachment:VolumeAttachment",
    Instance: "aws:ec2/instance:Instance",
};
const urn = (type: string) => `urn:pulumi:dev::project::component:index:Parent$${types[type]}::main`;

interface Made {
    type: string;
    id: string;
    outs: Props;
}

/** What the engine does with a new resource. */
async function make(type: string, news: Props): Promise<Made> {
    const { failures } = await provider.check(urn(type), {}, news);
    if (failures.length > 0) throw new Error(failures.map(({ reason }) => reason).join("\n"));
    return { type, ...(await provider.create(urn(type), news)) };
}
const remove = ({ type, id, outs }: Made) => provider.delete(id, urn(type), outs);
const read = ({ type, id, outs }: Made) => provider.read(id, urn(type), outs);
const diff = ({ type, id, outs }: Made, news: Props) => provider.diff(id, urn(type), outs, news);
const update = async ({ type, id, outs }: Made, news: Props): Promise<Made> => ({ type, id, ...(await provider.update(id, urn(type), outs, news)) });
const account = (): Account => readAccount(file);

async function network() {
    const vpc = await make("Vpc", { cidrBlock: "10.0.0.0/16" });
    const vpcId = vpc.id;
    const gateway = await make("InternetGateway", { vpcId });
    const subnet = await make("Subnet", { vpcId, cidrBlock: "10.0.1.0/24" });
    const group = await make("SecurityGroup", { vpcId });
    return { vpc, gateway, subnet, group };
}

async function machine() {
    const all = await network();
    const table = await make("RouteTable", { vpcId: all.vpc.id });
    const route = await make("Route", { routeTableId: table.id, destinationCidrBlock: "0.0.0.0/0", gatewayId: all.gateway.id });
    const association = await make("RouteTableAssociation", { routeTableId: table.id, subnetId: all.subnet.id });
    const ami = account().parameters["/aws/service/debian/release/12/latest/amd64"];
    const args = { ami, instanceType: "t3.medium", subnetId: all.subnet.id, vpcSecurityGroupIds: [all.group.id] };
    return { ...all, table, route, association, args, instance: await make("Instance", args) };
}

describe("refuses", () => {
    test("inputs it does not implement, by name, and those that are missing", async () => {
        await expect(make("Vpc", { cidrBlock: "10.0.0.0/16", ipv6CidrBlock: "x" })).rejects.toThrow("the input ipv6CidrBlock is not available");
        await expect(make("Instance", { ami: "ami-1", keyName: "k" })).rejects.toThrow(
            /keyName is not available[^]*Missing required property 'instanceType'/,
        );
        expect((await provider.check(urn("Subnet"), {}, { vpcId: unknownValue, cidrBlock: "10.0.0.0/24" })).failures).toEqual([]);
        await expect(provider.invoke("aws:ec2/getVpc:getVpc", { id: "vpc-1" })).rejects.toThrow("the input id of aws:ec2/getVpc:getVpc");
        await expect(provider.invoke("aws:ec2/getAmi:getAmi", {})).rejects.toThrow("is not available in the rehearsal");
    });

    test.each<[string, Props, string]>([
        ["Vpc", { cidrBlock: "10.0.0.1/16" }, "not a valid IPv4 CIDR block"],
        ["Vpc", { cidrBlock: "10.0.0.0/8" }, "InvalidVpc.Range"],
        ["Vpc", { cidrBlock: "10.0.0.0/16", tags: { "aws:x": "y" } }, "reserved for internal use"],
        ["SecurityGroup", { description: "the operator's" }, "Character sets"],
        ["IngressRule", { securityGroupId: "sg-1", ipProtocol: "tcp", fromPort: 25, toPort: 25 }, "Exactly one of"],
        ["IngressRule", { securityGroupId: "sg-1", ipProtocol: "tcp", cidrIpv4: "0.0.0.0/0" }, "Must specify both"],
        ["IngressRule", { securityGroupId: "sg-1", ipProtocol: "-1", fromPort: 0, toPort: 0, cidrIpv4: "0.0.0.0/0" }, "do not go with"],
        ["EgressRule", { securityGroupId: "sg-1", ipProtocol: "-1", cidrIpv4: "1.2.3.4/0" }, "not a valid IPv4 CIDR block"],
        ["IngressRule", { securityGroupId: "sg-1", ipProtocol: "tcp", fromPort: 26, toPort: 25, cidrIpv6: "::/0" }, "port range"],
        ["Eip", { domain: "standard" }, "must be one of: vpc"],
        ["Volume", { availabilityZone: "eu-central-1z", size: 1 }, "availabilityZone is invalid"],
        ["Volume", { availabilityZone: "eu-central-1a", size: 0 }, "must be between 1GiB"],
        ["VolumeAttachment", { deviceName: "/dev/sda1", instanceId: "i-1", volumeId: "vol-1" }, "parameter device is invalid"],
        [
            "Instance",
            { ami: "a", instanceType: "t3.micro", subnetId: "s", vpcSecurityGroupIds: [], metadataOptions: { httpTokens: "yes" } },
            "httpTokens is invalid",
        ],
        [
            "Instance",
            { ami: "a", instanceType: "t3.micro", subnetId: "s", vpcSecurityGroupIds: [], rootBlockDevice: { iops: 1 } },
            "rootBlockDevice.iops is not",
        ],
        ["Instance", { ami: "a", instanceType: "t3.micro", subnetId: "s", vpcSecurityGroupIds: [] }, "InvalidAMIID.NotFound"],
    ])("%s %o", async (type, news, message) => {
        await expect(make(type, news)).rejects.toThrow(message);
    });

    test("what does not fit together", async () => {
        const { vpc, subnet, group, args, instance } = await machine();
        const other = await make("Vpc", { cidrBlock: "10.1.0.0/16" });
        await expect(make("Subnet", { vpcId: vpc.id, cidrBlock: "10.1.0.0/24" })).rejects.toThrow("InvalidSubnet.Range");
        await expect(make("Subnet", { vpcId: vpc.id, cidrBlock: "10.0.1.0/28" })).rejects.toThrow("InvalidSubnet.Conflict");
        await expect(make("InternetGateway", { vpcId: vpc.id })).rejects.toThrow("already has an internet gateway");
        await expect(make("Instance", { ...args, instanceType: "t4g.small" })).rejects.toThrow("architecture");
        await expect(make("Instance", { ...args, instanceType: "large" })).rejects.toThrow("InvalidInstanceType");
        const foreign = await make("SecurityGroup", { vpcId: other.id });
        await expect(make("Instance", { ...args, vpcSecurityGroupIds: [foreign.id] })).rejects.toThrow("different networks");
        const rule = { securityGroupId: group.id, ipProtocol: "tcp", fromPort: 25, toPort: 25, cidrIpv4: "0.0.0.0/0" };
        const first = await make("IngressRule", rule);
        await expect(make("IngressRule", { ...rule, description: "again" })).rejects.toThrow("InvalidPermission.Duplicate");
        await make("EgressRule", rule);
        expect((await update(first, { ...rule, toPort: 26 })).outs.toPort).toBe(26);
        const volume = await make("Volume", { availabilityZone: "eu-central-1b", size: 1 });
        const attachment = { deviceName: "/dev/sdf", instanceId: instance.id, volumeId: volume.id };
        await expect(make("VolumeAttachment", attachment)).rejects.toThrow("InvalidVolume.ZoneMismatch");
        expect(subnet.outs.availabilityZone).toBe("eu-central-1a");
    });

    test("references to what is not there yet", async () => {
        const rejected: [string, Props, string][] = [
            ["Subnet", { vpcId: "vpc-1", cidrBlock: "10.0.0.0/24" }, "InvalidVpcID.NotFound: The vpc ID 'vpc-1' does not exist"],
            ["InternetGateway", { vpcId: "vpc-1" }, "InvalidVpcID.NotFound"],
            ["Route", { routeTableId: "rtb-1", destinationCidrBlock: "0.0.0.0/0", gatewayId: "igw-1" }, "InvalidRouteTableID.NotFound"],
            ["IngressRule", { securityGroupId: "sg-1", ipProtocol: "-1", cidrIpv4: "0.0.0.0/0" }, "InvalidGroup.NotFound"],
            ["EipAssociation", { allocationId: "eipalloc-1", instanceId: "i-1" }, "InvalidAllocationID.NotFound"],
            ["VolumeAttachment", { deviceName: "/dev/sdf", instanceId: "i-1", volumeId: "vol-1" }, "InvalidVolume.NotFound"],
        ];
        for (const [type, news, message] of rejected) await expect(make(type, news), type).rejects.toThrow(message);
    });
});

describe("deletes", () => {
    test("nothing that is in use", async () => {
        const { vpc, gateway, subnet, group, table, association, instance } = await machine();
        for (const used of [vpc, subnet, group, table]) await expect(remove(used), used.type).rejects.toThrow("DependencyViolation");
        const address = await make("Eip", { domain: "vpc" });
        const leading = await make("EipAssociation", { allocationId: address.id, instanceId: instance.id });
        await expect(remove(gateway)).rejects.toThrow("mapped public address");
        await expect(remove(address)).rejects.toThrow("InvalidIPAddress.InUse");
        await remove(leading);
        for (const free of [address, instance, association, table, subnet, group, gateway, vpc]) await remove(free);
        expect(told.at(-1)).toBe(`terminate ${instance.id}`);
        expect(Object.keys(account().vpcs)).toHaveLength(1); // the default one
    });

    test("what somebody else has deleted is no error", async () => {
        const vpc = await make("Vpc", { cidrBlock: "10.0.0.0/16" });
        await remove(vpc);
        await remove(vpc);
    });
});

describe("a public address", () => {
    test("leads to one instance, and moves only when it may", async () => {
        const { args, instance } = await machine();
        const second = await make("Instance", args);
        const address = await make("Eip", { domain: "vpc", tags: { a: "b" } });
        expect(address.outs).toMatchObject({ allocationId: address.id, publicIp: servers.address(10).address4, tagsAll: { a: "b" } });
        const first = await make("EipAssociation", { allocationId: address.id, instanceId: instance.id });
        const onward = { allocationId: address.id, instanceId: second.id };
        await expect(make("EipAssociation", onward)).rejects.toThrow("Resource.AlreadyAssociated");
        await make("EipAssociation", { ...onward, allowReassociation: true });
        expect((await read(first)).id).toBe("");
        for (let more = 0; more < 4; more++) await make("Eip", { domain: "vpc" });
        await expect(make("Eip", { domain: "vpc" })).rejects.toThrow("AddressLimitExceeded");
    });

    test("needs an internet gateway", async () => {
        const { instance, gateway } = await machine();
        const address = await make("Eip", { domain: "vpc" });
        await remove(gateway);
        await expect(make("EipAssociation", { allocationId: address.id, instanceId: instance.id })).rejects.toThrow("Gateway.NotAttached");
    });

    test("gets a reverse name when the name leads to it, and stays until that is gone", async () => {
        const address = await make("Eip", { domain: "vpc" });
        const named = { allocationId: address.id, domainName: "mx.example.com" };
        await expect(make("EipDomainName", named)).rejects.toThrow("resolves to nothing");
        await withAccount((account) => void (account.forward["mx.example.com"] = address.outs.publicIp as string));
        const name = await make("EipDomainName", named);
        expect(name.outs.ptrRecord).toBe("mx.example.com.");
        await expect(remove(address)).rejects.toThrow("InvalidAddress.Locked");
        await remove(name);
        await remove(address);
    });
});

describe("a volume", () => {
    test("is at one instance at a time, and stops it before it goes", async () => {
        const { instance } = await machine();
        const volume = await make("Volume", { availabilityZone: "eu-central-1a", size: 2, type: "gp3", encrypted: true });
        const args = { deviceName: "/dev/sdf", instanceId: instance.id, volumeId: volume.id, stopInstanceBeforeDetaching: true };
        const attachment = await make("VolumeAttachment", args);
        await expect(make("VolumeAttachment", args)).rejects.toThrow("VolumeInUse");
        await expect(remove(volume)).rejects.toThrow("VolumeInUse");
        await remove(attachment);
        expect((await read(instance)).props).toMatchObject({ instanceState: "stopped" });
        await remove(volume);
        expect(told.slice(1)).toEqual([
            `make ${volume.id} ${2 ** 31}`,
            `attach ${volume.id} true`,
            `stop ${instance.id}`,
            `detach ${volume.id} false`,
            `delete ${volume.id}`,
        ]);
    });

    test("grows in place and does not shrink", async () => {
        const args = { availabilityZone: "eu-central-1a", size: 2, type: "gp3" };
        const volume = await make("Volume", args);
        expect(await diff(volume, { ...args, size: 3 })).toEqual({ changes: true, replaces: [] });
        expect((await diff(volume, { ...args, encrypted: true })).replaces).toEqual(["encrypted"]);
        const larger = await update(volume, { ...args, size: 3 });
        await expect(update(larger, args)).rejects.toThrow("cannot be smaller");
    });
});

describe("an instance", () => {
    test("changes in place, but for its image and its subnet", async () => {
        const { instance, args } = await machine();
        expect(instance.outs).toMatchObject({ availabilityZone: "eu-central-1a", instanceState: "running", privateIp: servers.address(2).address4 });
        expect(await diff(instance, args)).toEqual({ changes: false, replaces: [] });
        expect(await diff(instance, { ...args, userData: "#cloud-config\n{}", instanceType: "t3.large" })).toEqual({ changes: true, replaces: [] });
        expect((await diff(instance, { ...args, ami: "ami-2", subnetId: "subnet-2" })).replaces).toEqual(["ami", "subnetId"]);
        await update(instance, { ...args, metadataOptions: { httpTokens: "required" } });
        expect(told.at(-1)).toBe(`boot ${instance.id}`);
        await update(instance, { ...args, instanceType: "t3.large" });
        expect(told.at(-1)).toBe(`reboot ${instance.id}`);
    });

    test("that does not boot leaves nothing behind", async () => {
        const { args, instance } = await machine();
        broken = true;
        await expect(make("Instance", args)).rejects.toThrow("it does not boot");
        expect(told.at(-1)).toMatch(/^terminate/);
        expect(Object.keys(account().instances)).toEqual([instance.id]);
    });

    test("that somebody terminates is gone for a refresh, with what hung on it; the rest stays", async () => {
        const { instance, subnet } = await machine();
        const address = await make("Eip", { domain: "vpc" });
        const volume = await make("Volume", { availabilityZone: "eu-central-1a", size: 1 });
        const leading = await make("EipAssociation", { allocationId: address.id, instanceId: instance.id });
        const attachment = await make("VolumeAttachment", { deviceName: "/dev/sdf", instanceId: instance.id, volumeId: volume.id });
        await withAccount((account) => terminate(account, instance.id, hardware));
        for (const gone of [instance, leading, attachment]) expect(await read(gone)).toEqual({ id: "", props: {} });
        for (const there of [subnet, address, volume]) expect((await read(there)).id).toBe(there.id);
        for (const gone of [attachment, leading, instance]) await remove(gone);
    });

    test.each([
        ["#cloud-config\nruncmd: [reboot]", /runcmd/],
        ["#cloud-config\nssh_keys: {rsa_private: x}", /rsa_private/],
        ["#!/bin/sh\n", /begins with #cloud-config/],
        ["#cloud-config\nssh_keys: [", /user data/],
    ])("refuses user data that it does not play: %j", async (userData, message) => {
        const { args } = await machine();
        await expect(make("Instance", { ...args, userData })).rejects.toThrow(message);
    });

    test("has what cloud-init would write, before sshd starts", () => {
        const keys = { ed25519_private: "PRIVATE", ed25519_public: "ssh-ed25519 PUBLIC" };
        const root = mkdtempSync(path.join(folder, "seed-"));
        writeSeed(root, cloudConfig(`#cloud-config\n${JSON.stringify({ ssh_authorized_keys: ["ssh-ed25519 A"], ssh_keys: keys })}`));
        expect(readFileSync(path.join(root, "home/admin/.ssh/authorized_keys"), "utf8")).toBe("ssh-ed25519 A\n");
        expect(readFileSync(path.join(root, "etc/ssh/ssh_host_ed25519_key"), "utf8")).toBe("PRIVATE\n");
        expect(statSync(path.join(root, "etc/ssh/ssh_host_ed25519_key")).mode & 0o777).toBe(0o600);
    });
});

test("the rules lead a public address to its server only where the subnet has a way out, and name the groups' ports", async () => {
    const { instance, group, route } = await machine();
    const address = await make("Eip", { domain: "vpc" });
    await make("EipAssociation", { allocationId: address.id, instanceId: instance.id });
    await make("IngressRule", { securityGroupId: group.id, ipProtocol: "tcp", fromPort: 25, toPort: 25, cidrIpv4: "0.0.0.0/0" });
    const [eip, own] = [10, 2].map((number) => servers.address(number).address4);
    const rules = () => ruleset(account(), servers, "servers0");
    expect(rules()).toContain(`ip daddr ${eip} dnat ip to ${own}`);
    expect(rules()).toContain("ip saddr 0.0.0.0/0 tcp dport 25-25 accept");
    await remove(route);
    expect(rules()).not.toContain("dnat ip to");
    await remove(instance);
    expect(rules()).toBe("table inet rig_aws\ndelete table inet rig_aws\n");
});

test("functions find images and the default network; a parameter may stand for another image", async () => {
    const look = async (token: string, args: Props): Promise<Props> => (await provider.invoke(token, args)).outputs as Props;
    const name = "/aws/service/debian/release/12/latest/arm64";
    const found = await look("aws:ssm/getParameter:getParameter", { name });
    expect([found.insecureValue, isRpcSecret(found.value)]).toEqual([expect.stringMatching(/^ami-0[0-9a-f]{16}$/), true]);
    await expect(look("aws:ssm/getParameter:getParameter", { name: "/aws/service/debian/release/13/latest/arm64" })).rejects.toThrow(
        "ParameterNotFound",
    );
    await withAccount((account) => void (account.parameters[name] = "ami-2"));
    expect((await look("aws:ssm/getParameter:getParameter", { name })).insecureValue).toBe("ami-2");
    const vpc = await look("aws:ec2/getVpc:getVpc", { default: true });
    const subnet = { vpcId: vpc.id, availabilityZone: "eu-central-1b", defaultForAz: true };
    expect(await look("aws:ec2/getSubnet:getSubnet", subnet)).toMatchObject({ ...subnet, id: expect.stringMatching(/^subnet-/) });
    await expect(look("aws:ec2/getSubnet:getSubnet", { vpcId: vpc.id })).rejects.toThrow("multiple EC2 Subnets matched");
});

test("operations at the same time keep each other's objects", async () => {
    await Promise.all(Array.from({ length: 10 }, (_, at) => make("Vpc", { cidrBlock: `10.${at}.0.0/16` })));
    expect(Object.keys(account().vpcs)).toHaveLength(11);
});
