import { readFileSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { newest, parseLock } from "../../components/settings/images";
import type { Settings } from "../../components/settings/settings";
import { withConfig } from "../editStackFile";
import { pinImages } from "../pin";
import { DEV, Session } from "../session";
import { PROJECT, lockFileOf, readStackFile, settingsFrom } from "../stackFile";
import { LOCAL } from "../workspace";
import type { Pins } from "./images";

type Config = Record<string, unknown>;

const VERSION = "forwardemail:version";
const IMAGES = "forwardemail:images";

/** Why a stack whose image is built has no other version to go to. */
export const refuseBuilt = (context: string): string =>
    `image.build builds what is checked out in ${context}, so there is no version to choose. Fix: check out another there, then npm run up`;

/** Config that makes a stack run a version, and these images. */
export const configOf = (version: string, images: Pins = {}): Config => ({ [VERSION]: version, [IMAGES]: images });

/**
 * Settings of the stack with another version, and other images.
 * @throws SettingsError where the lock file does not know it, or has no digest of it.
 */
export async function settingsOf(version: string, session: Session, stack: string, images: Pins = {}): Promise<Settings> {
    const config = await pinned(session, stack);
    return settingsFrom(stack, { ...config, ...configOf(version, { ...(config[IMAGES] as Pins), ...images }) });
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
    const lock = parseLock(readFileSync(path.resolve(PROJECT, lockFileOf(await pinned(session, stack))), "utf8"));
    return newest(Object.keys(lock.forwardemail.releases).filter((tag) => /^v\d/.test(tag)));
}

/** Keeps the stack's file as it is but for the version and these images. Answers what puts it back. */
export function writeVersion(stack: string, version: string, images: Pins): () => void {
    const file = path.join(PROJECT, `Pulumi.${stack}.yaml`);
    const before = readFileSync(file, "utf8");
    const written = withConfig(before, VERSION, version);
    const known = readStackFile(stack).config?.[IMAGES] as Pins | undefined;
    writeFileSync(file, Object.keys(images).length > 0 ? withConfig(written, IMAGES, { ...known, ...images }) : written);
    return () => writeFileSync(file, before);
}
