import { createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import * as path from "node:path";
import { z } from "zod";
import { Problem } from "../errors";
import { SECRETS, SecretName } from "../services/secrets";
import { Config, schema } from "./schema";
import { distance, exampleAt, keysAt, nearest, wantsListOrMap, wantsText } from "./shape";

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
    /** Accept tags whose digest was never looked up, and a build whose source is not here: for a plan that nobody runs. */
    allowUnpinned?: boolean;
    /** Keys of other namespaces, in full: `aws:region`. */
    others?: string[];
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
    ...["backupPassphrase", "backupSecretKey", "backupPruneSecretKey", "backupCanaryPassword", "restoredSecrets", "registryPassword"],
];

/** Structure only: types, formats, unknown keys. All problems at once; the checks across keys follow in crosschecks.ts. */
export function parse(raw: RawConfig, { project, stack, encrypted }: Context): Parsed {
    const secretProblems = SECRET_KEYS.filter((key) => raw[key] !== undefined).flatMap((key) => checkSecret(key, raw[key], encrypted.has(key)));
    const given = Object.fromEntries(
        Object.entries(raw)
            .filter(([key]) => !SECRET_KEYS.includes(key))
            .map(([key, text]) => [key, fromText(key, text)]),
    );
    const values = withoutEmpty(given, []) as Record<string, unknown>;
    const result = schema.safeParse(values);
    if (result.success) return { config: result.data, broken: new Set(), problems: secretProblems };
    const { issues } = result.error;
    return {
        config: salvage(values, issues),
        broken: new Set(issues.map((issue) => String(issue.path[0]))),
        problems: [...issues.flatMap((issue) => describe(issue, values, { project, stack, encrypted })), ...secretProblems],
    };
}

/** A list or a map with nothing under its name, as in a line `network:` that was left over, is not given. Pulumi hands it over as empty text. */
function withoutEmpty(value: unknown, where: PropertyKey[]): unknown {
    if (Array.isArray(value)) return value.map((part, at) => withoutEmpty(part, [...where, at]));
    if (!value || typeof value !== "object") return value;
    const kept = Object.entries(value).filter(([key, part]) => !isNothing(part, where) || !wantsListOrMap([...where, key], undefined));
    return Object.fromEntries(kept.map(([key, part]) => [key, withoutEmpty(part, [...where, key])]));
}

const isNothing = (value: unknown, where: PropertyKey[]) => value === null || (value === "" && where.length === 0);

