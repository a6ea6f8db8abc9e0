import { randomBytes } from "node:crypto";
import * as path from "node:path";
import type { DnsRecordArgs } from "@pulumi/cloudflare/dnsRecord";
import type { Unwrap } from "@pulumi/pulumi";
import { readFile } from "../providers/account";

/** A record as the API answers it: those with fields have their text in `content` all the same. */
export interface Row extends Pick<Unwrap<DnsRecordArgs>, "zoneId" | "name" | "type" | "ttl" | "data" | "priority" | "comment"> {
    content: string;
    proxied: boolean;
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
    /** The only API token. */
    token: string;
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

/** The account in a file, or a new one without zones. */
export const readAccount = (file: string): CloudflareAccount =>
    readFile<CloudflareAccount>(file) ?? { token: randomBytes(20).toString("hex"), zones: {}, records: {}, calls: [] };
