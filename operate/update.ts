import * as path from "node:path";
import { parseArgs } from "node:util";
import { CATALOGUE, servicesOf } from "../components/services/catalogue";
import { isOlder } from "../components/settings/images";
import { isConfirmed } from "./ask";
import { setsOf } from "./backup";
import { askScript, backupHost, runScript } from "./backupHost";
import { describe, knownFix } from "./progress";
import { refuse } from "./refusals";
import { Session, openSession } from "./session";
import { Command, baseline, update } from "./update/core";
import { Entry, Journal, Outcome, Phase, Step, whyGivenUp } from "./update/journal";
import { look, targetOf } from "./update/target";
import { newestOf, settingsOf } from "./update/versions";
import { WORK } from "./workspace";

const HELP = `npm run update -- [--stack NAME] [--version TAG] [--yes] [--force] [--without-set] [--unlock] [--json] [--rehearse]

Brings a stack to another version of Forward Email: looks whether all is well, shows what would change, makes a set of backups, changes it,
waits until every service is healthy, and looks from outside (npm run verify). Where it is not well, it goes back to the version that ran. The
version is written to Pulumi.NAME.yaml, but for a rehearsal. One that was cut short is taken up by the next run. Log of all updates: .work/updates/.

  --stack NAME   default dev
  --version TAG  default, the newest of the lock file (npm run images:update adds releases)
  --yes          does not ask; needed where there is no terminal
  --force        although the version is older than the one that runs: its data may have been changed for the newer one
  --without-set  goes on where no set of backups can be made
  --unlock       removes the lock that a killed operation left behind
  --json         ends with the report for a program, on a line of its own
  --rehearse     the stack's rehearsal, not the stack itself

Ends with 0: updated. 3: nothing to do. 4: rolled back. 1: failed, or refused before anything was changed.
`;

const EXIT: Record<Outcome | "nothing to do", number> = { updated: 0, failed: 1, "nothing to do": 3, "rolled back": 4 };

interface Options {
    stack: string;
    version?: string;
    yes?: boolean;
    force?: boolean;
    "without-set"?: boolean;
    unlock?: boolean;
    json?: boolean;
    rehearse?: boolean;
}

