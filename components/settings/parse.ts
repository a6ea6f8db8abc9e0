import { createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import * as path from "node:path";
import { z } from "zod";
import { Problem } from "../errors";
import { SECRETS, SecretName } from "../services/secrets";
import { Config, schema } from "./schema";

/** Config of a stack as Pulumi hands it over: every value is text, objects and lists are JSON. Keys without the project's prefix. */
export type RawConfig = Record<string, string>;

/** Stands for a secret that cannot be decrypted here: given, of unknown form. */
export const ENCRYPTED = "[encrypted]";

/** Where the config comes from, for file paths and for the fixes in messages. */
export interface Context {
    project: string;
    stack: string;
    /** Folder of Pulumi.yaml. */
    directory: string;
    /** Keys that the stack file holds encrypted, wholly or in part. */
    encrypted: Set<string>;
    /** Accept tags whose digest was never looked up: for a plan that nobody runs. */
    allowUnpinned?: boolean;
}

export interface Parsed {
    /** The config, with defaults in place of what is broken: good enough to go on looking for problems. */
    config: Config;
    /** Top-level keys that are broken, so that no check builds on them. */
    broken: Set<string>;
    problems: Problem[];
}

/** Flat secret keys of the config: the application's own, and keys of certificates. Never inside an object, where Pulumi would not encrypt them. */
export const SECRET_KEYS: string[] = [
    ...Object.keys(SECRETS),
    ...["dkimKey", "certificateKey", "sshKey", "cloudflareToken", "acmeDnsCredential", "alertWebhook"],
];

/** Structure only: types, formats, unknown keys. All problems at once; the checks across keys follow in crosschecks.ts. */
export function parse(raw: RawConfig, encrypted: Set<string>): Parsed {
    const secretProblems = SECRET_KEYS.filter((key) => raw[key] !== undefined).flatMap((key) => checkSecret(key, raw[key], encrypted.has(key)));
    const values = Object.fromEntries(
        Object.entries(raw)
            .filter(([key]) => !SECRET_KEYS.includes(key))
            .map(([key, text]) => [key, fromText(key, text)]),
    );
    const result = schema.safeParse(values);
    if (result.success) return { config: result.data, broken: new Set(), problems: secretProblems };
    const { issues } = result.error;
    return {
        config: salvage(values, issues),
        broken: new Set(issues.map((issue) => String(issue.path[0]))),
        problems: [...issues.flatMap((issue) => describe(issue, values, encrypted)), ...secretProblems],
    };
}

/** What is left of a config without its broken parts; where a part cannot be cut out, its whole top-level key goes. */
function salvage(values: Record<string, unknown>, issues: z.core.$ZodIssue[]): Config {
    const rest = structuredClone(values);
    for (const issue of issues) {
        const cuts = issue.code === "unrecognized_keys" ? issue.keys.map((key) => [...issue.path, key]) : [issue.path];
        for (const cut of cuts) {
            const parent = cut.slice(0, -1).reduce<unknown>((value, step) => (value as Record<PropertyKey, unknown> | undefined)?.[step], rest);
            if (parent && typeof parent === "object") delete (parent as Record<PropertyKey, unknown>)[cut[cut.length - 1]];
        }
    }
    const again = schema.safeParse({ host: "host.invalid", ...rest });
    if (again.success) return again.data;
    for (const issue of again.error.issues) delete rest[String(issue.path[0])];
    return schema.parse({ host: "host.invalid", ...rest });
}

/** Turns Pulumi's text into the type that the schema expects there; text that does not parse stays text, so that the schema can name it. */
function fromText(key: string, text: string): unknown {
    if (STRINGS.has(key)) return text;
    try {
        return JSON.parse(text);
    } catch {
        return text;
    }
}
const STRINGS = new Set(["host", "profile", "version"]);

function describe(issue: z.core.$ZodIssue, values: unknown, encrypted: Set<string>): Problem[] {
    if (issue.code === "unrecognized_keys") return issue.keys.map((key) => unknownKey([...issue.path, key]));
    const got = issue.path.reduce<unknown>((value, step) => (value as Record<PropertyKey, unknown> | undefined)?.[step as string], values);
    // A wrong *name* of a map's entry: the entry itself is what was found.
    if (issue.code === "invalid_key")
        return [
            {
                key: keyPath(issue.path.slice(0, -1)),
                message: `got the name "${String(issue.path.at(-1))}", wanted ${issue.issues[0].message}`,
                fix: fix(issue.path),
            },
        ];
    const text = JSON.stringify(got) ?? "";
    const shown = encrypted.has(String(issue.path[0])) ? "an encrypted value" : text.includes("PRIVATE KEY") ? "a private key" : text;
    const found = got === undefined ? "is missing" : `got ${shown}`;
    return [{ key: keyPath(issue.path), message: `${found}, wanted ${issue.message}`, fix: fix(issue.path) }];
}

function unknownKey(where: PropertyKey[]): Problem {
    const known = where.length === 1 ? [...Object.keys(schema.shape), ...SECRET_KEYS] : [];
    const near = known.find((key) => distance(key, String(where[0])) <= 2);
    return {
        key: keyPath(where),
        message: "this key does not exist",
        fix: near ? `rename it to ${near}` : "remove it, or correct it; docs/configuration.md lists every key",
    };
}

/** Path as it stands in the stack file: `servers[0].kind`. */
function keyPath(where: PropertyKey[]): string {
    return where.map((step, at) => (typeof step === "number" ? `[${step}]` : at === 0 ? String(step) : `.${String(step)}`)).join("");
}

function fix(where: PropertyKey[]): string {
    if (where.length === 1) return `pulumi config set ${keyPath(where)} VALUE`;
    return `pulumi config set --path '${keyPath(where)}' VALUE, or edit the stack file`;
}

function checkSecret(key: string, value: string, encrypted: boolean): Problem[] {
    const fix = `pulumi config set --secret ${key}, or remove it${key in SECRETS || key === "dkimKey" ? " to have one generated" : ""}`;
    if (!encrypted) return [{ key, message: "stands in clear text in the stack file, wanted it encrypted", fix }];
    if (value === ENCRYPTED) return [];
    if (key === "dkimKey" && !isRsaKey(value))
        return [{ key, message: "is not an RSA private key of 1024 bits or more in PEM (RFC 8301 §3.2)", fix }];
    if (key === "sshKey" && !/^-----BEGIN [A-Z ]*PRIVATE KEY-----\n/.test(value))
        return [{ key, message: "is not a private key of SSH", fix: "pulumi config set --secret sshKey < ~/.ssh/id_ed25519" }];
    if (key === "alertWebhook" && !/^https?:\/\/\S+$/.test(value)) return [{ key, message: "is not a URL of http or https", fix }];
    if (!(key in SECRETS)) return [];
    const { format, length, what } = SECRETS[key as SecretName];
    const [pattern, wanted] =
        format === "hex"
            ? [new RegExp(`^[0-9a-f]{${length}}$`), `${length} hexadecimal digits, lower case`]
            : key === "helperEncryptionKey"
              ? [/^[A-Za-z0-9]{32}$/, "exactly 32 letters and digits"]
              : [/^[A-Za-z0-9]{16,64}$/, "16 to 64 letters and digits"];
    if (pattern.test(value) && Number.isNaN(Number(value))) return [];
    return [{ key, message: `got ${value.length} characters that do not fit, wanted ${wanted}, not readable as a number (${what})`, fix }];
}

function isRsaKey(pem: string): boolean {
    try {
        const key = createPrivateKey(pem);
        return key.asymmetricKeyType === "rsa" && (key.asymmetricKeyDetails?.modulusLength ?? 0) >= 1024;
    } catch {
        return false;
    }
}

/** Levenshtein distance, for "did you mean". */
function distance(a: string, b: string): number {
    let row = Array.from({ length: b.length + 1 }, (_, i) => i);
    for (let i = 1; i <= a.length; i++) {
        const next = [i];
        for (let j = 1; j <= b.length; j++) next.push(Math.min(next[j - 1] + 1, row[j] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
        row = next;
    }
    return row[b.length];
}

/** A file of the config, relative to the project. */
export function readProjectFile(directory: string, file: string): string {
    return readFileSync(path.resolve(directory, file), "utf8");
}
