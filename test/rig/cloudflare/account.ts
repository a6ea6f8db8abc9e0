import { createHash, randomBytes } from "node:crypto";
import * as path from "node:path";
import type { AccountTokenArgs } from "@pulumi/cloudflare/accountToken";
import type { DnsRecordArgs } from "@pulumi/cloudflare/dnsRecord";
import type { R2BucketLifecycleArgs } from "@pulumi/cloudflare/r2bucketLifecycle";
import type { R2BucketLockArgs } from "@pulumi/cloudflare/r2bucketLock";
import type { Unwrap } from "@pulumi/pulumi";
import { readFile } from "../providers/account";

/** A record as the API answers it: those with fields have their text in `content` all the same. */
export interface Row extends Pick<Unwrap<DnsRecordArgs>, "zoneId" | "name" | "type" | "ttl" | "data" | "priority" | "comment"> {
    content: string;
    proxied: boolean;
}

/** A bucket of R2, with what it is configured with. An S3 server behind it would hold the objects; the account only counts them. */
export interface Bucket {
    objects: number;
    lock?: Unwrap<R2BucketLockArgs>["rules"];
    lifecycle?: Unwrap<R2BucketLifecycleArgs>["rules"];
}

/** A token of the account. For S3 its id is the access key's, and the SHA-256 of its value the secret. */
export interface Token extends Pick<Unwrap<AccountTokenArgs>, "name" | "policies"> {
    value: string;
}

/** A request that the API answered, with the code of its refusal. */
export interface Call {
    method: "POST" | "GET" | "PUT" | "DELETE";
    path: string;
    /** Name and type of the record, where the request has them. */
    record?: string;
    code?: number;
}

export interface CloudflareAccount {
    id: string;
    /** The only API token that may do anything but R2's objects. */
    token: string;
    /** Turned on in the dashboard, which nobody but the account's owner can do. */
    r2: boolean;
    /** Buckets by name, and tokens by id. */
    buckets: Record<string, Bucket>;
    tokens: Record<string, Token>;
    /** Names of zones by id. */
    zones: Record<string, string>;
    records: Record<string, Row>;
    /** Every request so far; a test may empty it. */
    calls: Call[];
}

/** An id as Cloudflare makes them. */
export const newId = (): string => randomBytes(16).toString("hex");

/** Where the account is, in the rig's directory. */
export const accountFile = (directory: string): string => path.resolve(directory, "cloudflare", "account.json");

/** The account in a file, also one of a time before R2, or a new one without zones. */
export function readAccount(file: string): CloudflareAccount {
    const kept = readFile<CloudflareAccount>(file) ?? { token: randomBytes(20).toString("hex"), zones: {}, records: {}, calls: [] };
    const id = createHash("sha256").update(kept.token).digest("hex").slice(0, 32);
    return { id, r2: true, buckets: {}, tokens: {}, ...kept };
}
