import type { DkimKey } from "../components/dns/records";
import type { Settings } from "../components/settings/settings";
import { Change, bitsOf } from "./domainRecords";

/** RFC 8301 §3.2: signers use 2048 bits or more. */
const BITS = 2048;

const HEADINGS: Record<Change["kind"] | "missing", string> = {
    new: "new: the config does not have it yet",
    changed: "changed in the application",
    same: "same",
    gone: "gone from the application",
    unusable: "cannot be published as the application has it",
    missing: "not in the application",
};
/** SGR codes: green, yellow, faint, red. */
const COLOURS = { new: 32, changed: 33, same: 2, gone: 31, unusable: 31, missing: 31 };
const paint = (code: number, text: string) => `\x1b[${code}m${text}\x1b[0m`;

/** What was found, one block a domain, and what is wrong with its fix. */
export function report(changes: Change[], settings: Pick<Settings, "domains" | "host">, colours = false): string[] {
    const known = new Set(changes.map(({ name }) => name));
    const missing = settings.domains.filter((name) => !known.has(name));
    const heading = (name: string, kind: keyof typeof HEADINGS) =>
        colours ? `${paint(1, name)}  ${paint(COLOURS[kind], HEADINGS[kind])}` : `${name}  ${HEADINGS[kind]}`;
    return [
        ...changes.flatMap((change) => [heading(change.name, change.kind), ...values(change), ...warnings(change, settings), ""]),
        ...missing.flatMap((name) => [heading(name, "missing"), ...warning("users cannot send from it", ADD), ""]),
    ];
}

const ADD = "add it in the web interface, then run this again";

function values({ kind, before, after, removed }: Change): string[] {
    const now = kind === "gone" ? before : after;
    const row = (label: string, value: string | undefined, old: string | undefined) => {
        const was = kind === "changed" && old !== value ? `   (was: ${old ?? "none"})` : "";
        return value === undefined && !was ? [] : [`  ${label.padEnd(13)} ${value ?? "none"}${was}`];
    };
    return [
        ...row("selector", now?.selector, before?.selector),
        ...row("public key", now && sizeAndEnd(now), before && sizeAndEnd(before)),
        ...row("return path", now?.returnPath, before?.returnPath),
        ...row("verification", now?.verification, before?.verification),
        ...(after?.previous ?? []).map((key) => `  ${"previous".padEnd(13)} ${short(key)}`),
        ...removed.map((key) => `  ${"removed".padEnd(13)} ${short(key)}`),
    ];
}

/** A whole key is wider than a terminal; the beginning is the same in all of one size. */
const end = ({ publicKey }: DkimKey) => `ends in ${publicKey.slice(-24)}`;
const sizeAndEnd = (key: DkimKey) => `${bitsOf(key.publicKey)} bits, ${end(key)}`;
const short = (key: DkimKey) => `${key.selector}, ${end(key)}`;

const warning = (what: string, fix: string) => [`  warning: ${what}`, `  fix: ${fix}`];

function warnings(change: Change, { domains, host }: Pick<Settings, "domains" | "host">): string[] {
    const { name, kind, before, after, problem } = change;
    if (kind === "unusable") return warning(problem!, "save the domain in the web interface, which makes what is missing; then run this again");
    if (kind === "gone") {
        if (domains.includes(name)) return warning("users cannot send from it any more", `${ADD}; or remove it from domains`);
        return after ? warning("its records are for nothing", "--prune removes it from the config") : [];
    }
    const bits = bitsOf(after!.publicKey) ?? 0;
    const hadSelector = kind === "changed" && before!.selector === after!.selector && before!.publicKey !== after!.publicKey;
    return [
        ...(bits < BITS
            ? warning(
                  `its key has ${bits} bits, and receivers may refuse less than ${BITS} (RFC 8301 §3.2)`,
                  "set the domain's DKIM modulus length to 2048 in the web interface, then run this again",
              )
            : []),
        ...(hadSelector
            ? warning(
                  "the new key has the selector of the old one, which can stay no longer: mail under way fails DKIM",
                  "publish at once; nothing else is to do",
              )
            : []),
        // The host is a mail domain, listed or not: components/dns/records.ts.
        ...(domains.includes(name) || name === host
            ? []
            : warning("it is not in the stack's domains: none of its records would be published", "add it to domains")),
    ];
}
