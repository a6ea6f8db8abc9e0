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

  FAMILY TAG        adds a release, or takes what its tag means by now, which a known release of Forward Email does not by itself.
                    FAMILY is forwardemail, mongodb, redis, nginx, lego, restic, prometheus, blackbox_exporter, node_exporter or redis_exporter
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
    const named = positionals.flatMap((family, at) => (at % 2 === 0 ? [`${family} ${positionals[at + 1]}`] : []));
    const failures = await resolveAll(lock, named, log);
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

/**
 * Fills in digests, and answers what could not be looked up and is needed. What is known already keeps its digest then: a tag that a registry
 * has dropped must not stop the nights. A release of Forward Email keeps its digest, too, where its tag was moved, until somebody names it:
 * of the same version, no update would see another image, look at it or take it back.
 * @param named `FAMILY TAG` of what was asked for.
 */
export async function resolveAll(lock: Lock, named: string[], log: (line: string) => void, resolve = resolveDigest): Promise<string[]> {
    const failures: string[] = [];
    const warnings: string[] = [];
    let isAnswered = false;
    for (const [family, { repository, releases }] of Object.entries(lock)) {
        for (const [tag, release] of Object.entries(releases)) {
            const isNamed = named.includes(`${family} ${tag}`);
            try {
                const digest = await resolve(repository, tag);
                isAnswered = true;
                const isMoved = release.digest !== null && release.digest !== digest;
                if (isMoved && family === "forwardemail" && !isNamed) {
                    log(
                        `${repository}:${tag}  ${short(release.digest!)}  kept; the tag means ${short(digest)} now: npm run images:update -- ${family} ${tag}`,
                    );
                    continue;
                }
                log(
                    `${repository}:${tag}  ${short(digest)}  ${isMoved ? `moved from ${short(release.digest!)}` : release.digest ? "unchanged" : "new"}`,
                );
                release.digest = digest;
            } catch (error) {
                (release.digest && !isNamed ? warnings : failures).push((error as Error).message);
            }
        }
    }
    if (!isAnswered) return [...failures, ...warnings];
    for (const warning of warnings) log(`  warning: ${warning} What is known of it stays.`);
    return failures;
}

const short = (digest: string) => digest.slice(0, 19);

if (require.main === module)
    main().catch((error: Error) => {
        console.error(error.message);
        process.exitCode = 1;
    });
