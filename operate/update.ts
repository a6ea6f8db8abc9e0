import { readFileSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { createInterface } from "node:readline/promises";
import { parseArgs } from "node:util";
import { CATALOGUE, servicesOf } from "../components/services/catalogue";
import { isOlder, newest, parseLock } from "../components/settings/images";
import type { Settings } from "../components/settings/settings";
import { setsOf } from "./backup";
import { askScript, backupHost, runScript } from "./backupHost";
import { converge } from "./converge";
import { withConfig } from "./editStackFile";
import { docker, inspectStack } from "./health";
import { located } from "./machines";
import { describe } from "./progress";
import { Session, openSession } from "./session";
import { PROJECT, readProject, readStackFile, settingsFrom } from "./stackFile";
import { Step, Target, update } from "./update/core";
import { Journal, Outcome } from "./update/journal";
import { runChecks } from "./verify/check";
import { deployed } from "./verify/deployed";
import { portsCheck, relayCheck } from "./verify/mail";
import { servicesCheck } from "./verify/services";
import { tlsCheck } from "./verify/tls";
import { theWorld } from "./verify/world";
import { WORK } from "./workspace";

const HELP = `npm run update -- [--stack NAME] [--version TAG] [--yes] [--force] [--without-set] [--json] [--rehearse]

Brings a stack to another version of Forward Email: shows what would change, makes a set of backups, changes it, waits until every service is
healthy, and looks from outside (npm run verify). Where it is not well, it goes back to the version that ran. The version is written to
Pulumi.NAME.yaml. One that was cut short is taken up by the next run. Log of all updates: .work/updates/.

  --stack NAME   default dev
  --version TAG  default, the newest of the lock file (npm run images:update adds releases)
  --yes          does not ask; needed where there is no terminal
  --force        although the version is older than the one that runs: its data may have been changed for the newer one
  --without-set  goes on where no set of backups can be made
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
            json: { type: "boolean" },
            rehearse: { type: "boolean" },
            help: { type: "boolean", short: "h" },
        },
    });
    if (values.help) return void process.stdout.write(HELP);
    const started = Date.now();
    const result = await run(values, (line) => console.log(line));
    if (values.json) console.log(JSON.stringify({ stack: values.stack, ...result, seconds: Math.round((Date.now() - started) / 1000) }));
    process.exitCode = EXIT[result.outcome];
}

type Result = Partial<Step> & { outcome: Outcome | "nothing to do" };

async function run(options: Options, log: (line: string) => void): Promise<Result> {
    const { stack: name } = options;
    const journal = new Journal(path.join(WORK, "updates", `${name}${options.rehearse ? ".rehearsal" : ""}.jsonl`));
    const unfinished = journal.unfinished();
    const session = await openSession(name, options, log);
    if (unfinished) {
        log(`The update from ${unfinished.from} to ${unfinished.to} was cut short on ${unfinished.at}: going on with it.`);
        await session.stack.cancel(); // its lock
        return finish(unfinished, options, session, journal, log);
    }
    const from = (await session.stack.outputs()).version?.value as string | undefined;
    if (!from) throw new Error(`Stack ${name} has never come up. Fix: npm run up -- --stack ${name}`);
    const to = options.version ?? newest(releasesOf(name, session));
    if (to === from) {
        log(`${from} runs already${options.version ? "" : ", and the lock file knows none that is newer"}.`);
        return { outcome: "nothing to do", from, to };
    }
    if (isOlder(to, from) && !options.force)
        throw new Error(
            `--version: ${to} is older than ${from}, which runs: its data may have been changed for it. Fix: npm run restore a set of ${to}; or --force.`,
        );
    // Both are looked at before anything is written: there must be a way back.
    const [settings] = [to, from].map((version) =>
        settingsFrom(name, { ...configOf(name, session), "forwardemail:version": version }, { allowUnpinned: true }),
    );
    if (!(await isAgreed(session, settings, { from, to }, options, log))) return { outcome: "nothing to do", from, to };
    const set = await makeSet(session, options, log);
    return finish({ from, to, set }, options, session, journal, log);
}

async function finish({ from, to, set }: Step, options: Options, session: Session, journal: Journal, log: (line: string) => void): Promise<Result> {
    const outcome = await update({ from, to, set }, targetOf(options, session, log), journal, log);
    const text = {
        updated: `updated from ${from} to ${to}`,
        "rolled back": `${to} was not well: ${from} runs again`,
        failed: `neither ${to} nor ${from} runs`,
    };
    log(`\n${session.settings.name}: ${text[outcome]}.`);
    await tell(session, `${session.settings.name}: update: ${text[outcome]}`, log);
    return { outcome, from, to, set };
}

/** On a rehearsal the lock file is another than the config says. */
const configOf = (name: string, { rehearsal }: Session) => ({ ...readStackFile(name).config, ...rehearsal?.overlay });

function releasesOf(name: string, session: Session): string[] {
    const images = (configOf(name, session)["forwardemail:images" as never] ?? {}) as { lockFile?: string };
    const lock = parseLock(readFileSync(path.resolve(PROJECT, images.lockFile ?? "images.lock.json"), "utf8"));
    return Object.keys(lock.forwardemail.releases).filter((tag) => /^v\d/.test(tag));
}

/** Shows what would change, and asks. */
async function isAgreed({ stack }: Session, settings: Settings, { from, to }: Step, { yes }: Options, log: (line: string) => void): Promise<boolean> {
    const services = servicesOf(settings.profile).filter((service) => CATALOGUE[service].image === "forwardemail");
    log(`From ${from} to ${to} (https://github.com/forwardemail/forwardemail.net/releases/tag/${to})`);
    log(`  makes anew: ${services.join(", ")}`);
    const others: string[] = [];
    await stack.preview({
        onEvent: ({ resourcePreEvent }) => {
            const step = resourcePreEvent?.metadata;
            if (step && !["same", "read"].includes(step.op)) others.push(describe(step.urn));
        },
    });
    if (others.length > 0) log(`  and what \`npm run up\` would change as it is: ${[...new Set(others)].join(", ")}`);
    if (yes) return true;
    if (!process.stdin.isTTY || !process.stdout.isTTY) throw new Error("There is no terminal to ask on. Fix: add --yes.");
    const terminal = createInterface({ input: process.stdin, output: process.stdout });
    try {
        return /^y(es)?$/i.test((await terminal.question("Change it? [y/N] ")).trim());
    } finally {
        terminal.close();
    }
}

/** Id of a set of what there is now; nothing, where there are no backups. */
async function makeSet(session: Session, options: Options, log: (line: string) => void): Promise<string | undefined> {
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

/** The stack, whose file says the version. */
function targetOf(options: Options, session: Session, log: (line: string) => void): Target {
    let current = session;
    return {
        async bringTo(version) {
            writeVersion(options.stack, version);
            current = await openSession(options.stack, options, () => undefined);
            return (await converge(current, log)).ok;
        },
        async verify() {
            const { deployment, ways } = await deployed(current, options.stack);
            return runChecks([servicesCheck, portsCheck, tlsCheck, relayCheck], deployment, theWorld(deployment.settings, ways));
        },
        close: () => closePorts(current),
    };
}

/** Keeps the file as it is but for this key. */
export function writeVersion(name: string, version: string): void {
    const file = path.join(PROJECT, `Pulumi.${name}.yaml`);
    const text = readFileSync(file, "utf8");
    writeFileSync(file, withConfig(text, `${readProject().name}:version`, version));
}

async function closePorts({ stack, settings }: Session): Promise<void> {
    const [server] = (await located(stack, settings)).servers;
    const doors = inspectStack(settings.name, server).filter(({ service }) => CATALOGUE[service].publish.length > 0);
    for (const { container } of doors) docker(["stop", container], server);
}

/** The webhook of the config, if there is one; it is a secret. */
async function tell({ stack, settings }: Session, text: string, log: (line: string) => void): Promise<void> {
    if (!settings.alertWebhook) return;
    const url = (await stack.getConfig("alertWebhook")).value;
    const body = JSON.stringify({ text });
    await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body, signal: AbortSignal.timeout(20_000) }).catch(() =>
        log("  warning: the webhook could not be told"),
    );
}

if (require.main === module)
    main().catch((error: Error) => {
        console.error(error.message);
        process.exitCode = 1;
    });
