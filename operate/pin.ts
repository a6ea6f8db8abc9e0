import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { Lock, parseLock } from "../components/settings/images";
import { resolveDigest } from "./registry";
import { PROJECT, lockFileOf } from "./stackFile";

/**
 * Digests for tags of the lock file that have none yet, looked up once and kept in `file`: the committed lock file stays as
 * it is. Answers the config that uses them; nothing where every tag is pinned already.
 */
export async function pinImages(config: Record<string, unknown>, file: string, log: (line: string) => void): Promise<Record<string, unknown>> {
    const lock = read(path.resolve(PROJECT, lockFileOf(config)));
    const open = unpinned(lock);
    if (open.length === 0) return {};
    const known = knownDigests(file);
    for (const { repository, tag, release } of open) {
        release.digest = known.get(`${repository}:${tag}`) ?? null;
        if (release.digest) continue;
        release.digest = await resolveDigest(repository, tag);
        log(`${repository}:${tag} is ${release.digest} from now on (for this machine only; npm run images:update pins it for all)`);
    }
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, `${JSON.stringify(lock, null, 4)}\n`);
    return { "forwardemail:images": { ...(config["forwardemail:images"] as object | undefined), lockFile: file } };
}

const read = (file: string): Lock => parseLock(readFileSync(file, "utf8"));

function unpinned(lock: Lock) {
    return Object.values(lock).flatMap(({ repository, releases }) =>
        Object.entries(releases).flatMap(([tag, release]) => (release.digest ? [] : [{ repository, tag, release }])),
    );
}

/** What an earlier run looked up. */
function knownDigests(file: string): Map<string, string> {
    try {
        const entries = Object.values(read(file)).flatMap(({ repository, releases }) =>
            Object.entries(releases).flatMap(([tag, { digest }]) => (digest ? [[`${repository}:${tag}`, digest] as const] : [])),
        );
        return new Map(entries);
    } catch {
        return new Map(); // none yet, or of an older form
    }
}
