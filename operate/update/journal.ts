import { appendFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { hostname } from "node:os";
import * as path from "node:path";

/** How an update ended. */
export type Outcome = "updated" | "rolled back" | "failed";

/** A line of the log of a stack's updates. */
export interface Entry {
    at: string;
    from: string;
    to: string;
    what: "begun" | Outcome;
    /** Backup set that was made before. */
    set?: string;
    /** Who does it, as long as it is not ended. */
    process: { host: string; pid: number };
}

/** Log of a stack's updates: what was begun and has no end was cut short, and the next run takes it up. */
export class Journal {
    constructor(
        private readonly file: string,
        private readonly me = { host: hostname(), pid: process.pid },
    ) {}

    entries(): Entry[] {
        if (!existsSync(this.file)) return [];
        const lines = readFileSync(this.file, "utf8").split("\n").slice(0, -1); // one that a power cut left half
        return lines.map((line) => JSON.parse(line) as Entry);
    }

    write(entry: Omit<Entry, "at" | "process">): void {
        mkdirSync(path.dirname(this.file), { recursive: true, mode: 0o700 });
        const complete: Entry = { at: new Date().toISOString(), ...entry, process: this.me };
        appendFileSync(this.file, `${JSON.stringify(complete)}\n`, { mode: 0o600 });
    }

    /**
     * The update that a run did not bring to its end.
     * @throws Error when that run is still there.
     */
    unfinished(isAlive: (pid: number) => boolean = isRunning): Entry | undefined {
        const last = this.entries().at(-1);
        if (last?.what !== "begun") return undefined;
        const { host, pid } = last.process;
        if (host === this.me.host && pid !== this.me.pid && isAlive(pid))
            throw new Error(`An update from ${last.from} to ${last.to} is under way (process ${pid}, since ${last.at}). Fix: wait for it.`);
        return last;
    }
}

function isRunning(pid: number): boolean {
    try {
        process.kill(pid, 0);
        return true;
    } catch (error) {
        return (error as NodeJS.ErrnoException).code === "EPERM"; // another user's
    }
}