/** A namespace that is nearly ours is a slip of the pen, and Pulumi would pass over it without a word. */
export function nearNamespaces({ project, others = [] }: Context): Problem[] {
    return others.flatMap((key) => {
        const at = key.indexOf(":");
        const namespace = key.slice(0, at);
        if (namespace === project || distance(namespace.toLowerCase(), project) > 3) return [];
        return [{ key, message: `got the namespace ${namespace}, wanted ${project}`, fix: `rename it to ${project}${key.slice(at)}` }];
    });
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

type Where = Pick<Context, "project" | "stack" | "encrypted">;

function describe(issue: z.core.$ZodIssue, values: unknown, context: Where): Problem[] {
    if (issue.code === "unrecognized_keys") return issue.keys.map((key) => unknownKey([...issue.path, key], values));
    const got = issue.path.reduce<unknown>((value, step) => (value as Record<PropertyKey, unknown> | undefined)?.[step as string], values);
    // A wrong *name* of a map's entry: the entry itself is what was found.
    if (issue.code === "invalid_key")
        return [
            {
                key: keyPath(issue.path.slice(0, -1)),
                message: `got the name "${String(issue.path.at(-1))}", wanted ${issue.issues[0].message}`,
                fix: `rename it in Pulumi.${context.stack}.yaml, or remove it`,
            },
        ];
    const text = JSON.stringify(got) ?? "";
    const shown = context.encrypted.has(String(issue.path[0])) ? "an encrypted value" : text.includes("PRIVATE KEY") ? "a private key" : text;
    const found = got === undefined ? "is missing" : `got ${shown}`;
    return [{ key: keyPath(issue.path), message: `${found}, wanted ${issue.message}`, fix: fix(issue.path, got, values, context) }];
}

/** What people look for at dns, and is said of each zone. */
const OF_A_ZONE = ["dns.dnssec", "dns.dane", "dns.tlsa"];

function unknownKey(where: PropertyKey[], values: unknown): Problem {
    const known = [...keysAt(where.slice(0, -1), values), ...(where.length === 1 ? SECRET_KEYS : [])];
    const near = nearest(String(where.at(-1)), known);
    const fix = OF_A_ZONE.includes(keyPath(where).toLowerCase())
        ? "say it of each zone that is signed, dns.zones[].dnssec, such as zones: [{name: example.com, dnssec: true}]"
        : `${near ? `rename it to ${near}, or remove it` : "remove it, or correct it"}; docs/configuration.md lists every key`;
    return { key: keyPath(where), message: "this key does not exist", fix };
}

/** Path as it stands in the stack file and as `pulumi config set --path` takes it: `servers[0].kind`, `dns.keep["example.com TXT"]`. */
export function keyPath(where: PropertyKey[]): string {
    const step = (name: PropertyKey) => (/^[\w-]+$/.test(String(name)) ? `.${String(name)}` : `[${JSON.stringify(name)}]`);
    return where.map((one, at) => (typeof one === "number" ? `[${one}]` : at === 0 ? String(one) : step(one))).join("");
}

/** `pulumi config set` takes neither lists nor maps, and with --path it makes a number of what looks like one. */
function fix(where: PropertyKey[], got: unknown, values: unknown, { project, stack }: Where): string {
    const last = where.at(-1);
    const name = where.length === 1 ? `${project}:${String(last)}` : String(last);
    const edit = (form: string) => `edit Pulumi.${stack}.yaml, such as ${typeof last === "number" ? "-" : `${name}:`} ${form}`;
    if (wantsListOrMap(where, values)) return edit(exampleAt(where) ?? "{}");
    if (where.length === 1) return `pulumi config set ${keyPath(where)} VALUE`;
    if (["number", "boolean"].includes(typeof got) && wantsText(where, values)) return edit(`"${String(got)}"`);
    return `pulumi config set --path '${keyPath(where)}' VALUE, or edit Pulumi.${stack}.yaml`;
}

function checkSecret(key: string, value: string, encrypted: boolean): Problem[] {
    const fix = `pulumi config set --secret ${key}, or remove it${key in SECRETS || key === "dkimKey" ? " to have one generated" : ""}`;
    if (!encrypted) return [{ key, message: "stands in clear text in the stack file, wanted it encrypted", fix }];
    if (value === ENCRYPTED) return [];
    if (key === "dkimKey" && !isRsaKey(value))
        return [{ key, message: "is not an RSA private key of 1024 bits or more in PEM (RFC 8301 §3.2)", fix }];
    if (key === "sshKey" && !/^-----BEGIN [A-Z ]*PRIVATE KEY-----\n/.test(value))
        return [{ key, message: "is not a private key of SSH", fix: "pulumi config set --secret sshKey < ~/.ssh/id_ed25519" }];
    if (key === "restoredSecrets" && !isJson(value))
        return [{ key, message: "is not JSON, wanted what npm run restore wrote", fix: "npm run restore writes it" }];
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

function isJson(text: string): boolean {
    try {
        return typeof JSON.parse(text) === "object";
    } catch {
        return false;
    }
}

function isRsaKey(pem: string): boolean {
    try {
        const key = createPrivateKey(pem);
        return key.asymmetricKeyType === "rsa" && (key.asymmetricKeyDetails?.modulusLength ?? 0) >= 1024;
    } catch {
        return false;
    }
}

/** A file of the config, relative to the project. */
export function readProjectFile(directory: string, file: string): string {
    return readFileSync(path.resolve(directory, file), "utf8");
}
