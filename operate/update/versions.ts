import { readFileSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { newest, parseLock } from "../../components/settings/images";
import type { Settings } from "../../components/settings/settings";
import { withConfig } from "../editStackFile";
import { pinImages } from "../pin";
import { DEV, Session } from "../session";
import { PROJECT, readStackFile, settingsFrom } from "../stackFile";
import { LOCAL } from "../workspace";

type Config = Record<string, unknown>;

const VERSION = "forwardemail:version";

/** Config that makes a stack run a version. */
export const configOf = (version: string): Config => ({ [VERSION]: version });

/**
 * Settings of the stack with another version.
 * @throws SettingsError where the lock file does not know it, or has no digest of it.
 */
export async function settingsOf(version: string, session: Session, stack: string): Promise<Settings> {
    return settingsFrom(stack, { ...(await pinned(session, stack)), ...configOf(version) });
}

/** The stack's config with the lock file that it runs by: on a rehearsal and on the dev stack, another than the file names. */
async function pinned({ rehearsal }: Session, stack: string): Promise<Config> {
    const { config } = readStackFile(stack);
    if (rehearsal) return { ...config, ...rehearsal.overlay };
    if (stack !== DEV) return { ...config };
    return { ...config, ...(await pinImages(config ?? {}, path.join(LOCAL, "images.lock.json"), () => undefined)) };
}

/** The newest release that the stack's lock file knows. */
export async function newestOf(session: Session, stack: string): Promise<string> {
    const images = ((await pinned(session, stack))["forwardemail:images"] ?? {}) as { lockFile?: string };
    const lock = parseLock(readFileSync(path.resolve(PROJECT, images.lockFile ?? "images.lock.json"), "utf8"));
    return newest(Object.keys(lock.forwardemail.releases).filter((tag) => /^v\d/.test(tag)));
}

/** Keeps the stack's file as it is but for this key. Answers what puts it back. */
export function writeVersion(stack: string, version: string): () => void {
    const file = path.join(PROJECT, `Pulumi.${stack}.yaml`);
    const before = readFileSync(file, "utf8");
    writeFileSync(file, withConfig(before, VERSION, version));
    return () => writeFileSync(file, before);
}