async function main(): Promise<void> {
    const { values } = parseArgs({
        options: {
            stack: { type: "string", default: "dev" },
            version: { type: "string" },
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
    const { outcome, from, to, set } = await run(values, (line) => console.log(line));
    const seconds = Math.round((Date.now() - started) / 1000);
    if (values.json) console.log(JSON.stringify({ stack: values.stack, outcome, from, to, set, seconds }));
    process.exitCode = EXIT[outcome];
}

type Result = Pick<Step, "from" | "to" | "set"> & { outcome: Outcome | "nothing to do" };

/** What the parts of a run share. */
interface Run {
    options: Options;
    session: Session;
    journal: Journal;
    command: Command;
    log(line: string): void;
}

async function run(options: Options, log: (line: string) => void): Promise<Result> {
    const { stack: name, version } = options;
    const session = await openSession(name, { rehearse: options.rehearse }, log);
    const { rehearsal } = session; // the dev stack may have fallen back to it
    const journal = new Journal(path.join(WORK, "updates", `${name}${rehearsal ? ".rehearsal" : ""}.jsonl`));
    const command: Command = (script, ...words) => ["npm run", script, "-- --stack", name, ...(rehearsal ? ["--rehearse"] : []), ...words].join(" ");
    const here = { options, session, journal, command, log };
    const unfinished = journal.unfinished();
    if (options.unlock) await session.stack.cancel();
    const from = (await session.stack.outputs()).version?.value as string | undefined;
    if (!from) throw new Error(`Stack ${name} has never come up. Fix: ${command("up")}`);
    const reason = unfinished && whyGivenUp(unfinished, from, version);
    if (unfinished && !reason) return resume(unfinished, here);
    if (unfinished) {
        journal.write({ ...unfinished, what: "given up" });
        log(
            `The update from ${unfinished.from} to ${unfinished.to}, cut short on ${unfinished.at}, is given up: ${reason}. What is left of it: ${command("verify")}`,
        );
    }
    return begin(from, here);
}

async function begin(from: string, here: Run): Promise<Result> {
    const { options, session, command, log } = here;
    const { stack: name, version } = options;
    const to = version ?? (await newestOf(session, name));
    if (to === from) {
        log(`${from} runs already${version ? "" : ", and the lock file knows none that is newer"}.`);
        return { outcome: "nothing to do", from, to };
    }
    if (isOlder(to, from) && !options.force)
        throw new Error(
            `--version: ${to} is older than ${from}, which runs: its data may have been changed for it. Fix: ${command("restore", "--set ID")} with a set of ${to}; or add --force.`,
        );
    await settingsOf(to, session, name);
    await mustKnow(from, here);
    await refuse(session);
    const before = baseline(await look(session, name), command, log);
    log(`From ${from} to ${to} (https://github.com/forwardemail/forwardemail.net/releases/tag/${to})`);
    if (!(await isAgreed(here))) return { outcome: "nothing to do", from, to };
    const set = await makeSet(here);
    return finish({ from, to, set, before }, "begun", here);
}

/** Goes on with what another run began, as far as that was agreed to. */
async function resume(entry: Entry & { what: Phase }, here: Run): Promise<Result> {
    const { options, session, journal, log } = here;
    const { from, to, set, before, at, what } = entry;
    const isBack = what === "going back";
    log(`The update from ${from} to ${to} was cut short on ${at}${isBack ? `, on its way back to ${from}` : ""}: going on with it.`);
    const host = journal.elsewhere(entry);
    if (host)
        log(`  warning: it was begun on ${host} (process ${entry.process.pid}), which cannot be asked from here: see that it does not run there.`);
    if (!isBack) await settingsOf(to, session, options.stack);
    await mustKnow(from, here);
    await refuse(session);
    log(isBack ? `Back to ${from}` : `From ${from} to ${to}`);
    if (!(await isAgreed(here))) return { outcome: "nothing to do", from, to };
    return finish({ from, to, set, before }, what, here);
}

/** There must be a way back, before anything is written. */
async function mustKnow(from: string, { options, session }: Run): Promise<void> {
    await settingsOf(from, session, options.stack).catch((error: Error) => {
        throw new Error(`There would be no way back to ${from}, which runs. ${error.message}`, { cause: error });
    });
}

async function finish(step: Step, phase: Phase, { options, session, journal, command, log }: Run): Promise<Result> {
    journal.unfinished(); // another run may have begun while this one asked
    const { from, to, set } = step;
    const outcome = await update(step, targetOf(session, options.stack, command, log), journal, log, phase);
    const text = {
        updated: `updated from ${from} to ${to}`,
        "rolled back": `${to} was not well: ${from} runs again`,
        failed: `the update from ${from} to ${to} failed, and going back did not end well`,
    };
    const { name } = session.settings;
    log(`\n${name}: ${text[outcome]}.`);
    await tell(session, `${name}: update${session.rehearsal ? " (rehearsal)" : ""}: ${text[outcome]}`, log);
    return { outcome, from, to, set };
}

/** Shows what would change, and asks. */
async function isAgreed(here: Run): Promise<boolean> {
    const { session, options, log } = here;
    const services = servicesOf(session.settings.profile).filter((service) => CATALOGUE[service].image === "forwardemail");
    log(`  makes anew: ${services.join(", ")}`);
    const others = await previewed(here);
    if (others.length > 0) log(`  and what \`npm run up\` would change as it is: ${others.join(", ")}`);
    if (options.yes) return true;
    if (!process.stdin.isTTY || !process.stdout.isTTY) throw new Error("There is no terminal to ask on. Fix: add --yes.");
    return isConfirmed("Change it? [y/N] ");
}

/** What an `up` would change by the stack's file. */
async function previewed({ session, command }: Run): Promise<string[]> {
    const names = new Set<string>();
    try {
        await session.stack.preview({
            onEvent: ({ resourcePreEvent }) => {
                const step = resourcePreEvent?.metadata;
                if (step && !["same", "read"].includes(step.op)) names.add(describe(step.urn));
            },
        });
    } catch (error) {
        const { message } = error as Error;
        throw new Error(
            `Nothing was changed, because a preview fails: ${/^error: .*$/m.exec(message)?.[0] ?? message}\nFix: ${knownFix(message) ?? command("up")}`,
            { cause: error },
        );
    }
    return [...names];
}

/** Id of a set of what there is now; nothing, where there are no backups. */
async function makeSet({ session, options, log }: Run): Promise<string | undefined> {
    if (!session.settings.backups || options["without-set"]) {
        log("  warning: no set of backups is made, so what a new version does to the data is not to be undone.");
        return undefined;
    }
    log("Making a set of backups");
    const host = await backupHost(session, options.stack);
    if (runScript(host, ["run"]) !== 0)
        throw new Error("No set of backups could be made, so nothing was changed. Fix: see above; or go on with --without-set.");
    return setsOf(askScript(host, ["sets"])).at(-1);
}

/** The webhook of the config, if there is one; it is a secret. The update has ended, whatever becomes of this. */
async function tell({ stack, settings }: Session, text: string, log: (line: string) => void): Promise<void> {
    if (!settings.alertWebhook) return;
    try {
        const url = (await stack.getConfig("alertWebhook")).value;
        const body = JSON.stringify({ text });
        await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body, signal: AbortSignal.timeout(20_000) });
    } catch {
        log("  warning: the webhook could not be told"); // its address is a secret, and may be in the error
    }
}

if (require.main === module)
    main().catch((error: Error) => {
        console.error(error.message);
        process.exitCode = 1;
    });
