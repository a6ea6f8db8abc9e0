import { createPublicKey } from "node:crypto";
import { domainToASCII } from "node:url";
import { isDeepStrictEqual } from "node:util";
import type { ApplicationDomain, DkimKey } from "../components/dns/records";
import { domainRecord } from "../components/settings/dnsSchema";
import { dnsName } from "../components/settings/names";

/** What the config says of the application's domains: the key `domainRecords`. */
export type Records = Record<string, ApplicationDomain>;

/** A domain as the application stores it (upstream's app/models/domains.js), in MongoDB's relaxed extended JSON. */
export interface StoredDomain {
    name?: string;
    dkim_key_selector?: string;
    dkim_public_key?: { $binary?: { base64?: string } };
    return_path?: string;
    verification_record?: string;
}

/** What the application has: the domains that DNS can have records of, and by name, what is wrong with the others. */
export interface Found {
    domains: Records;
    problems: Record<string, string>;
}

/** Reads the application's domains, names in ASCII form. A value that the config would refuse is a problem of its domain, not of all. */
export function foundDomains(stored: StoredDomain[]): Found {
    const found: Found = { domains: {}, problems: {} };
    for (const domain of stored) {
        const name = domainToASCII(domain.name ?? "");
        const shown = name || String(domain.name);
        if (shown in found.domains || shown in found.problems) {
            // Nothing keeps two users from adding one name. There can be one verification code at it only.
            delete found.domains[shown];
            found.problems[shown] = "the application has it more than once: remove all but one in the web interface";
            continue;
        }
        const read = domainRecord.safeParse(given(domain));
        if (!dnsName.safeParse(name).success) found.problems[shown] = "no name that DNS can have records of: remove it in the web interface";
        else if (!read.success)
            found.problems[name] = read.error.issues.map(({ path, message }) => `${path.join(".")}: wanted ${message}`).join("; ");
        else if (bitsOf(read.data.publicKey) === undefined) found.problems[name] = "publicKey: wanted an RSA key";
        else found.domains[name] = read.data;
    }
    return found;
}

/** What is set: a key without a value would count as a difference. */
function given({ dkim_key_selector, dkim_public_key, return_path, verification_record }: StoredDomain): Record<string, string> {
    const all = {
        selector: dkim_key_selector,
        publicKey: dkim_public_key?.$binary?.base64,
        returnPath: return_path,
        verification: verification_record,
    };
    return Object.fromEntries(Object.entries(all).filter((entry): entry is [string, string] => typeof entry[1] === "string"));
}

/** Length of an RSA key; undefined where it is none. */
export function bitsOf(publicKey: string): number | undefined {
    try {
        return createPublicKey({ key: Buffer.from(publicKey, "base64"), format: "der", type: "spki" }).asymmetricKeyDetails?.modulusLength;
    } catch {
        return undefined;
    }
}

/** What a run does to the record of one domain. */
export interface Change {
    name: string;
    /** `unusable`: the application has it in a form that cannot be published; the config keeps what it has. */
    kind: "new" | "changed" | "same" | "gone" | "unusable";
    before?: ApplicationDomain;
    /** Unset: it is in the config no longer. */
    after?: ApplicationDomain;
    /** Keys that are published no longer. */
    removed: DkimKey[];
    problem?: string;
}

/** Mail is under way for days at most (RFC 5321 §4.5.4.1): who rotates keys twice meanwhile needs two old ones. */
const PREVIOUS = 2;

/** Compares what the application has with the config. Only `prune` takes away what mail under way may need: old keys, and domains that are gone. */
export function mergeDomains({ domains, problems }: Found, configured: Records, prune = false): Change[] {
    const names = new Set([...Object.keys(configured), ...Object.keys(domains), ...Object.keys(problems)]);
    return [...names].sort().map((name) => {
        const change = mergeDomain(name, domains[name], configured[name], problems[name], prune);
        return { ...change, removed: keysOf(change.before).filter((key) => !keysOf(change.after).some((kept) => isDeepStrictEqual(kept, key))) };
    });
}

type Merged = Omit<Change, "removed">;

function mergeDomain(
    name: string,
    found: ApplicationDomain | undefined,
    before: ApplicationDomain | undefined,
    problem: string | undefined,
    prune: boolean,
): Merged {
    if (problem !== undefined) return { name, kind: "unusable", problem, before, after: before };
    if (!found) return { name, kind: "gone", before, after: prune ? undefined : before };
    if (!before) return { name, kind: "new", after: found };
    const isSame = isDeepStrictEqual({ ...before, previous: [] }, { ...found, previous: [] });
    return { name, kind: isSame ? "same" : "changed", before, after: { ...found, previous: previousOf(found, before, prune) } };
}

/**
 * Old keys, the newest first. A selector has one key: two records under it are undefined (RFC 6376 §3.6.2.2), and the application
 * wants its own alone. A key that is found to be replaced by this run stays with `prune`, too: mail that was just sent bears it.
 */
function previousOf(found: ApplicationDomain, before: ApplicationDomain, prune: boolean): DkimKey[] {
    const selectors = new Set([found.selector]);
    const old = prune ? [keyOf(before)] : [keyOf(before), ...before.previous];
    return old.filter(({ selector }) => !selectors.has(selector) && selectors.add(selector)).slice(0, PREVIOUS);
}

const keyOf = ({ selector, publicKey }: DkimKey): DkimKey => ({ selector, publicKey });
const keysOf = (domain: ApplicationDomain | undefined): DkimKey[] => (domain ? [keyOf(domain), ...domain.previous.map(keyOf)] : []);

/** The records that the config has afterwards. */
export function recordsAfter(changes: Change[]): Records {
    return Object.fromEntries(changes.flatMap(({ name, after }) => (after ? [[name, after]] : [])));
}

/** Whether application and config differ; `prune` also wants nothing left to remove. */
export function isDifferent(changes: Change[], configured: Records): boolean {
    return changes.some(({ kind }) => kind !== "same") || !isDeepStrictEqual(recordsAfter(changes), configured);
}
