import type { DnsRecordState } from "@pulumi/cloudflare/dnsRecord";
import type { Unwrap } from "@pulumi/pulumi";
import { type Resource, standIn } from "../providers/standin";
import { characterStrings, LONGEST } from "../records";
import type { Row } from "./account";
import { recordsApi } from "./api";
import { type Args, fieldsOf } from "./content";
import { unwise } from "./errors";
import { r2Bucket, r2BucketLifecycle, r2BucketLock } from "./r2";
import type { Cloudflare } from "./request";
import { accountToken } from "./tokens";

/** The stand-in Cloudflare provider of an account. */
export const cloudflareProvider = (cloudflare: Cloudflare) =>
    standIn("cloudflare", {
        "cloudflare:index/dnsRecord:DnsRecord": dnsRecord(cloudflare),
        "cloudflare:index/r2Bucket:R2Bucket": r2Bucket(cloudflare),
        "cloudflare:index/r2BucketLock:R2BucketLock": r2BucketLock(cloudflare),
        "cloudflare:index/r2BucketLifecycle:R2BucketLifecycle": r2BucketLifecycle(cloudflare),
        "cloudflare:index/accountToken:AccountToken": accountToken(cloudflare),
    });

// Read gives every field that the API has, and says which it has not: those are gone from the state.
const state = ({ content, data, ttl, priority, comment, proxied, name }: Row) => ({ name, content, data, ttl, priority, comment, proxied });

function dnsRecord(cloudflare: Cloudflare): Resource<Args, Unwrap<DnsRecordState>> {
    const api = recordsApi(cloudflare);
    return {
        inputs: ["zoneId", "name", "type", "ttl", "content", "data", "priority", "comment", "proxied"],
        required: ["zoneId", "name", "type", "ttl"],
        computed: ["content"],
        defaults: { proxied: false },
        oneOf: { type: ["A", "AAAA", "CNAME", "MX", "TXT", ...Object.keys(fieldsOf)] },
        // The real provider renames in place; only another zone or type makes another record.
        inPlace: ["name", "ttl", "content", "data", "priority", "comment", "proxied"],
        refuse: (args) => misfit(args) ?? drifting(args),
        async create(args) {
            const { id, row } = await api.create(args);
            return { id, outs: { content: row.content } };
        },
        async read({ zoneId }, id) {
            const row = await api.read(zoneId, id);
            return row && state(row);
        },
        update: async (args, _state, id) => ({ content: (await api.update(args, id)).content }),
        delete: ({ zoneId }, id) => api.delete(zoneId, id), // one that is gone is an error, as the real provider has it
    };
}

/** What the real provider refuses itself. */
function misfit({ content, data, proxied, ttl }: Args): string | undefined {
    if (content !== undefined && data !== undefined)
        return 'Invalid Attribute Combination: Attribute "data" cannot be specified when "content" is specified';
    if (proxied && ttl !== 1) return "ttl must be set to 1 when `proxied` is true";
    return undefined;
}

/** What the API changes, so that every refresh finds another record than the program wants. */
function drifting({ name, type, content, data, priority }: Args): string | undefined {
    const other = (what: string, given: string, kept: string) =>
        given === kept ? undefined : unwise(`it keeps the ${what} "${given}" as "${kept}"`);
    if (name === "@") return unwise('it keeps "@" as the name of the zone');
    if (type === "SRV" && data?.priority !== undefined && priority !== data.priority)
        return unwise(`it has the priority ${data.priority} beside data, too: give it there`);
    const target = type === "SRV" ? data?.target : type === "TXT" ? undefined : content;
    return (
        other("name", name, host(name)) ??
        (target === undefined ? undefined : other("content", target, type === "AAAA" ? shortest(target) : host(target))) ??
        (type === "TXT" && content !== undefined ? badText(content) : undefined)
    );
}

const host = (name: string) => (name === "." ? name : name.toLowerCase().replace(/\.$/, ""));

/** An IPv6 address as RFC 5952 wants it. */
function shortest(address: string): string {
    return URL.canParse(`http://[${address}]`) ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address;
}

function badText(content: string): string | undefined {
    const strings = characterStrings(content, 10);
    if (!strings) return unwise(`its dashboard warns: "The content field of TXT records must be in quotation marks": ${content}`);
    const long = strings.find(({ length }) => length > LONGEST);
    if (long) return unwise(`a string of ${long.length} bytes is split after ${LONGEST}: ${content}`);
    const total = strings.reduce((sum, { length }) => sum + length, 0);
    return total > 2048 ? `DNS Validation Error: a TXT record has 2048 characters at most, not ${total}` : undefined;
}
