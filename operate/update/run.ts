import type { Session } from "../session";
import type { Command } from "./core";
import type { Journal, Outcome, Step } from "./journal";

/** What the operator said. */
export interface Options {
    stack: string;
    version?: string;
    mongodb?: string;
    redis?: string;
    "mongodb-features"?: boolean;
    yes?: boolean;
    force?: boolean;
    "without-set"?: boolean;
    unlock?: boolean;
    json?: boolean;
    rehearse?: boolean;
}

/** What a run ends with. */
export type Result = Pick<Step, "from" | "to" | "set" | "images"> & { outcome: Outcome | "nothing to do"; error?: string };

/** What the parts of a run share. */
export interface Run {
    options: Options;
    session: Session;
    journal: Journal;
    command: Command;
    log(line: string): void;
}
