import { randomBytes } from "node:crypto";
import type { AccountTokenArgs, AccountTokenState } from "@pulumi/cloudflare/accountToken";
import type { Unwrap } from "@pulumi/pulumi";
import type { Resource } from "../providers/standin";
import { type CloudflareAccount, newId } from "./account";
import { Refusal, unwise } from "./errors";
import { accountRequests, type Cloudflare } from "./request";

type Args = Unwrap<AccountTokenArgs>;

/** Permission groups that the stand-in knows, and what kind of resource each is for. Ids are the same in every account. */
const GROUPS: Record<string, { name: string; scope: string }> = {
    "2efd5506f9c8494dacb1fa10a3e7d5b6": { name: "Workers R2 Storage Bucket Item Write", scope: "com.cloudflare.edge.r2.bucket" },
    "6a018a9f2fc74eb6b293b0c548f38b39": { name: "Workers R2 Storage Bucket Item Read", scope: "com.cloudflare.edge.r2.bucket" },
    bf7481a1826f439697cb59a20b22293e: { name: "Workers R2 Storage Write", scope: "com.cloudflare.api.account" },
};

export function accountToken(cloudflare: Cloudflare): Resource<Args, Unwrap<AccountTokenState>> {
    const request = accountRequests(cloudflare);
    return {
        inputs: ["accountId", "name", "policies"],
        required: ["accountId", "name", "policies"],
        inPlace: ["name", "policies"],
        secrets: ["value"],
        refuse: badArgs,
        create: ({ accountId, name, policies }) =>
            request("POST", accountId, "tokens", (account) => {
                mustBeGranted(account, policies);
                const [id, value] = [newId(), randomBytes(30).toString("base64url")];
                account.tokens[id] = { name, policies, value };
                return { id, outs: { value, status: "active" } };
            }),
        read: ({ accountId }, id) => request("GET", accountId, `tokens/${id}`, ({ tokens }) => tokens[id] && { name: tokens[id].name }),
        update: ({ accountId, name, policies }, _state, id) =>
            request("PUT", accountId, `tokens/${id}`, (account) => {
                mustExist(account, id);
                mustBeGranted(account, policies);
                Object.assign(account.tokens[id], { name, policies });
                return { value: account.tokens[id].value }; // an update makes no new one
            }),
        delete: ({ accountId }, id) =>
            request("DELETE", accountId, `tokens/${id}`, (account) => {
                mustExist(account, id);
                delete account.tokens[id];
            }),
    };
}

function mustExist({ tokens }: CloudflareAccount, id: string): void {
    if (!tokens[id]) throw new Refusal(1003, "Token not found", "404 Not Found");
}

/** What the real provider refuses itself. */
function badArgs({ policies }: Args): string | undefined {
    for (const { effect, resources } of policies) {
        if (!["allow", "deny"].includes(effect)) return `value must be one of: allow, deny; got: ${effect}`;
        if (!isJson(resources)) return `Invalid JSON: String must be a valid JSON: ${resources}`;
    }
    return undefined;
}

function isJson(text: string): boolean {
    try {
        JSON.parse(text);
        return true;
    } catch {
        return false;
    }
}

/** The API's own text for a group that does not go with a resource is "Failed common permission check". */
function mustBeGranted({ id: accountId, buckets }: CloudflareAccount, policies: Args["policies"]): void {
    const refuse = (message: string) => new Refusal(1001, message);
    if (policies.length === 0) throw refuse("A token has one policy at least.");
    for (const { permissionGroups, resources } of policies) {
        const names = Object.keys(JSON.parse(resources) as object);
        if (permissionGroups.length === 0) throw refuse("A policy has one permission group at least.");
        if (names.length === 0) throw refuse("A policy has one resource at least.");
        for (const { id } of permissionGroups) {
            if (!GROUPS[id]) throw refuse(`Permission group not found: ${id}`);
            const { name, scope } = GROUPS[id];
            const wrong = `Failed common permission check against resources. (Permission group: "${name}")`;
            if (!names.every((resource) => resource.startsWith(`${scope}.`))) throw refuse(wrong);
        }
        const bucket = `com.cloudflare.edge.r2.bucket.${accountId}_default_`;
        const foreign = names.find((name) => name.includes(".r2.bucket.") && !buckets[name.replace(bucket, "")]);
        if (foreign) throw new Error(unwise(`there is no bucket that the token is for: ${foreign}`));
    }
}
