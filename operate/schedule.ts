import { spawnSync } from "node:child_process";
import * as path from "node:path";
import { parseArgs } from "node:util";
import { cron } from "./schedule/crontab";
import { checkEnvironment, readEnvironment } from "./schedule/environment";
import { Host, Job, Scheduler, mustBePlain, ownerOf, pathOf, thisHost } from "./schedule/job";
import { Hands, lastNight, night, wasCutShort, writeRecord } from "./schedule/night";
import { systemd } from "./schedule/timer";
import { turnAt } from "./schedule/turn";
import { openExisting } from "./session";
import { PROJECT, lockFileOf, readProject, readStackFile } from "./stackFile";
import { tell } from "./update/report";
import { WORK } from "./workspace";

const HELP = `npm run schedule -- install|show|remove|run [--stack NAME] [--at HH:MM] [--time-zone ZONE] [--environment FILE] [--commit]

Updates a stack every night from this machine, without GitHub: npm run images:update -- --newest, npm run update -- --yes, and npm run verify.
Where a night goes wrong, alertWebhook of the stack is told.

  install        a timer of systemd: of the machine for root, else of this user; where there is no systemd, lines in this user's crontab.
                 Once more with other options changes it
  show           what is installed, when it runs next, and how the last night ended
  remove         takes it away
  run            what the timer runs, now. Ends with 0: updated, or nothing to do. 4: rolled back. 1: something went wrong

  --stack NAME        default dev
  --at HH:MM          default 01:00. systemd waits up to ten minutes more, and makes up for a night that was missed
  --time-zone ZONE    such as Europe/Madrid; default, the machine's own
  --environment FILE  variables that Pulumi needs, NAME=value a line, readable by you alone (mode 0600): PULUMI_CONFIG_PASSPHRASE or
                      PULUMI_CONFIG_PASSPHRASE_FILE, PULUMI_BACKEND_URL and others
  --commit            commits the version that runs, with the lock file. Where the branch has an upstream, pulls before and pushes after
`;

interface Options {
    stack: string;
    at: string;
    "time-zone"?: string;
    environment?: string;
    commit: boolean;
}

async function main(): Promise<void> {
    const { values, positionals } = parseArgs({
        allowPositionals: true,
        options: {
            stack: { type: "string", default: "dev" },
            at: { type: "string", default: "01:00" },
            "time-zone": { type: "string" },
            environment: { type: "string" },
            commit: { type: "boolean", default: false },
            help: { type: "boolean", short: "h" },
        },
    });
    if (values.help) return void process.stdout.write(HELP);
    const [verb] = positionals;
    if (positionals.length !== 1 || !["install", "show", "remove", "run"].includes(verb))
        throw new Error(`Got ${positionals.length === 0 ? "no command" : `"${positionals.join(" ")}"`}, wanted install, show, remove or run.`);
    if (verb === "run") process.exitCode = await runNow(values);
    else process.exitCode = manage(verb, values, thisHost(), console.log);
}

/** Answers the exit status. Tests call it with a host of their own. */
export function manage(verb: string, options: Options, host: Host, log: (line: string) => void, checkout = PROJECT): number {
    const name = nameOf(options.stack);
    const scheduler = host.hasSystemd ? systemd(host) : cron(host);
    if (verb === "remove") {
        log(scheduler.remove(name) ? `${name} is removed.` : `There is no ${name} here: nothing to remove.`);
        return 0;
    }
    if (verb === "install") {
        const job = jobOf(options, host, checkout);
        refuseAnother(job, scheduler);
        log(scheduler.install(job) ? `${name} is installed.` : `${name} is installed already: nothing to change.`);
        for (const hint of scheduler.hints()) log(`  warning: ${hint}`);
    }
    const lines = shown(name, options.stack, scheduler);
    for (const line of lines ?? [`There is no ${name} here. Fix: npm run schedule -- install --stack ${options.stack}`]) log(line);
    return lines ? 0 : 1;
}

/** @throws Error where the stack's name is none of a unit. */
function nameOf(stack: string): string {
    if (!/^[\w.-]+$/.test(stack)) throw new Error(`--stack: got "${stack}", wanted letters, digits and . _ - alone.`);
    return `${readProject().name}-${stack}-nightly`;
}

const recordOf = (stack: string, checkout: string) => path.join(checkout, path.relative(PROJECT, WORK), "nightly", `${stack}.json`);

