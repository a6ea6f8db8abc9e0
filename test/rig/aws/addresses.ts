import type { EipArgs, EipState } from "@pulumi/aws/ec2/eip";
import type { EipAssociationArgs, EipAssociationState } from "@pulumi/aws/ec2/eipAssociation";
import type { EipDomainNameArgs, EipDomainNameState } from "@pulumi/aws/ec2/eipDomainName";
import type { Unwrap } from "@pulumi/pulumi";
import { type Account, newId } from "./account";
import { find, having, must } from "./errors";
import { vpcOf } from "./network";
import { type Cloud, kept, tagged } from "./resource";

/** The rig has five, which is what AWS gives to a new account. */
const numbers = [10, 11, 12, 13, 14];

export const eip = (cloud: Cloud) =>
    tagged<Unwrap<EipArgs>, Unwrap<EipState>>({
        inputs: ["domain"],
        required: ["domain"],
        oneOf: { domain: ["vpc"] },
        ...kept(cloud, "addresses", {
            async create(account) {
                const number = numbers.find((candidate) => having(account.addresses, { number: candidate }).length === 0);
                must(number !== undefined, "AddressLimitExceeded", "The maximum number of addresses has been reached.");
                const id = newId("eipalloc");
                account.addresses[id] = { number };
                return { id, outs: { allocationId: id, publicIp: (await cloud.hardware()).address(number) } };
            },
            async remove(account, id) {
                const used = having(account.addressAssociations, { allocationId: id }).length > 0;
                must(!used, "InvalidIPAddress.InUse", `Address ${id} is in use.`);
                const why = `The address with allocation id [${id}] cannot be released because it has a reverse DNS record.`;
                must(!account.addressDomainNames[id], "InvalidAddress.Locked", why);
            },
        }),
    });

export const eipAssociation = (cloud: Cloud) => ({
    inputs: ["allocationId", "instanceId", "allowReassociation"] as (keyof EipAssociationArgs)[],
    required: ["allocationId", "instanceId"] as (keyof EipAssociationArgs)[],
    ...kept<"addressAssociations", Unwrap<EipAssociationArgs>, Unwrap<EipAssociationState>>(cloud, "addressAssociations", {
        async create(account, { allocationId = "", instanceId = "", allowReassociation }) {
            const { number } = find(account, "addresses", allocationId);
            const instance = find(account, "instances", instanceId);
            const vpcId = vpcOf(account, instanceId);
            const attached = having(account.internetGateways, { vpcId }).length > 0;
            must(attached, "Gateway.NotAttached", `Network ${vpcId} is not attached to any internet gateway`);
            for (const [other] of [
                ...having(account.addressAssociations, { allocationId }),
                ...having(account.addressAssociations, { instanceId }),
            ]) {
                const why = `resource ${allocationId} is already associated with associate-id ${other}`;
                must(allowReassociation, "Resource.AlreadyAssociated", why);
                delete account.addressAssociations[other];
            }
            const id = newId("eipassoc");
            account.addressAssociations[id] = { allocationId, instanceId };
            const { address } = await cloud.hardware();
            return { id, outs: { publicIp: address(number), privateIpAddress: address(instance.number) } };
        },
    }),
});

export const eipDomainName = (cloud: Cloud) => {
    const name = async (account: Account, { allocationId, domainName }: Unwrap<EipDomainNameArgs>) => {
        const publicIp = (await cloud.hardware()).address(find(account, "addresses", allocationId).number);
        const resolved = account.forward[domainName.replace(/\.$/, "")];
        const why = `The domain name ${domainName} resolves to ${resolved ?? "nothing"}, not to ${publicIp}: it needs an A record first.`;
        must(resolved === publicIp, "InvalidParameterValue", why);
        account.addressDomainNames[allocationId] = { domainName };
        return { id: allocationId, outs: { ptrRecord: `${domainName.replace(/\.$/, "")}.` } };
    };
    return {
        inputs: ["allocationId", "domainName"] as (keyof EipDomainNameArgs)[],
        required: ["allocationId", "domainName"] as (keyof EipDomainNameArgs)[],
        inPlace: ["domainName"] as (keyof EipDomainNameArgs)[],
        ...kept<"addressDomainNames", Unwrap<EipDomainNameArgs>, Unwrap<EipDomainNameState>>(cloud, "addressDomainNames", {
            create: name,
            update: async (account, args) => (await name(account, args)).outs,
        }),
    };
};
