import type { InstanceProfileArgs, InstanceProfileState } from "@pulumi/aws/iam/instanceProfile";
import type { RoleArgs, RoleState } from "@pulumi/aws/iam/role";
import type { RolePolicyArgs, RolePolicyState } from "@pulumi/aws/iam/rolePolicy";
import type { Unwrap } from "@pulumi/pulumi";
import { find, having, must } from "./errors";
import { type Cloud, kept, tagged } from "./resource";
import { autoName } from "./security";
import { badPolicy } from "./values";

const arn = (kind: string, name: string) => `arn:aws:iam::123456789012:${kind}/${name}`;

export const role = (cloud: Cloud) =>
    tagged<Unwrap<RoleArgs>, Unwrap<RoleState>>({
        inputs: ["assumeRolePolicy"],
        required: ["assumeRolePolicy"],
        inPlace: ["assumeRolePolicy"],
        refuse: ({ assumeRolePolicy }) => badPolicy(assumeRolePolicy, true),
        ...kept(cloud, "roles", {
            async create(account, _args, resourceName) {
                const name = autoName(resourceName);
                account.roles[name] = {};
                return { id: name, outs: { name, arn: arn("role", name) } };
            },
            update: async () => ({}),
            async remove(account, id) {
                const policies = having(account.rolePolicies, { role: id }).length > 0;
                must(!policies, "DeleteConflict", "Cannot delete entity, must delete policies first.");
                const profiles = having(account.instanceProfiles, { role: id }).length > 0;
                must(!profiles, "DeleteConflict", "Cannot delete entity, must remove roles from instance profile first.");
            },
        }),
    });

// The engine's references to resources are their ids by now: names, as IAM has it.
type RoleName = { role: string };

export const rolePolicy = (cloud: Cloud) => ({
    inputs: ["role", "policy"] as (keyof RolePolicyArgs)[],
    required: ["role", "policy"] as (keyof RolePolicyArgs)[],
    inPlace: ["policy"] as (keyof RolePolicyArgs)[],
    refuse: ({ policy }: Unwrap<RolePolicyArgs>) => badPolicy(policy, false),
    ...kept<"rolePolicies", Unwrap<RolePolicyArgs>, Unwrap<RolePolicyState>>(cloud, "rolePolicies", {
        async create(account, args, resourceName) {
            const { role } = args as RoleName;
            const name = autoName(resourceName);
            find(account, "roles", role);
            account.rolePolicies[`${role}:${name}`] = { role };
            return { id: `${role}:${name}`, outs: { name } };
        },
        update: async () => ({}),
    }),
});

export const instanceProfile = (cloud: Cloud) =>
    tagged<Unwrap<InstanceProfileArgs>, Unwrap<InstanceProfileState>>({
        inputs: ["role"],
        required: ["role"],
        inPlace: ["role"],
        ...kept(cloud, "instanceProfiles", {
            async create(account, args, resourceName) {
                const { role } = args as RoleName;
                find(account, "roles", role);
                const name = autoName(resourceName);
                account.instanceProfiles[name] = { role };
                return { id: name, outs: { name, arn: arn("instance-profile", name) } };
            },
            async update(account, args, _state, id) {
                const { role } = args as RoleName;
                find(account, "roles", role);
                account.instanceProfiles[id] = { role };
                return {};
            },
        }),
    });
