import type { Finding, Report } from "../verify/check";
import { Journal, Outcome } from "./journal";

/** What an update does to a stack; tests put another in its place. */
export interface Target {
    /** Brings the stack to a version; true when every service is healthy. */
    bringTo(version: string): Promise<boolean>;
    /** What the checks that an update may break say now. */
    verify(): Promise<Report[]>;
    /** Closes the ports that the world reaches: senders try again later, and nothing is accepted that could be lost. */
    close(): Promise<void>;
}

/** An update that has been agreed to. */
export interface Step {
    from: string;
    to: string;
    /** Backup set that was made before; unset, where there are no backups. */
    set?: string;
}

/**
 * Changes the version, looks at what came of it, and goes back where it is not well. Databases stay as they are: mail that was accepted
 * meanwhile is kept. Where the old version does not run on them any more, the ports are closed, and the operator decides.
 */
export async function update(step: Step, target: Target, journal: Journal, log: (line: string) => void): Promise<Outcome> {
    const { from, to } = step;
    const end = (what: Outcome) => {
        journal.write({ ...step, what });
        return what;
    };
    journal.write({ ...step, what: "begun" });
    if (await isWell(to, target, log)) return end("updated");
    log(`\n${to} is not well: going back to ${from}. Mail that came in meanwhile is kept.`);
    if (await isWell(from, target, log)) return end("rolled back");
    await target.close();
    const restore = step.set ? `restore the set from before (npm run restore -- --set ${step.set}; what came in since is lost)` : "restore a backup";
    log(
        `\n${from} does not run either any more: perhaps ${to} has changed the data. The ports are closed, so senders try again for days, and nothing is lost.`,
    );
    log(`Fix: bring a version that runs (npm run up with another version), or ${restore}.`);
    return end("failed");
}

async function isWell(version: string, target: Target, log: (line: string) => void): Promise<boolean> {
    log(`Changing to ${version}`);
    const healthy = await target.bringTo(version).catch((error: Error) => {
        log(`  error: ${error.message}`);
        return false;
    });
    if (!healthy) return false;
    const bad = failures(await target.verify());
    for (const { subject, got, fix } of bad) log(`  fail: ${subject}: ${got}${fix ? ` (${fix})` : ""}`);
    return bad.length === 0;
}

/** What could not be told is no reason to go back. */
const failures = (reports: Report[]): Finding[] => reports.flatMap(({ findings }) => findings).filter(({ status }) => status === "fail");
