import { randomBytes } from "node:crypto";
import type { AccessKeyArgs, AccessKeyState } from "@pulumi/aws/iam/accessKey";
import type { UserArgs, UserState } from "@pulumi/aws/iam/user";
import type { UserPolicyArgs, UserPolicyState } from "@pulumi/aws/iam/userPolicy";
import type { Unwrap } from "@pulumi/pulumi";
import type { Resource } from "../providers/standin";
import { type Account } from "./account";
import { find, having, must } from "./errors";
import { type Cloud, kept, tagged } from "./resource";
import { autoName } from "./security";
import { badPolicy } from "./values";

export const user = ({ withAccount }: Cloud) =>
    tagged<Unwrap<UserArgs>, Unwrap<UserState>>({
        inputs: ["name"],
        computed: ["name"],
        ...kept({ withAccount }, "users", {
            async create(account, args, resourceName) {
                const name = args.name ?? autoName(resourceName);
                const valid = /^[\w+=,.@-]{1,64}$/.test(name);
                must(valid, "ValidationError", `The specified value for userName is invalid: 64 of the signs A-Za-z0-9+=,.@_- at most, not ${name}`);
                must(!account.users[name], "EntityAlreadyExists", `User with name ${name} already exists.`);
                account.users[name] = {};
                return { id: name, outs: { name, arn: `arn:aws:iam::123456789012:user/${name}` } };
            },
            update: async () => ({}),
            async remove(account, id) {
                const policies = having(account.userPolicies, { user: id }).length > 0;
                must(!policies, "DeleteConflict", "Cannot delete entity, must delete policies first.");
                const keys = having(account.accessKeys, { user: id }).length > 0;
                must(!keys, "DeleteConflict", "Cannot delete entity, must delete access keys first.");
            },
        }),
    });

/** Signs that the inline policies of a user have at most together, white space left out. */
const MOST = 2048;

export function userPolicy({ withAccount }: Cloud): Resource<Unwrap<UserPolicyArgs>, Unwrap<UserPolicyState>> {
    const put = (account: Account, id: string, user: string, policy: string) => {
        find(account, "users", user);
        account.userPolicies[id] = { user, policy };
        const all = having(account.userPolicies, { user }).map(([, one]) => one.policy.replace(/\s/g, ""));
        must(all.join("").length <= MOST, "LimitExceeded", `Maximum policy size of ${MOST} bytes exceeded for user ${user}`);
    };
    const textOf = (policy: unknown) => (typeof policy === "string" ? policy : JSON.stringify(policy));
    return {
        inputs: ["user", "policy"],
        required: ["user", "policy"],
        inPlace: ["policy"],
        refuse: ({ policy }) => badPolicy(policy),
        ...kept<"userPolicies", Unwrap<UserPolicyArgs>, Unwrap<UserPolicyState>>({ withAccount }, "userPolicies", {
            async create(account, { user, policy }, resourceName) {
                const name = autoName(resourceName);
                put(account, `${user}:${name}`, user, textOf(policy));
                return { id: `${user}:${name}`, outs: { name } };
            },
            async update(account, { user, policy }, _state, id) {
                put(account, id, user, textOf(policy));
                return {};
            },
            read: (account, id) => ({ policy: account.userPolicies[id].policy }),
        }),
    };
}

/** The key's secret is in the account, which knows it as the real one does: requests are signed with it. */
export const accessKey = ({ withAccount }: Cloud): Resource<Unwrap<AccessKeyArgs>, Unwrap<AccessKeyState>> => ({
    inputs: ["user"],
    required: ["user"],
    secrets: ["secret"],
    ...kept<"accessKeys", Unwrap<AccessKeyArgs>, Unwrap<AccessKeyState>>({ withAccount }, "accessKeys", {
        async create(account, { user }) {
            find(account, "users", user);
            const keys = having(account.accessKeys, { user }).length;
            must(keys < 2, "LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2");
            const id = `AKIA${Array.from(randomBytes(16), (byte) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[byte % 32]).join("")}`;
            const secret = randomBytes(30).toString("base64");
            account.accessKeys[id] = { user, secret };
            return { id, outs: { secret, status: "Active" } };
        },
    }),
});
