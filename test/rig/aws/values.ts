import { isIPv4, isIPv6 } from "node:net";

/** A range of IPv4 addresses by its first and last, as numbers. */
export interface Range {
    first: number;
    last: number;
    length: number;
}

/** Undefined where it is no CIDR block, or one whose address has bits behind its length. */
export function cidrRange(cidr: string): Range | undefined {
    const [address, bits] = cidr.split("/");
    const length = Number(bits);
    if (!isIPv4(address) || !/^\d+$/.test(bits ?? "") || length > 32) return undefined;
    const first = address.split(".").reduce((sum, byte) => sum * 256 + Number(byte), 0);
    const size = 2 ** (32 - length);
    return first % size === 0 ? { first, last: first + size - 1, length } : undefined;
}

export const isCidr6 = (cidr: string): boolean => /^[^/]+\/\d+$/.test(cidr) && isIPv6(cidr.split("/")[0]) && Number(cidr.split("/")[1]) <= 128;

export const contains = (outer: Range, inner: Range): boolean => outer.first <= inner.first && inner.last <= outer.last;
export const overlap = (one: Range, other: Range): boolean => one.first <= other.last && other.first <= one.last;

/** What the real provider says of a string that must be a CIDR block. */
export const notCidr = (property: string, cidr: string | undefined): string | undefined =>
    cidr === undefined || cidrRange(cidr) ? undefined : `"${property}": "${cidr}" is not a valid IPv4 CIDR block`;

/** Why the API would not take the tags. */
export function badTags(tags: Record<string, string> = {}): string | undefined {
    const entries = Object.entries(tags);
    if (entries.length > 50) return "TagLimitExceeded: an object has at most 50 tags";
    const reserved = entries.find(([key]) => key.toLowerCase().startsWith("aws:"));
    if (reserved) return `InvalidParameterValue: Tag keys starting with 'aws:' are reserved for internal use: ${reserved[0]}`;
    const long = entries.find(([key, value]) => key === "" || key.length > 128 || value.length > 256);
    return long && `InvalidParameterValue: Tag key exceeds the maximum length of 128 characters, or its value that of 256: ${long[0]}`;
}

/** A policy that IAM takes: JSON with statements of its version. */
export function badPolicy(policy: unknown): string | undefined {
    const document = parsed(policy);
    const malformed = (why: string) => `MalformedPolicyDocument: ${why}`;
    if (!document) return malformed("This policy contains invalid Json");
    if (document.Version !== "2012-10-17") return malformed("The policy must have the version 2012-10-17 to use its variables and conditions");
    const statements = [document.Statement ?? []].flat() as Record<string, unknown>[];
    if (statements.length === 0) return malformed("Syntax errors in policy.");
    for (const statement of statements) {
        if (!["Allow", "Deny"].includes(statement.Effect as string)) return malformed("Policy statement must contain effect Allow or Deny.");
        if (!statement.Action && !statement.NotAction) return malformed("Policy statement must contain actions.");
        if (statement.Principal) return malformed("Policy document should not specify a principal.");
        if (!statement.Resource && !statement.NotResource) return malformed("Policy statement must contain resources.");
    }
    return undefined;
}

function parsed(policy: unknown): Record<string, unknown> | undefined {
    if (typeof policy !== "string") return policy as Record<string, unknown> | undefined;
    try {
        return JSON.parse(policy) as Record<string, unknown>;
    } catch {
        return undefined;
    }
}
