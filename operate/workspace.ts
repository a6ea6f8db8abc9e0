import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { parse, stringify } from "yaml";
import { PROJECT, readProject } from "./stackFile";

/**
 * A stack's work folder, outside git: Pulumi writes the salt of the passphrase into the stack file, and the committed
 * one must stay as it is. Holds a copy of the config, the state of all local stacks, and the passphrase (0600).
 */
export interface Workspace {
    directory: string;
    /** Environment of the engine. */
    env: Record<string, string>;
}

/** Everything that commands keep between runs; rehearsals have their stacks here. */
export const WORK = path.join(PROJECT, ".work");
/** The dev stack on real images: never in one state with its rehearsal, whose Docker host is another. */
export const LOCAL = path.join(WORK, "local");

/**
 * Makes or refreshes the work folder of a stack with this config. A stack file that has a passphrase or a key of its own keeps
 * it: its encrypted values could not be read with another, so the caller gives it as Pulumi wants it (PULUMI_CONFIG_PASSPHRASE_FILE …).
 */
export function prepareWorkspace(stack: string, config: Record<string, unknown>, folder = WORK): Workspace {
    const directory = path.join(folder, stack);
    const state = path.join(folder, "state");
    for (const folder of [directory, state]) mkdirSync(folder, { recursive: true, mode: 0o700 });
    writeFileSync(path.join(directory, "Pulumi.yaml"), readFileSync(path.join(PROJECT, "Pulumi.yaml")));
    const file = path.join(directory, `Pulumi.${stack}.yaml`);
    const own = encryptionOf(path.join(PROJECT, `Pulumi.${stack}.yaml`));
    // A list or a map with nothing under its name counts as not given, but Pulumi would refuse it.
    const given = Object.fromEntries(Object.entries(config).filter(([, value]) => value !== null));
    writeFileSync(file, stringify({ ...(own ?? encryptionOf(file)), config: given }));
    return {
        directory,
        env: {
            PULUMI_BACKEND_URL: `file://${state}`,
            PULUMI_HOME: path.join(WORK, "home"),
            ...(own ? {} : { PULUMI_CONFIG_PASSPHRASE_FILE: passphraseFile(folder) }),
            PULUMI_SKIP_UPDATE_CHECK: "true",
        },
    };
}

/** How a stack file's secrets are encrypted; undefined where it does not say. */
function encryptionOf(file: string): Record<string, unknown> | undefined {
    const content = existsSync(file) ? (parse(readFileSync(file, "utf8")) as Record<string, unknown> | null) : undefined;
    const found = Object.entries(content ?? {}).filter(([key]) => ["encryptionsalt", "secretsprovider", "encryptedkey"].includes(key));
    return found.length > 0 ? Object.fromEntries(found) : undefined;
}

/** Whether a stack of this folder was ever made. */
export function hasStack(stack: string, folder: string): boolean {
    return existsSync(path.join(folder, "state", ".pulumi", "stacks", readProject().name, `${stack}.json`));
}

function passphraseFile(folder: string): string {
    const file = path.join(folder, "passphrase");
    if (!existsSync(file)) writeFileSync(file, randomBytes(24).toString("base64url"), { mode: 0o600 });
    return file;
}

/** Writes a file of what a command keeps: in full or, where the power goes meanwhile, not at all. */
export function keep(file: string, content: unknown): void {
    mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
    const whole = `${file}.${process.pid}`;
    writeFileSync(whole, `${JSON.stringify(content)}\n`, { mode: 0o600 });
    renameSync(whole, file);
}

/** What `keep` wrote; undefined where there is none, `half` where it cannot be read. */
export function kept<T>(file: string, half?: T): T | undefined {
    if (!existsSync(file)) return undefined;
    try {
        return JSON.parse(readFileSync(file, "utf8")) as T;
    } catch {
        return half;
    }
}
