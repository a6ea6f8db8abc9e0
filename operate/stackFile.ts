import { existsSync, readFileSync } from "node:fs";
import * as path from "node:path";
import { ErrorCode, LineCounter, parse, parseDocument, visit } from "yaml";
import { Problem, SettingsError } from "../components/errors";
import { buildSettings } from "../components/settings/load";
import { ENCRYPTED, RawConfig, keyPath } from "../components/settings/parse";
import { Settings } from "../components/settings/settings";

/** Folder of Pulumi.yaml. */
export const PROJECT = path.resolve(__dirname, "..");

interface ProjectFile {
    name: string;
    config: Record<string, { default?: unknown }>;
}

export function readProject(): ProjectFile {
    return parse(readFileSync(path.join(PROJECT, "Pulumi.yaml"), "utf8")) as ProjectFile;
}

/** A stack's config file as parsed YAML; throws with the fix when there is none. */
export function readStackFile(stack: string): { config?: Record<string, unknown> } {
    const file = path.join(PROJECT, `Pulumi.${stack}.yaml`);
    if (!existsSync(file))
        throw new Error(
            `There is no stack file Pulumi.${stack}.yaml. Fix: copy Pulumi.dev.yaml to it and edit it, or name another stack with --stack.`,
        );
    return parseStackFile(path.basename(file), readFileSync(file, "utf8"));
}

/** The lock file that a stack's config names, from the folder of Pulumi.yaml. */
export const lockFileOf = (config: Record<string, unknown> = {}): string =>
    (config["forwardemail:images"] as { lockFile?: string } | null | undefined)?.lockFile ?? "images.lock.json";

const QUOTES = 'a value that begins with * or @, or that ends with a colon, wants quotes, such as "*.example.com"';
/** What usually causes an error of the yaml library. */
const HINTS: Partial<Record<ErrorCode, string>> = {
    BAD_SCALAR_START: QUOTES,
    BLOCK_AS_IMPLICIT_KEY: QUOTES,
    TAB_AS_INDENT: "write two spaces in place of each tab",
    DUPLICATE_KEY: "the key stands there twice: keep one",
};

/** The text of a stack file; throws with the file, the line and the fix where it cannot be read. */
export function parseStackFile(name: string, text: string): { config?: Record<string, unknown> } {
    const lines = new LineCounter();
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
    const refuse = (what: string, at: number, hint = "mend it") => {
        throw new Error(`${name} is not YAML: ${what} (line ${lines.linePos(at).line}). Fix: ${hint}.`);
    };
    const [error] = document.errors;
    if (error) refuse(error.message, error.pos[0], HINTS[error.code]);
    // YAML takes a value that begins with * for a reference to another; the library would name neither file nor line.
    visit(document, {
        Alias: (_, alias) => {
            if (!alias.resolve(document)) refuse(`*${alias.source} refers to a value that is not there`, alias.range![0], QUOTES);
        },
    });
    const content = (document.toJS() ?? {}) as { config?: Record<string, unknown> | null };
    const isMap = (value: unknown) => typeof value === "object" && !Array.isArray(value);
    if (!isMap(content) || !isMap(content.config ?? {}))
        throw new Error(`${name} has no map below config:. Fix: write the keys below it, such as "  forwardemail:host: mail.example.com".`);
    return { ...content, config: content.config ?? {} };
}

/**
 * The config of a stack as Pulumi would hand it to the program: values as text, defaults of Pulumi.yaml applied.
 * Of an encrypted value only that it is given is known here.
 */
function rawConfig(project: ProjectFile, config: Record<string, unknown>): { raw: RawConfig; encrypted: Set<string>; others: string[] } {
    const raw: RawConfig = {};
    const encrypted = new Set<string>();
    const others: string[] = [];
    const set = (key: string, value: unknown) => {
        const shown = JSON.stringify(value, (_, part) => {
            if (!part || typeof part !== "object" || !("secure" in part)) return part;
            encrypted.add(key);
            return ENCRYPTED;
        });
        raw[key] = typeof value === "string" ? value : shown.startsWith('"') ? ENCRYPTED : shown;
    };
    for (const [key, declared] of Object.entries(project.config)) if ("default" in declared) set(key, declared.default);
    for (const [key, value] of Object.entries(config)) {
        const [namespace, name] = key.includes(":") ? [key.slice(0, key.indexOf(":")), key.slice(key.indexOf(":") + 1)] : [project.name, key];
        if (namespace === project.name) set(name, value);
        else others.push(key);
    }
    return { raw, encrypted, others };
}

/**
 * What passes every check, and is for nobody's server: an example's key would make one that nobody gets into. And what Pulumi
 * refuses itself, in a stack file that it reads: a list or a map with nothing under its name.
 * @throws SettingsError with all of it.
 */
export function refusePlaceholders(stack: string, config: Record<string, unknown>): void {
    const { name: project } = readProject();
    const problems: Problem[] = [];
    const look = (value: unknown, where: PropertyKey[]) => {
        const key = keyPath(where);
        if (value === null && where.length === 1)
            problems.push({ key, message: "has nothing under its name, which Pulumi refuses", fix: `remove it from Pulumi.${stack}.yaml` });
        else if (typeof value === "string" && value.includes("ExampleExample"))
            problems.push({
                key,
                message: "got the key of the example, wanted your own",
                fix: `put yours in its place in Pulumi.${stack}.yaml, and look at every other value of the example`,
            });
        else if (Array.isArray(value)) value.forEach((part, at) => look(part, [...where, at]));
        else if (value && typeof value === "object") for (const [name, part] of Object.entries(value)) look(part, [...where, name]);
    };
    for (const [key, value] of Object.entries(config)) look(value, [key.startsWith(`${project}:`) ? key.slice(project.length + 1) : key]);
    if (problems.length > 0) throw new SettingsError(stack, problems);
}

/**
 * Settings from the config of a stack file, without Pulumi.
 * @throws SettingsError with all problems at once.
 */
export function settingsFrom(stack: string, config: Record<string, unknown>, options: { allowUnpinned?: boolean } = {}): Settings {
    const project = readProject();
    const { raw, ...context } = rawConfig(project, config);
    return buildSettings(raw, { project: project.name, stack, directory: PROJECT, ...context, ...options });
}
