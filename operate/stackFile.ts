import { existsSync, readFileSync } from "node:fs";
import * as path from "node:path";
import { parse } from "yaml";
import { buildSettings } from "../components/settings/load";
import { ENCRYPTED, RawConfig } from "../components/settings/parse";
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
    return (parse(readFileSync(file, "utf8")) ?? {}) as { config?: Record<string, unknown> };
}

/**
 * The config of a stack as Pulumi would hand it to the program: values as text, defaults of Pulumi.yaml applied.
 * Of an encrypted value only that it is given is known here.
 */
function rawConfig(project: ProjectFile, config: Record<string, unknown>): { raw: RawConfig; encrypted: Set<string> } {
    const raw: RawConfig = {};
    const encrypted = new Set<string>();
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
    }
    return { raw, encrypted };
}

/**
 * Settings from the config of a stack file, without Pulumi.
 * @throws SettingsError with all problems at once.
 */
export function settingsFrom(stack: string, config: Record<string, unknown>, options: { allowUnpinned?: boolean } = {}): Settings {
    const project = readProject();
    const { raw, encrypted } = rawConfig(project, config);
    return buildSettings(raw, { project: project.name, stack, directory: PROJECT, encrypted, ...options });
}
