import { appendFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { hostname } from "node:os";
import * as path from "node:path";
import { ImageChange, Pins, tagOf } from "./images";

/** How an update ended. */
export type Outcome = "updated" | "rolled back" | "failed";

/** Where an update is that has not ended. */
export type Phase = "begun" | "going back";

/** An update that has been agreed to. */
export interface Step {
    from: string;
    to: string;
    /** Backup set that was made before; unset, where there are no backups. */
    set?: string;
    /** What changes beside the application. */
    images?: ImageChange[];
    /** What failed before it, as keys of findings (core.ts): it is not the update's doing. */
    before?: string[];
}

/** A line of the log of a stack's updates. */
export interface Entry extends Step {
    at: string;
    /** `given up`: it was cut short, and the next run had another aim. */
    what: Phase | Outcome | "given up";
    /** Who does it, as long as it is not ended. */
    process: { host: string; pid: number };
}

/** Log of a stack's updates: what was begun and has no end was cut short, and the next run takes it up. */
export class Journal {
    constructor(
        readonly file: string,
        private readonly me = { host: hostname(), pid: process.pid },
    ) {}

    entries(): Entry[] {
        return this.text().split("\n").flatMap(parsed);
    }

    write({ from, to, set, images, before, what }: Step & Pick<Entry, "what">): void {
        mkdirSync(path.dirname(this.file), { recursive: true, mode: 0o700 });
        const complete: Entry = { at: new Date().toISOString(), from, to, what, set, images, before, process: this.me };
        const text = this.text();
        // After a line that a power cut left half, this one would be lost with it.
        const start = text === "" || text.endsWith("\n") ? "" : "\n";
        appendFileSync(this.file, `${start}${JSON.stringify(complete)}\n`, { mode: 0o600 });
    }

    /**
     * The update that a run did not bring to its end.
     * @throws Error when that run is still there.
     */
    unfinished(isAlive: (pid: number) => boolean = isRunning): (Entry & { what: Phase }) | undefined {
        const last = this.entries().at(-1);
        if (!last || !isPhase(last)) return undefined;
        const { from, to, at, process: one } = last;
        if (one.host === this.me.host && one.pid !== this.me.pid && isAlive(one.pid))
            throw new Error(
                `An update from ${from} to ${to} is under way (process ${one.pid}, since ${at}). Fix: wait for it; if process ${one.pid} is another program by now (ps -p ${one.pid}), take the last line out of ${this.file}.`,
            );
        return last;
    }

    /** How such a step ended the last time, where it did not end well: this version from another one, or these very images alone. */
    lastBad({ from, to, images }: Step): Entry | undefined {
        const isSame = (one: Step) => one.to === to && (from === to ? one.from === to && pinsOf(one.images) === pinsOf(images) : one.from !== to);
        const last = this.entries()
            .filter((entry) => ["updated", "rolled back", "failed"].includes(entry.what) && isSame(entry))
            .at(-1);
        return last?.what === "updated" ? undefined : last;
    }

    /** The machine that an update was begun on, where it is another: whether it still runs cannot be asked from here. */
    elsewhere({ process: { host } }: Entry): string | undefined {
        return host === this.me.host ? undefined : host;
    }

    private text(): string {
        return existsSync(this.file) ? readFileSync(this.file, "utf8") : "";
    }
}

const pinsOf = (images: ImageChange[] = []) => images.map(({ name, to }) => `${name} ${to}`).join();

const isPhase = (entry: Entry): entry is Entry & { what: Phase } => entry.what === "begun" || entry.what === "going back";

/** What the operator asks for now. */
export interface Wish extends Pins {
    version?: string;
}

/** Why an update that was cut short is not gone on with; undefined, where it is. */
export function whyGivenUp({ from, to, images = [] }: Step, running: string, { version, ...pins }: Wish): string | undefined {
    if (version !== undefined && version !== to) return `--version asks for ${version}`;
    const other = Object.entries(pins).find(([name, tag]) => !images.some((image) => image.name === name && tagOf(image.to) === tag));
    if (other) return `--${other.join(" asks for ")}`;
    return running === from || running === to ? undefined : `${running} runs by now`;
}

/** Nothing, where a power cut left a line half. */
function parsed(line: string): Entry[] {
    try {
        return [JSON.parse(line) as Entry];
    } catch {
        return [];
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
