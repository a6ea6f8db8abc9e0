import { ImageChange, Pins, pinsForth } from "./images";
import type { Finding, Report } from "../verify/check";
import type { Journal, Outcome, Phase, Step } from "./journal";

/** What an update does to a stack; tests put another in its place. */
export interface Target {
    /** Brings the stack to a version, and other images to these; true when every service is healthy. */
    bringTo(version: string, images: Pins): Promise<boolean>;
    /** What the checks that an update may break say now, where these should run. */
    verify(version: string, images: Pins): Promise<Report[]>;
    /** What the changed images go back to. */
    back(images: ImageChange[]): Promise<Pins>;
    /** Closes the ports that the world reaches: senders try again later, and nothing is accepted that could be lost. */
    close(): Promise<void>;
    /** A command for this very stack, to advise. */
    command: Command;
}

/** `npm run SCRIPT` for a stack, with what is told of it. */
export type Command = (script: string, ...words: string[]) => string;

/** Another operation holds the stack, so nothing was changed, and the journal stays as it is: the next run goes on. */
export class Held extends Error {}

type Log = (line: string) => void;

/**
 * Changes the version, looks at what came of it, and goes back where it is not well. Databases stay as they are: mail that was accepted
 * meanwhile is kept. Where the old version does not run on them any more, the ports are closed, and the operator decides.
 * @param phase `going back`, for one that was cut short on its way back.
 */
export async function update(step: Step, target: Target, journal: Journal, log: Log, phase: Phase = "begun"): Promise<Outcome> {
    const { from, to } = step;
    const images = pinsForth(step.images);
    const end = (what: Outcome) => {
        journal.write({ ...step, what });
        return what;
    };
    if (phase === "begun") {
        journal.write({ ...step, what: "begun" });
        const isHealthy = await bring(to, images, target, log);
        if (isHealthy && newFailures(step, await look(to, images, target, log), log).length === 0) return end("updated");
        log(`\n${to} is not well: going back to ${from}. Mail that came in meanwhile is kept.`);
    }
    journal.write({ ...step, what: "going back" });
    return end(await goBack(step, target, log));
}

async function bring(version: string, images: Pins, target: Target, log: Log): Promise<boolean> {
    log(`Changing to ${version}`);
    try {
        return await target.bringTo(version, images);
    } catch (error) {
        if (error instanceof Held) throw error;
        log(`  error: ${(error as Error).message}`);
        return false;
    }
}

/** Checks that cannot run tell nothing, which is no reason to go back. */
async function look(version: string, images: Pins, target: Target, log: Log): Promise<Report[]> {
    try {
        return await target.verify(version, images);
    } catch (error) {
        log(`  unknown: the checks could not run: ${(error as Error).message}`);
        return [];
    }
}

/** What counts is what is there: an operation that failed may have brought the old version back all the same. */
async function goBack(step: Step, target: Target, log: Log): Promise<"rolled back" | "failed"> {
    const images = step.images ? await target.back(step.images) : {};
    const isHealthy = await bring(step.from, images, target, log);
    const reports = await look(step.from, images, target, log);
    const fresh = newFailures(step, reports, log);
    const services = findingsOf(reports, "services");
    const isTold = services.some(({ status }) => status !== "unknown");
    const isSick = services.some(isFailure);
    if (!isSick && fresh.length === 0 && (isTold || isHealthy)) return "rolled back";
    const lines = isSick ? await closed(step, target) : [isTold || isHealthy ? worse(step, target) : untold(step, target)];
    log("");
    for (const line of lines) log(line);
    return "failed";
}

async function closed({ from, set }: Step, { close, command }: Target): Promise<string[]> {
    const sick = `${from} does not run either any more: perhaps the update has changed the data.`;
    const restore = set ? `restore the set from before (${command("restore", `--set ${set}`)}; what came in since is lost)` : "restore a backup";
    const fix = `Fix: set a version that runs in the stack's file and bring it (${command("up")}), or ${restore}.`;
    try {
        await close();
        return [`${sick} The ports are closed, so senders try again for days, and nothing is lost.`, fix];
    } catch (error) {
        return [`${sick} The ports could not be closed: ${(error as Error).message}`, fix];
    }
}

const worse = ({ from }: Step, { command }: Target) =>
    `Every service is healthy, but not all is as it was with ${from} (above). The ports are left as they are. Fix: see ${command("verify")}`;

const untold = ({ from }: Step, { command }: Target) =>
    `Docker cannot be asked how ${from} is, so the ports are left as they are. Fix: see ${command("status")}; then ${command("up")}`;

const findingsOf = (reports: Report[], id: string): Finding[] => reports.filter((report) => report.id === id).flatMap(({ findings }) => findings);

const isFailure = ({ status }: Finding) => status === "fail";
const describe = ({ subject, got, fix }: Finding) => `${subject}: ${got}${fix ? ` (${fix})` : ""}`;

/** Failures by their keys: the same thing, looked at by the same check. */
const failures = (reports: Report[]): Array<[string, Finding]> =>
    reports.flatMap(({ id, findings }) => findings.filter(isFailure).map((one): [string, Finding] => [`${id} ${one.subject}`, one]));

/** Failures that were not there before the update; says what they are, and what nobody could tell. */
function newFailures({ before = [] }: Step, reports: Report[], log: Log): Finding[] {
    const fresh = failures(reports).flatMap(([key, one]) => (before.includes(key) ? [] : [one]));
    for (const one of fresh) log(`  fail: ${describe(one)}`);
    for (const one of reports.flatMap(({ findings }) => findings)) if (one.status === "unknown") log(`  unknown: ${describe(one)}`);
    return fresh;
}

/**
 * What fails already, as the keys that a step keeps.
 * @throws Error where a service fails: nobody could tell then what the update breaks.
 */
export function baseline(reports: Report[], command: Command, log: Log): string[] {
    const sick = findingsOf(reports, "services").filter(isFailure);
    if (sick.length > 0) {
        const names = sick.map(({ subject, got }) => `${subject}: ${got}`).join("; ");
        throw new Error(`Not every service is healthy before the update (${names}), so nothing was changed. Fix: ${command("up")}`);
    }
    const known = failures(reports);
    for (const [, one] of known) log(`  warning: this fails already, and is not held against the update: ${describe(one)}`);
    return [...new Set(known.map(([key]) => key))];
}
