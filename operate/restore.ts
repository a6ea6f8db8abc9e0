import { parseArgs } from "node:util";
import { ask } from "./ask";
import { setsOf } from "./backup";
import { BackupHost, NO_SCRIPT, askScript, backupHost, runScript } from "./backupHost";
import { converge } from "./converge";
import { isBare } from "./health";
import { hasContainers, located, resourcesOf } from "./machines";
import { refuse } from "./refusals";
import { setSecret } from "./secret";
import { DEV, Session, openExisting, openSession } from "./session";
import { readProject, readStackFile, settingsFrom } from "./stackFile";
import { summary } from "./summary";

const HELP = `npm run restore -- [--stack NAME] [--set ID | --set /FOLDER] [--replace-data DEPLOYMENT] [--undo] [--without-set]
                  [--rehearse]

Brings back a set of backups. A stack that runs keeps what it has aside: a set of it is made first, then the data of the set take its place,
and --undo puts back what was there before. A stack that was never brought up, or whose server and disk are lost, comes up with the data, the
secrets and the keys of the set, which are looked at before any service starts.

  --stack NAME               default dev
  --set ID                   npm run backup -- --list shows them; default latest, the newest complete one
  --set /FOLDER              on the server, of an installation by upstream's setup.sh, which a new stack takes over (docs/migrate-from-setup-sh.md)
  --replace-data DEPLOYMENT  for a stack that runs: name of the deployment (forwardemail-NAME), so that nobody does it by accident.
                             On a terminal it is asked for
  --undo                     puts back the data that the last restore replaced; a set of the present data is made first
  --without-set              goes on where none can be made, such as of a database that does not start. On the server, what was there
                             before is kept all the same
  --rehearse                 the stack's rehearsal, not the stack itself
`;

async function main(): Promise<void> {
    const { values } = parseArgs({
        options: {
            stack: { type: "string", default: "dev" },
            set: { type: "string" },
            "replace-data": { type: "string" },
            undo: { type: "boolean", default: false },
            "without-set": { type: "boolean", default: false },
            rehearse: { type: "boolean" },
            help: { type: "boolean", short: "h" },
        },
    });
    if (values.help) return void process.stdout.write(HELP);
    const { stack: name, undo } = values;
    const log = (line: string) => console.log(line);
    const session = await openStack(name, values.rehearse, log);
    const begun = session.settings.backups?.restoreFrom;
    const set = values.set ?? begun ?? "latest";
    const resources = await resourcesOf(session.stack);
    const present = await lookAt(session, name);
    // One that was begun and not finished still says so in its file.
    if (!undo && (!present || (begun && values.set === undefined))) {
        mustHaveBucket(set, session, resources);
        return begin(name, set, session, log);
    }
    if (!present) throw new Error("There is nothing to undo: the server has no data.");
    if (!hasContainers(resources))
        throw new Error(
            `Stack ${name} does not run, and its data are on the server. Fix: npm run up -- --stack ${name}, then this again, which keeps them aside.`,
        );
    const { host, state } = present;
    if (undo && state === "none") throw new Error("There is nothing to undo: no restore has replaced data here.");
    const doomed = undo ? `the data as they are now by those of before the restore (${state})` : "all data";
    await confirm(values["replace-data"], `${readProject().name}-${name}`, doomed);
    const words = undo ? ["undo"] : ["replace", chosen(host, set)]; // before another one is made
    // Half a restore is nothing to keep.
    if (!values["without-set"] && state !== "unfinished") makeSet(host, log);
    if (!undo) log(`Restoring set ${words[1]}`);
    if (runScript(host, words) !== 0) return void (process.exitCode = 1);
    const { ok, changes, outputs } = await converge(session, log);
    for (const line of summary(session, name, changes, outputs, ok)) log(line);
    process.exitCode = ok ? 0 : 1;
}

/** What is on the server; nothing, where the deployment has no data there: it is new, or was lost, which the state does not tell. */
async function lookAt(session: Session, name: string): Promise<{ host: BackupHost; state: string } | undefined> {
    if (isBare((await located(session.stack, session.settings)).servers[0])) return undefined;
    const host = await backupHost(session, name);
    try {
        const state = askScript(host, ["state"]).trim();
        const data = askScript(host, ["data"]).trim();
        return data === "yes" || state === "unfinished" ? { host, state } : undefined;
    } catch (error) {
        if ((error as Error).message.includes(NO_SCRIPT)) return undefined;
        throw error;
    }
}

