import * as path from "node:path";
import { parseArgs } from "node:util";
import { Session, openSession } from "./session";
import type { Command } from "./update/core";
import { Journal, Outcome, whyGivenUp } from "./update/journal";
import { raise } from "./update/raise";
import { changesOf, tell } from "./update/report";
import type { Options, Result } from "./update/run";
import { begin, resume, toldOf } from "./update/steps";
import { refuseBuilt } from "./update/versions";
import { WORK } from "./workspace";

const HELP = `npm run update -- [--stack NAME] [--version TAG] [--mongodb TAG] [--redis TAG] [--yes] [--force] [--without-set] [--unlock] [--json] [--rehearse]
npm run update -- --mongodb-features [--stack NAME] [--yes] [--without-set] [--json] [--rehearse]

Brings a stack to another version of Forward Email, and MongoDB, Redis and nginx to what the lock file says of them by now: looks whether all
is well, shows what would change, makes a set of backups, changes it, waits until every service is healthy, and looks from outside (npm run
verify). Where it is not well, it goes back to the images that ran. What the stack runs is written to Pulumi.NAME.yaml, but for a rehearsal. One
that was cut short is taken up by the next run. Log of all updates: .work/updates/.

  --stack NAME   default dev
  --version TAG  default, the newest of the lock file (npm run images:update adds releases); with --yes not one that was rolled back or failed
  --mongodb TAG  another release of MongoDB, of the next major too: one at a time, and it does not go back
  --redis TAG    another release of Redis, of a later major too, which does not go back
  --mongodb-features
                 lets MongoDB's data become what only the major release that runs reads (setFeatureCompatibilityVersion): some weeks after
                 it came, and before the next. Only a set of backups leads back
  --yes          does not ask; needed where there is no terminal
  --force        although the version is older than the one that runs: its data may have been changed for the newer one
  --without-set  goes on where no set of backups can be made
  --unlock       removes the lock that a killed operation left behind
  --json         ends with the report for a program, on a line of its own
  --rehearse     the stack's rehearsal, not the stack itself

Ends with 0: updated. 3: nothing to do. 4: rolled back. 1: failed, or refused before anything was changed.
`;

const EXIT: Record<Outcome | "nothing to do", number> = { updated: 0, failed: 1, "nothing to do": 3, "rolled back": 4 };

async function main(): Promise<void> {
    const { values } = parseArgs({
        options: {
            stack: { type: "string", default: "dev" },
            version: { type: "string" },
            mongodb: { type: "string" },
            redis: { type: "string" },
            "mongodb-features": { type: "boolean" },
            yes: { type: "boolean" },
            force: { type: "boolean" },
            "without-set": { type: "boolean" },
            unlock: { type: "boolean" },
            json: { type: "boolean" },
            rehearse: { type: "boolean" },
            help: { type: "boolean", short: "h" },
        },
    });
    if (values.help) return void process.stdout.write(HELP);
    const started = Date.now();
    const report = (result: Partial<Result> & Pick<Result, "outcome">) => {
        const seconds = Math.round((Date.now() - started) / 1000);
        if (values.json) console.log(JSON.stringify({ stack: values.stack, ...result, seconds }));
        process.exitCode = EXIT[result.outcome];
    };
    try {
        report(await run(values, (line) => console.log(line)));
    } catch (error) {
        const { message } = error as Error;
        console.error(message);
        report({ outcome: "failed", error: message });
    }
}

async function run(options: Options, log: (line: string) => void): Promise<Result> {
    const session = await openSession(options.stack, { rehearse: options.rehearse }, log);
    try {
        return await runIn(session, options, log);
    } catch (error) {
        const { name } = session.settings;
        if (options.yes) await tell(session, `${name}: update${session.rehearsal ? " (rehearsal)" : ""} failed: ${(error as Error).message}`, log);
        throw error;
    }
}

async function runIn(session: Session, options: Options, log: (line: string) => void): Promise<Result> {
    const { stack: name } = options;
    const { rehearsal } = session; // the dev stack may have fallen back to it
    if (session.settings.build) throw new Error(refuseBuilt(session.settings.build.context));
    const journal = new Journal(path.join(WORK, "updates", `${name}${rehearsal ? ".rehearsal" : ""}.jsonl`));
    const command: Command = (script, ...words) => ["npm run", script, "-- --stack", name, ...(rehearsal ? ["--rehearse"] : []), ...words].join(" ");
    const here = { options, session, journal, command, log };
    const unfinished = journal.unfinished();
    if (options.unlock) await session.stack.cancel();
    const from = (await session.stack.outputs()).version?.value as string | undefined;
    if (!from) throw new Error(`Stack ${name} has never come up. Fix: ${command("up")}`);
    const reason = unfinished && whyGivenUp(unfinished, from, { version: options.version, ...toldOf(options) });
    if (unfinished && !reason) return resume(unfinished, here);
    if (unfinished) {
        journal.write({ ...unfinished, what: "given up" });
        log(`The update ${changesOf(unfinished)}, cut short on ${unfinished.at}, is given up: ${reason}. What is left of it: ${command("verify")}`);
    }
    return options["mongodb-features"] ? raise(from, here) : begin(from, here);
}

if (require.main === module)
    main().catch((error: Error) => {
        console.error(error.message); // of the options
        process.exitCode = 1;
    });
