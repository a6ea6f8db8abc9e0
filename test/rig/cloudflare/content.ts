import { isIPv4, isIPv6 } from "node:net";
import type { DnsRecordArgs } from "@pulumi/cloudflare/dnsRecord";
import type { Unwrap } from "@pulumi/pulumi";
import { isName } from "../records";
import type { Row } from "./account";
import { invalid, Refusal } from "./errors";

export type Args = Unwrap<DnsRecordArgs>;

/** Types that have their content in fields, and the fields that each must have. */
export const fieldsOf: Record<string, (keyof NonNullable<Args["data"]>)[]> = {
    SRV: ["priority", "weight", "port", "target"],
    CAA: ["flags", "tag", "value"],
    TLSA: ["usage", "selector", "matchingType", "certificate"],
};

const proxiable = ["A", "AAAA", "CNAME"];
const isHost = (text: string) => text === "." || isName(text);

/** Throws what the API finds wrong with a record by itself; answers how it keeps it. */
export function accepted(args: Args): Row {
    const { zoneId, name, type, ttl, data, priority, proxied = false, comment } = args;
    if (!isName(name)) throw invalid(9000, "DNS name is invalid.");
    if (ttl !== 1 && !(ttl >= 60 && ttl <= 86400)) throw invalid(9021, "TTL must be between 60 and 86400 seconds, or 1 for Automatic.");
    if (proxied && !proxiable.includes(type)) throw invalid(9004, "This record type cannot be proxied.");
    if ((comment ?? "").length > 100) throw new Refusal(1004, "DNS Validation Error: a comment of the free plan has 100 characters at most");
    const content = type in fieldsOf ? ofFields(args) : ofText(args);
    return {
        zoneId,
        name,
        type,
        content,
        ttl,
        proxied,
        ...(data && { data }),
        ...(priority !== undefined && { priority }),
        ...(comment && { comment }),
    };
}

function ofFields({ type, data = {} }: Args): string {
    const missing = fieldsOf[type].find((field) => (data[field] ?? null) === null);
    if (missing) throw invalid(9101, `${missing.replace(/[A-Z]/, (sign) => `_${sign.toLowerCase()}`)} is a required data field.`);
    const target = data.target ?? ".";
    if (type === "SRV" && !isHost(target)) throw new Refusal(1004, `DNS Validation Error: "${target}" is no target of an SRV record`);
    if (type === "SRV") return `${data.weight} ${data.port} ${target}`;
    if (type === "CAA") return `${data.flags} ${data.tag} "${data.value}"`;
    return `${data.usage} ${data.selector} ${data.matchingType} ${data.certificate}`;
}

function ofText({ type, content, priority }: Args): string {
    if (content === undefined) throw invalid(9100, "content is a required field.");
    if (type === "A" && !isIPv4(content)) throw invalid(9005, "Content for A record must be a valid IPv4 address.");
    if (type === "AAAA" && !isIPv6(content)) throw invalid(9006, "Content for AAAA record must be a valid IPv6 address.");
    if (type === "CNAME" && !isName(content)) throw invalid(9007, "Content for CNAME record is invalid.");
    if (type === "MX" && !isHost(content)) throw invalid(9009, "Change the content of your MX record to be a hostname (and not an IP address).");
    if (type === "MX" && priority === undefined) throw invalid(9100, "priority is a required field.");
    return content;
}

/** A record's content in one text, as in a master file. */
export function valueOf({ type, content, priority, data }: Row): string {
    return type === "MX" || type === "SRV" ? `${data?.priority ?? priority} ${content}` : content;
}