/** A bucket that the program made is known by the state alone: without it, another one would be made, and it would be empty. A folder needs none. */
export function mustHaveBucket(set: string, { settings: { backups } }: Pick<Session, "settings">, resources: Array<{ type: string }>): void {
    if (set.startsWith("/") || !backups || backups.store.provider === "s3" || resources.some(({ type }) => BUCKETS.includes(type))) return;
    throw new Error(
        `The state knows no bucket, so provider ${backups.store.provider} would make an empty one. Fix: set backups to provider s3 with the bucket's name, its endpoint and a key that may read it (docs/backups.md).`,
    );
}

const BUCKETS = ["aws:s3/bucket:Bucket", "cloudflare:index/r2Bucket:R2Bucket"];

/** One that runs; else one that can be brought up. */
async function openStack(name: string, rehearse: boolean | undefined, log: (line: string) => void): Promise<Session> {
    try {
        return await openExisting(name, { rehearse }, log);
    } catch (error) {
        if (!/is not deployed/.test((error as Error).message)) throw error;
        return openSession(name, { rehearse }, log);
    }
}

/** Of what there is: a restore that was a mistake loses nothing. */
function makeSet(host: BackupHost, log: (line: string) => void): void {
    log(`Making a set of the present data first`);
    if (runScript(host, ["run"]) !== 0)
        throw new Error("The present data could not be backed up, so nothing was changed. Fix: see above; or go on with --without-set.");
}

/** Id of a set that is there. */
function chosen(host: BackupHost, set: string): string {
    if (set.startsWith("/"))
        throw new Error(`${set}: only a stack without data takes over an installation. Fix: use a new stack (docs/migrate-from-setup-sh.md).`);
    const known = setsOf(askScript(host, ["sets"]));
    const id = set === "latest" ? known.at(-1) : known.find((one) => one === set);
    if (!id) throw new Error(`There is no complete set ${set}. Fix: take one of ${known.slice(-5).join(", ") || "those that npm run backup makes"}.`);
    return id;
}

/** Throws unless the name of the very deployment was typed. */
async function confirm(typed: string | undefined, deployment: string, doomed: string): Promise<void> {
    const hasTerminal = process.stdin.isTTY && process.stdout.isTTY;
    const name = typed ?? (hasTerminal ? await ask(`This replaces ${doomed} of ${deployment}. Type its name to go on: `) : "");
    if (name !== deployment)
        throw new Error(`--replace-data: got "${name}", wanted the name of this deployment, "${deployment}". Nothing was changed.`);
}

/** A first `up` that begins with a set; its secrets stay in the config afterwards, where the set may be pruned one day. */
async function begin(name: string, set: string, { stack, settings, rehearsal }: Session, log: (line: string) => void): Promise<void> {
    const file = `Pulumi.${name}.yaml`;
    if (rehearsal || name === DEV) throw new Error(`Stack ${name} has no data yet. Fix: set restoreFrom: ${set} in ${file}, then npm run up.`);
    settingsFrom(name, { ...readStackFile(name).config, "forwardemail:restoreFrom": set }); // tells what is wrong with it before it is written
    await refuse({ stack, settings, rehearsal });
    await stack.setConfig("restoreFrom", { value: set });
    const session = await openSession(name, {}, log);
    const { ok, changes, outputs } = await converge(session, log);
    if (ok) {
        setSecret(stack, "restoredSecrets", JSON.stringify(outputs.restoredSecrets.value));
        await stack.removeConfig("restoreFrom");
        for (const line of askScript(await backupHost(session, name), ["told"])
            .split("\n")
            .filter(Boolean))
            log(line);
        log(`The secrets of the set are in ${file} now (restoredSecrets, encrypted): keep that file.`);
        for (const line of summary(session, name, changes, outputs, ok)) log(line);
    } else
        log(
            `\nNot restored yet. ${file} says restoreFrom: ${set}. Fix: mend the cause above; npm run restore -- --stack ${name} goes on from here (npm run up would not keep the secrets).`,
        );
    process.exitCode = ok ? 0 : 1;
}

if (require.main === module)
    main().catch((error: Error) => {
        console.error(error.message);
        process.exitCode = 1;
    });