/** @throws Error with the fix, before anything is changed. */
export function jobOf(options: Options, host: Host, checkout: string): Job {
    const { stack, at, "time-zone": timeZone, environment, commit } = options;
    if (!/^([01]\d|2[0-3]):[0-5]\d$/.test(at)) throw new Error(`--at: got "${at}", wanted hours and minutes, such as 01:00.`);
    if (timeZone !== undefined && !isTimeZone(timeZone)) throw new Error(`--time-zone: got "${timeZone}", wanted a name such as Europe/Madrid.`);
    const user = ownerOf(host, checkout);
    const file = environment === undefined ? undefined : path.resolve(environment);
    const searched = pathOf();
    for (const [what, text] of Object.entries({ "the checkout": checkout, "--environment": file, PATH: searched })) if (text) mustBePlain(what, text);
    checkEnvironment(stack, readStackFile(stack), file, [user, 0]);
    if (commit) mustBeOnBranch(host, checkout);
    return { name: nameOf(stack), stack, at, timeZone, commit, environment: file, checkout, user, path: searched };
}

function isTimeZone(name: string): boolean {
    try {
        new Intl.DateTimeFormat("en", { timeZone: name });
        return /^[A-Z]/i.test(name); // +01:00 is none to systemd
    } catch {
        return false;
    }
}

function mustBeOnBranch(host: Host, checkout: string): void {
    // Root may look at the checkout of another user: the night runs as that one.
    if (host.run("git", ["-c", `safe.directory=${checkout}`, "-C", checkout, "symbolic-ref", "--quiet", "HEAD"]).status !== 0)
        throw new Error(
            `--commit: ${checkout} is no git repository on a branch. Fix: git switch BRANCH; or leave --commit out, and commit yourself.`,
        );
}

/** A stack is updated from one place: two would be at it at the same time, each with a journal of its own. */
function refuseAnother({ name, stack, checkout }: Job, scheduler: Scheduler): void {
    const other = scheduler.find(name)?.checkout;
    if (other !== undefined && other !== checkout)
        throw new Error(`${name} is installed for ${other}. Fix: npm run schedule -- remove --stack ${stack}, and run this again.`);
}

function shown(name: string, stack: string, scheduler: Scheduler): string[] | undefined {
    const found = scheduler.find(name);
    if (!found) return undefined;
    const { checkout, when, next, trouble, log } = found;
    return [
        `${name}  ${scheduler.kind}, ${when}, for ${checkout}`,
        `  next  ${next}`,
        `  last  ${lastNight(recordOf(stack, checkout))}${trouble ? `; systemd says of it: ${trouble}` : ""}`,
        `  log   ${log}`,
    ];
}

async function runNow({ stack, environment, commit }: Options): Promise<number> {
    const lockFile = lockFileOf(readStackFile(stack).config);
    if (environment !== undefined) {
        const file = path.resolve(environment);
        Object.assign(process.env, readEnvironment(file, [process.getuid?.() ?? 0, 0]));
    }
    const by = (stdio: "inherit" | "ignore") => (program: string, args: string[]) => spawnSync(program, args, { cwd: PROJECT, stdio }).status ?? 1;
    const hands: Hands = { run: (program, ...args) => by("inherit")(program, args), ask: (program, ...args) => by("ignore")(program, args) };
    const record = recordOf(stack, PROJECT);
    // Of two stacks of a checkout, each writes into its lock file and commits.
    const end = await turnAt(path.join(path.dirname(record), "turn"), () => console.log("Another night of this checkout runs: waiting for its end."));
    const wasCut = wasCutShort(record);
    const began = new Date().toISOString();
    writeRecord(record, { began });
    const { status, said } = night({ stack, commit, lockFile }, hands, wasCut);
    writeRecord(record, { began, ended: new Date().toISOString(), status, said });
    end();
    console.log(`\n${nameOf(stack)}: ${said}.`);
    if (status === 1) await tellOf(stack, `${nameOf(stack)}: ${said}`); // how an update ended, it tells itself
    return status;
}

async function tellOf(stack: string, text: string): Promise<void> {
    const log = (line: string) => console.error(line);
    try {
        await tell(await openExisting(stack, {}, log), text, log);
    } catch (error) {
        log(`  warning: the webhook could not be told: ${(error as Error).message.split("\n")[0]}`);
    }
}

if (require.main === module)
    main().catch((error: Error) => {
        console.error(error.message);
        process.exitCode = 1;
    });
