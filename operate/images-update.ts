import { readFileSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { parseArgs } from "node:util";
import { ImageName } from "../components/services/catalogue";
import { Lock, parseLock } from "../components/settings/images";
import { resolveDigest } from "./registry";
import { PROJECT } from "./stackFile";

const HELP = `npm run images:update -- [--lock-file FILE] [FAMILY TAG ...]

Asks the registries which digest each known tag stands for now and writes it into images.lock.json.

  FAMILY TAG        adds a release: FAMILY is forwardemail, mongodb, redis, nginx, lego or restic
  --lock-file FILE  default images.lock.json
`;

async function main(): Promise<void> {
    const { values, positionals } = parseArgs({
        allowPositionals: true,
        options: { "lock-file": { type: "string" }, help: { type: "boolean", short: "h" } },
    });
    if (values.help || positionals.length % 2 !== 0) {
        process.stdout.write(HELP);
        process.exitCode = values.help ? 0 : 2;
        return;
    }
    const file = path.resolve(PROJECT, values["lock-file"] ?? "images.lock.json");
    const lock = parseLock(readFileSync(file, "utf8"));
    const known = structuredClone(lock);
    for (let at = 0; at < positionals.length; at += 2) add(lock, positionals[at], positionals[at + 1]);
    const failures = await resolveAll(lock);
    forgetUnresolved(lock, known);
    writeFileSync(file, `${JSON.stringify(lock, null, 4)}\n`);
    for (const failure of failures) console.error(failure);
    process.exitCode = failures.length > 0 ? 1 : 0;
}

function add(lock: Lock, family: string, tag: string): void {
    if (!(family in lock)) throw new Error(`there is no image family "${family}"; wanted one of ${Object.keys(lock).join(", ")}`);
    lock[family as ImageName].releases[tag] ??= { digest: null };
}

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

main().catch((error: Error) => {
    console.error(error.message);
    process.exitCode = 1;
});
