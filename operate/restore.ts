import { createInterface } from "node:readline/promises";
import { parseArgs } from "node:util";
import { setsOf } from "./backup";
import { BackupHost, askScript, backupHost, runScript } from "./backupHost";
import { converge } from "./converge";
import { resourcesOf } from "./machines";
import { DEV, Session, openExisting, openSession } from "./session";
import { readProject, readStackFile, settingsFrom } from "./stackFile";
import { summary } from "./summary";

const HELP = `npm run restore -- [--stack NAME] [--set ID | --set /FOLDER] [--replace-data DEPLOYMENT] [--undo] [--rehearse]

Brings back a set of backups. A stack that runs keeps what it has aside: a set of it is made first, then the data of the set take its place,
and --undo puts back what was there before. A stack that was never brought up, or whose server and disk are lost, comes up with the data, the
secrets and the keys of the set, which are looked at before any service starts.

  --stack NAME               default dev
  --set ID                   npm run backup -- --list shows them; default latest, the newest complete one
  --set /FOLDER              on the server, of an installation by upstream's setup.sh, which a new stack takes over (docs/migration.md)
  --replace-data DEPLOYMENT  for a stack that runs: name of the deployment (forwardemail-NAME), so that nobody does it by accident.
                             On a terminal it is asked for
  --undo                     puts back the data that the last restore replaced
  --rehearse                 the stack's rehearsal, not the stack itself
`;

async function main(): Promise<void> {
    const { values } = parseArgs({
        options: {
            stack: { type: "string", default: "dev" },
            set: { type: "string", default: "latest" },
            "replace-data": { type: "string" },
            undo: { type: "boolean", default: false },
            rehearse: { type: "boolean" },
            help: { type: "boolean", short: "h" },
        },
    });
    if (values.help) return void process.stdout.write(HELP);
    const log = (line: string) => console.log(line);
    const session = await openStack(values.stack, values.rehearse, log);
    const runs = (await resourcesOf(session.stack)).some(({ type }) => type.startsWith("docker:index/container"));
    if (!runs) return begin(values.stack, values.set, session, log);
    const host = await backupHost(session, values.stack);
    await confirm(values["replace-data"], `${readProject().name}-${values.stack}`, values.undo ? "the data as they are now" : "all data");
    if (!(values.undo ? runScript(host, ["undo"]) === 0 : replace(host, values.set, log))) return void (process.exitCode = 1);
    const { ok, changes, outputs } = await converge(session, log);
    for (const line of summary(session, values.stack, changes, outputs, ok)) log(line);
    process.exitCode = ok ? 0 : 1;
}

/** One that runs; else one that can be brought up. */
async function openStack(name: string, rehearse: boolean | undefined, log: (line: string) => void): Promise<Session> {
    try {
        return await openExisting(name, { rehearse }, log);
    } catch (error) {
        if (!/is not deployed/.test((error as Error).message)) throw error;
        return openSession(name, { rehearse }, log);
    }
}

/** Takes a set of what there is first: a restore that was a mistake loses nothing. */
function replace(host: BackupHost, set: string, log: (line: string) => void): boolean {
    const known = setsOf(askScript(host, ["sets"]));
    const id = set === "latest" ? known.at(-1) : known.find((one) => one === set);
    if (set.startsWith("/"))
        throw new Error(`${set}: only a stack without data takes over an installation. Fix: use a new stack (docs/migration.md).`);
    if (!id) throw new Error(`There is no complete set ${set}. Fix: take one of ${known.slice(-5).join(", ") || "those that npm run backup makes"}.`);
    log(`Making a set of the present data first`);
    if (runScript(host, ["run"]) !== 0) throw new Error("The present data could not be backed up, so nothing was changed. Fix: see above.");
    log(`Restoring set ${id}`);
    return runScript(host, ["replace", id]) === 0;
}

/** Throws unless the name of the very deployment was typed. */
async function confirm(typed: string | undefined, deployment: string, doomed: string): Promise<void> {
    const hasTerminal = process.stdin.isTTY && process.stdout.isTTY;
    const name = typed ?? (hasTerminal ? await ask(`This replaces ${doomed} of ${deployment}. Type its name to go on: `) : "");
    if (name !== deployment)
        throw new Error(`--replace-data: got "${name}", wanted the name of this deployment, "${deployment}". Nothing was changed.`);
}

async function ask(question: string): Promise<string> {
    const terminal = createInterface({ input: process.stdin, output: process.stdout });
    try {
        return (await terminal.question(question)).trim();
    } finally {
        terminal.close();
    }
}

/** A first `up` that begins with a set; its secrets stay in the config afterwards, where the set may be pruned one day. */
async function begin(name: string, set: string, { stack, rehearsal }: Session, log: (line: string) => void): Promise<void> {
    const file = `Pulumi.${name}.yaml`;
    if (rehearsal || name === DEV) throw new Error(`Stack ${name} was never brought up. Fix: set restoreFrom: ${set} in ${file}, then npm run up.`);
    settingsFrom(name, { ...readStackFile(name).config, "forwardemail:restoreFrom": set }); // tells what is wrong with it before it is written
    await stack.setConfig("restoreFrom", { value: set });
    const session = await openSession(name, {}, log);
    const { ok, changes, outputs } = await converge(session, log);
    if (ok) {
        await stack.setConfig("restoredSecrets", { value: JSON.stringify(outputs.restoredSecrets.value), secret: true });
        await stack.removeConfig("restoreFrom");
        log(`The secrets of the set are in ${file} now (restoredSecrets, encrypted): keep that file.`);
    } else log(`${file} says restoreFrom: ${set}; the next npm run restore goes on from here.`);
    for (const line of summary(session, name, changes, outputs, ok)) log(line);
    process.exitCode = ok ? 0 : 1;
}

main().catch((error: Error) => {
    console.error(error.message);
    process.exitCode = 1;
});
