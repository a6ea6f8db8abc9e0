import type { InstanceArgs, InstanceState } from "@pulumi/aws/ec2/instance";
import type { Unwrap } from "@pulumi/pulumi";
import { type Account, newId } from "./account";
import { cloudConfig } from "./cloud-init";
import { find, having, must } from "./errors";
import type { Hardware } from "./hardware";
import { type Cloud, kept, tagged } from "./resource";
import { volumeTypes } from "./storage";

type Args = Unwrap<InstanceArgs>;

const metadata: Record<string, (value: unknown) => boolean> = {
    httpEndpoint: (value) => ["enabled", "disabled"].includes(value as string),
    httpTokens: (value) => ["optional", "required"].includes(value as string),
    httpPutResponseHopLimit: (value) => Number.isInteger(value) && Number(value) >= 1 && Number(value) <= 64,
    instanceMetadataTags: (value) => ["enabled", "disabled"].includes(value as string),
};
const rootDisk: Record<string, (value: unknown) => boolean> = {
    volumeSize: (value) => Number(value) >= 8, // the size of the images' snapshots
    volumeType: (value) => Object.keys(volumeTypes).includes(value as string),
    encrypted: (value) => typeof value === "boolean",
    deleteOnTermination: (value) => typeof value === "boolean",
    tags: (value) => typeof value === "object",
};

export const instance = (cloud: Cloud) =>
    tagged<Args, Unwrap<InstanceState>>({
        inputs: [
            ...(["ami", "instanceType", "subnetId", "vpcSecurityGroupIds", "userData"] as const),
            ...(["metadataOptions", "rootBlockDevice"] as const),
        ],
        required: ["ami", "instanceType", "subnetId", "vpcSecurityGroupIds"],
        inPlace: ["instanceType", "vpcSecurityGroupIds", "userData", "metadataOptions", "rootBlockDevice"],
        refuse: (args) =>
            badBlock("metadataOptions", metadata, args.metadataOptions) ??
            badBlock("rootBlockDevice", rootDisk, args.rootBlockDevice) ??
            (Buffer.byteLength(args.userData ?? "") > 16384 ? "InvalidParameterValue: User data is limited to 16384 bytes" : undefined),
        ...kept(cloud, "instances", {
            async create(account, args) {
                const hardware = await cloud.hardware();
                const id = newId("i");
                const config = cloudConfig(args.userData);
                mustFit(account, args);
                const number = await hardware.freeNumber();
                const row = { subnetId: args.subnetId ?? "", securityGroupIds: args.vpcSecurityGroupIds ?? [], number, state: "running" as const };
                account.instances[id] = row;
                await hardware.connect(account); // closed before there is anything to reach
                try {
                    await hardware.boot(id, number, config);
                } catch (error) {
                    await hardware.terminate(id);
                    throw error;
                }
                return { id, outs: outputs(account, id, hardware) };
            },
            read: (account, id) => ({ instanceState: account.instances[id].state }),
            async update(account, args, state, id) {
                mustFit(account, args);
                const row = find(account, "instances", id);
                row.securityGroupIds = args.vpcSecurityGroupIds ?? [];
                const hardware = await cloud.hardware();
                if (args.instanceType !== state.instanceType || args.userData !== state.userData) {
                    await hardware.reboot(id);
                    row.state = "running";
                }
                return outputs(account, id, hardware);
            },
            remove: async (account, id) => terminate(account, id, await cloud.hardware()),
        }),
    });

/** Ends an instance as its owner or anybody else would: addresses and volumes stay, and are free. */
export async function terminate(account: Account, id: string, hardware: Hardware): Promise<void> {
    find(account, "instances", id);
    await hardware.terminate(id);
    for (const table of [account.addressAssociations, account.volumeAttachments] as Record<string, { instanceId: string }>[])
        for (const [key] of having(table, { instanceId: id })) delete table[key];
    delete account.instances[id];
}

function outputs(account: Account, id: string, { address }: Hardware): Partial<Unwrap<InstanceState>> {
    const { subnetId, number, state } = account.instances[id];
    const { availabilityZone } = find(account, "subnets", subnetId);
    const arn = `arn:aws:ec2:${account.region}:123456789012:instance/${id}`;
    return { arn, availabilityZone, privateIp: address(number), instanceState: state };
}

/** Everything that an instance is made of exists, and fits together. */
function mustFit(account: Account, args: Args): void {
    const { ami = "", instanceType = "", subnetId, vpcSecurityGroupIds = [] } = args;
    must(account.images[ami], "InvalidAMIID.NotFound", `The image id '[${ami}]' does not exist`);
    const family = /^([a-z]+\d+[a-z-]*)\.(nano|micro|small|medium|\d*x?large|metal)$/.exec(instanceType)?.[1];
    must(family, "InvalidInstanceType", `The following supplied instance types do not exist: [${instanceType}]`);
    const own = /\dg/.test(family) ? "arm64" : "x86_64";
    const image = account.images[ami];
    const unlike = `The architecture '${own}' of the specified instance type does not match the architecture '${image}' of the specified AMI.`;
    must(own === image, "InvalidParameterValue", unlike);
    const { vpcId } = find(account, "subnets", subnetId);
    for (const group of vpcSecurityGroupIds) {
        const same = find(account, "securityGroups", group).vpcId === vpcId;
        must(same, "InvalidParameter", `Security group ${group} and subnet ${subnetId} belong to different networks.`);
    }
}

function badBlock(name: string, fields: Record<string, (value: unknown) => boolean>, block: object = {}): string | undefined {
    for (const [key, value] of Object.entries(block)) {
        if (!fields[key]) return `stand-in aws provider: the input ${name}.${key} is not available in the rehearsal`;
        if (!fields[key](value)) return `InvalidParameterValue: Value (${value}) for parameter ${name}.${key} is invalid.`;
    }
    return undefined;
}
