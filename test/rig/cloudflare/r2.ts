import type { R2BucketArgs, R2BucketState } from "@pulumi/cloudflare/r2bucket";
import type { R2BucketLifecycleArgs, R2BucketLifecycleState } from "@pulumi/cloudflare/r2bucketLifecycle";
import type { R2BucketLockArgs, R2BucketLockState } from "@pulumi/cloudflare/r2bucketLock";
import type { Unwrap } from "@pulumi/pulumi";
import type { Resource } from "../providers/standin";
import type { Bucket, CloudflareAccount } from "./account";
import { Refusal, unwise } from "./errors";
import { accountRequests, type Cloudflare } from "./request";

// Codes: https://developers.cloudflare.com/r2/api/error-codes/
const notEnabled = () => new Refusal(10042, "Please enable R2 through the Cloudflare Dashboard.", "403 Forbidden");
const noBucket = () => new Refusal(10006, "The specified bucket does not exist.", "404 Not Found");

function find(account: CloudflareAccount, name: string): Bucket {
    if (!account.r2) throw notEnabled();
    if (!account.buckets[name]) throw noBucket();
    return account.buckets[name];
}

export function r2Bucket(cloudflare: Cloudflare): Resource<Unwrap<R2BucketArgs>, Unwrap<R2BucketState>> {
    const request = accountRequests(cloudflare);
    return {
        inputs: ["accountId", "name"],
        required: ["accountId", "name"],
        create: ({ accountId, name }) =>
            request("POST", accountId, "r2/buckets", (account) => {
                if (!account.r2) throw notEnabled();
                if (!/^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/.test(name)) throw new Refusal(10005, "The specified bucket name is not valid.");
                if (account.buckets[name]) throw new Refusal(10004, "The bucket you tried to create already exists, and you own it.", "409 Conflict");
                account.buckets[name] = { objects: 0 };
                return { id: name, outs: { jurisdiction: "default", location: "WEUR", storageClass: "Standard" } };
            }),
        read: ({ accountId, name }) =>
            request("GET", accountId, `r2/buckets/${name}`, ({ buckets }) => (buckets[name] ? { jurisdiction: "default" } : undefined)),
        delete: ({ accountId, name }) =>
            request("DELETE", accountId, `r2/buckets/${name}`, (account) => {
                const why = `The bucket you tried to delete (${name}) is not empty (account ${accountId})`;
                if (find(account, name).objects > 0) throw new Refusal(10008, why, "409 Conflict");
                delete account.buckets[name];
            }),
    };
}

interface Parts {
    accountId: string;
    bucketName: string;
    rules?: { id: string }[];
}

/** Rules of a bucket: all of a kind at once. The real provider does not take them back: a bucket keeps them until others are put there. */
function rules<Args extends Parts, State extends { rules?: Args["rules"]; jurisdiction?: string }>(
    cloudflare: Cloudflare,
    kind: "lock" | "lifecycle",
    refuse: (rules: NonNullable<Args["rules"]>) => string | undefined,
): Resource<Args, State> {
    const request = accountRequests(cloudflare);
    const path = (bucketName: string) => `r2/buckets/${bucketName}/${kind}`;
    const put = (args: Args) =>
        request("PUT", args.accountId, path(args.bucketName), (account) => {
            const bucket = find(account, args.bucketName) as Record<typeof kind, Args["rules"]>;
            bucket[kind] = args.rules;
        });
    return {
        inputs: ["accountId", "bucketName", "rules"],
        required: ["accountId", "bucketName"],
        inPlace: ["rules"],
        refuse({ rules = [] }) {
            const ids = rules.map(({ id }) => id);
            return new Set(ids).size < ids.length ? unwise(`two rules have one id: ${ids.join(", ")}`) : refuse(rules);
        },
        async create(args) {
            await put(args);
            return { id: args.bucketName, outs: { jurisdiction: "default" } as Partial<State> };
        },
        read: ({ accountId, bucketName }) =>
            request("GET", accountId, path(bucketName), ({ buckets }) =>
                buckets[bucketName] ? ({ rules: (buckets[bucketName] as Record<typeof kind, Args["rules"]>)[kind] } as Partial<State>) : undefined,
            ),
        update: async (args) => {
            await put(args);
            return {};
        },
    };
}

export const r2BucketLock = (cloudflare: Cloudflare) =>
    rules<Unwrap<R2BucketLockArgs>, Unwrap<R2BucketLockState>>(cloudflare, "lock", (all) => {
        for (const { id, condition } of all) {
            const { type, maxAgeSeconds, date } = condition;
            if (!["Age", "Date", "Indefinite"].includes(type)) return `value must be one of: Age, Date, Indefinite; got: ${type}`;
            const given = [(maxAgeSeconds ?? 0) > 0 ? "Age" : [], date ? "Date" : []].flat();
            if (given.join() !== (type === "Indefinite" ? "" : type)) return `The lock rule ${id} does not say for how long, or says it twice`;
        }
        return undefined;
    });

export const r2BucketLifecycle = (cloudflare: Cloudflare) =>
    rules<Unwrap<R2BucketLifecycleArgs>, Unwrap<R2BucketLifecycleState>>(cloudflare, "lifecycle", (all) => {
        for (const { id, abortMultipartUploadsTransition: abort, deleteObjectsTransition, storageClassTransitions } of all) {
            if (deleteObjectsTransition) return unwise(`the lifecycle rule ${id} deletes objects by their age, which backups still use`);
            if (!abort && !storageClassTransitions?.length) return unwise(`the lifecycle rule ${id} does nothing`);
            if (abort && !((abort.condition?.maxAge ?? 0) > 0)) return unwise(`the lifecycle rule ${id} aborts every upload`);
        }
        return undefined;
    });
