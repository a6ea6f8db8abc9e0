import type { VolumeArgs, VolumeState } from "@pulumi/aws/ebs/volume";
import type { VolumeAttachmentArgs, VolumeAttachmentState } from "@pulumi/aws/ec2/volumeAttachment";
import type { Unwrap } from "@pulumi/pulumi";
import { newId } from "./account";
import { find, having, must } from "./errors";
import { mustBeZone } from "./network";
import { type Cloud, kept, tagged } from "./resource";

/** Types of volumes with their sizes in GiB. */
export const volumeTypes: Record<string, [least: number, most: number]> = {
    ...{ gp3: [1, 65536], gp2: [1, 16384], io1: [4, 16384], io2: [4, 65536], st1: [125, 16384], sc1: [125, 16384], standard: [1, 1024] },
};

export const volume = (cloud: Cloud) =>
    tagged<Unwrap<VolumeArgs>, Unwrap<VolumeState>>({
        inputs: ["availabilityZone", "size", "type", "encrypted"],
        required: ["availabilityZone", "size"],
        defaults: { type: "gp2", encrypted: false },
        inPlace: ["size", "type"],
        oneOf: { type: Object.keys(volumeTypes) },
        refuse({ size = 0, type = "" }) {
            const [least, most] = volumeTypes[type];
            if (Number.isInteger(size) && size >= least && size <= most) return undefined;
            return `InvalidParameterValue: Volume of ${size}GiB is invalid; ${type} must be between ${least}GiB and ${most}GiB`;
        },
        ...kept(cloud, "volumes", {
            async create(account, { availabilityZone, size = 0 }) {
                mustBeZone(account, availabilityZone);
                const id = newId("vol");
                await (await cloud.hardware()).makeVolume(id, size * 2 ** 30);
                account.volumes[id] = { availabilityZone, size };
                return { id, outs: {} };
            },
            async update(account, { size = 0 }, _state, id) {
                const row = find(account, "volumes", id);
                must(size >= row.size, "InvalidParameterValue", "New size cannot be smaller than existing size");
                await (await cloud.hardware()).makeVolume(id, size * 2 ** 30);
                row.size = size;
                return {};
            },
            async remove(account, id) {
                const [attached] = having(account.volumeAttachments, { volumeId: id });
                must(!attached, "VolumeInUse", `Volume ${id} is currently attached to ${attached?.[1].instanceId}`);
                await (await cloud.hardware()).deleteVolume(id);
            },
        }),
    });

export const volumeAttachment = (cloud: Cloud) => {
    const life = kept<"volumeAttachments", Unwrap<VolumeAttachmentArgs>, Unwrap<VolumeAttachmentState>>(cloud, "volumeAttachments", {
        async create(account, { deviceName, instanceId, volumeId }) {
            const { availabilityZone } = find(account, "volumes", volumeId);
            const instance = find(account, "instances", instanceId);
            const sameZone = find(account, "subnets", instance.subnetId).availabilityZone === availabilityZone;
            const mismatch = `The volume '${volumeId}' is not in the same availability zone as instance '${instanceId}'`;
            must(sameZone, "InvalidVolume.ZoneMismatch", mismatch);
            const attached = having(account.volumeAttachments, { volumeId }).length > 0;
            must(!attached, "VolumeInUse", `${volumeId} is already attached to an instance`);
            const taken = having(account.volumeAttachments, { instanceId, deviceName }).length > 0;
            must(!taken, "InvalidParameterValue", `Invalid value '${deviceName}' for unixDevice. Attachment point ${deviceName} is already in use`);
            await (await cloud.hardware()).attach(instanceId, volumeId, instance.state === "running");
            const id = newId("vai");
            account.volumeAttachments[id] = { volumeId, instanceId, deviceName };
            return { id, outs: {} };
        },
        update: async () => ({}),
        async remove(account, id, { stopInstanceBeforeDetaching }) {
            const { instanceId, volumeId } = account.volumeAttachments[id];
            const { stop, detach } = await cloud.hardware();
            const instance = find(account, "instances", instanceId);
            if (stopInstanceBeforeDetaching && instance.state === "running") {
                await stop(instanceId);
                instance.state = "stopped"; // as on AWS, nobody starts it again
            }
            await detach(instanceId, volumeId, instance.state === "running");
        },
    });
    return {
        inputs: ["deviceName", "instanceId", "volumeId", "stopInstanceBeforeDetaching"] as (keyof VolumeAttachmentArgs)[],
        required: ["deviceName", "instanceId", "volumeId"] as (keyof VolumeAttachmentArgs)[],
        inPlace: ["stopInstanceBeforeDetaching"] as (keyof VolumeAttachmentArgs)[],
        refuse: ({ deviceName }: Unwrap<VolumeAttachmentArgs>) =>
            /^\/dev\/(sd[b-z]|xvd[b-z])$/.test(deviceName)
                ? undefined
                : `InvalidParameterValue: Value (${deviceName}) for parameter device is invalid.`,
        ...life,
        // The real provider stops the instance whether it is there or not.
        delete: async (state: Parameters<NonNullable<typeof life.delete>>[0], id: string) => {
            const { stopInstanceBeforeDetaching, instanceId } = state;
            if (stopInstanceBeforeDetaching)
                await cloud.withAccount(async (account) =>
                    must(
                        account.instances[instanceId],
                        "IncorrectInstanceState",
                        `This instance '${instanceId}' is not in a state from which it can be stopped.`,
                    ),
                );
            await life.delete?.(state, id);
        },
    };
};
