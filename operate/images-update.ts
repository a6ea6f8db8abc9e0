import { readFileSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { parseArgs } from "node:util";
import { ImageName } from "../components/services/catalogue";
import { Lock, isOlder, newest, notesOf, parseLock } from "../components/settings/images";
import { createdAt, resolveDigest, tagsOf } from "./registry";
import { PROJECT, lockFileOf, readStackFile } from "./stackFile";

const HELP = `npm run images:update -- [--newest] [--min-age DAYS] [--stack NAME | --lock-file FILE] [FAMILY TAG ...]

Asks the registries which digest each known tag stands for now and writes it into images.lock.json. Stacks whose version is latest run the newest
release of the file at their next \`up\`; for others, npm run update changes the version. MongoDB and Redis stay in their major release, whatever the
file has, until a stack is told another: npm run update -- --mongodb TAG.

  FAMILY TAG        adds a release: FAMILY is forwardemail, mongodb, redis, nginx, lego, restic, prometheus,
                    blackbox_exporter, node_exporter or redis_exporter
  --newest          adds the newest release of Forward Email, where there is one that the file does not have
  --min-age DAYS    with --newest: leaves out releases that are younger, in which others may find a mistake first; default 3
  --stack NAME      the lock file that this stack names (images.lockFile)
  --lock-file FILE  default images.lock.json
`;

async function main(): Promise<void> {
    const { values, positionals } = parseArgs({
        allowPositionals: true,
        options: {
            newest: { type: "boolean" },
            "min-age": { type: "string", default: "3" },
            stack: { type: "string" },
            "lock-file": { type: "string" },
            help: { type: "boolean", short: "h" },
        },
    });
    if (values.help || positionals.length % 2 !== 0) {
        process.stdout.write(HELP);
        process.exitCode = values.help ? 0 : 2;
        return;
    }
    if (!/^\d{1,3}$/.test(values["min-age"])) throw new Error(`--min-age: got "${values["min-age"]}", wanted a whole number of days.`);
    const file = path.resolve(PROJECT, values["lock-file"] ?? lockFileOf(values.stack ? readStackFile(values.stack).config : {}));
    const lock = parseLock(readFileSync(file, "utf8"));
    const known = structuredClone(lock);
    const log = (line: string) => console.log(line);
    for (let at = 0; at < positionals.length; at += 2) add(lock, positionals[at], positionals[at + 1], log);
    if (values.newest) await addNewest(lock, Number(values["min-age"]), log);
    const failures = await resolveAll(lock);
    forgetUnresolved(lock, known);
    writeFileSync(file, `${JSON.stringify(lock, null, 4)}\n`);
    for (const failure of failures) console.error(failure);
    process.exitCode = failures.length > 0 ? 1 : 0;
}

/** Adds a release, or leaves it as it is. */
export function add(lock: Lock, family: string, tag: string, log: (line: string) => void): void {
    if (!(family in lock)) throw new Error(`there is no image family "${family}"; wanted one of ${Object.keys(lock).join(", ")}`);
    const { releases } = lock[family as ImageName];
    if (tag in releases) return;
    releases[tag] = { digest: null };
    if (family === "forwardemail") log(`${tag} is added: ${notesOf(tag)}`);
}

/** Adds the newest final release that is newer than all known ones, and old enough. Says which are not. */
export async function addNewest(lock: Lock, minDays: number, log: (line: string) => void, now = Date.now()): Promise<void> {
    const { repository, releases } = lock.forwardemail;
    const best = newest(Object.keys(releases).filter((tag) => RELEASE.test(tag)));
    const candidates = (await tagsOf(repository)).filter((tag) => RELEASE.test(tag) && isOlder(best, tag));
    candidates.sort((a, b) => (isOlder(a, b) ? 1 : -1));
    for (const tag of candidates) {
        const days = Math.floor((now - (await createdAt(repository, tag)).getTime()) / (24 * 3600 * 1000));
        if (days >= minDays) {
            releases[tag] = { digest: null };
            log(`${tag} is new, ${days} days old: ${notesOf(tag)}`);
            return;
        }
        log(`${tag} is new, but only ${days} days old: left out until it is ${minDays}`);
    }
}

const RELEASE = /^v\d+\.\d+\.\d+$/;

/** A mistyped tag must not stay in the file: `latest` could choose it. */
function forgetUnresolved(lock: Lock, known: Lock): void {
    for (const [family, { releases }] of Object.entries(lock))
        for (const [tag, { digest }] of Object.entries(releases)) if (!digest && !(tag in known[family as ImageName].releases)) delete releases[tag];
}

/** Fills in digests; a digest that moved is shown, what cannot be resolved stays as it was. */
async function resolveAll(lock: Lock): Promise<string[]> {
    const failures: string[] = [];
    for (const { repository, releases } of Object.values(lock)) {
        for (const [tag, release] of Object.entries(releases)) {
            try {
                const digest = await resolveDigest(repository, tag);
                const change = release.digest === digest ? "unchanged" : release.digest ? `moved from ${release.digest.slice(0, 19)}` : "new";
                console.log(`${repository}:${tag}  ${digest.slice(0, 19)}  ${change}`);
                release.digest = digest;
            } catch (error) {
                failures.push((error as Error).message);
            }
        }
    }
    return failures;
}

if (require.main === module)
    main().catch((error: Error) => {
        console.error(error.message);
        process.exitCode = 1;
    });
