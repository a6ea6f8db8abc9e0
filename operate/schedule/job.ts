import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { homedir } from "node:os";
import * as path from "node:path";

/** What is to run every night. */
export interface Job {
    /** Of the units, or of the lines in the crontab: one a stack. */
    name: string;
    stack: string;
    /** Hour and minute, `01:00`. */
    at: string;
    /** IANA name. @default the machine's own */
    timeZone?: string;
    /** Whether the version that runs is committed. */
    commit: boolean;
    /** File of variables, by its absolute path. */
    environment?: string;
    /** Folder of Pulumi.yaml. */
    checkout: string;
    /** Id of the user that it runs as: for root, whoever owns the checkout, so that no file in it becomes root's. */
    user: number;
    /** PATH: a timer has not that of a shell. */
    path: string;
}

export interface Answer {
    /** Exit status; undefined, where there is no such program. */
    status: number | undefined;
    stdout: string;
    stderr: string;
}

/** The machine that holds the stack; tests put another in its place. */
export interface Host {
    hasSystemd: boolean;
    isMac: boolean;
    /** Id of the user that asks. */
    user: number;
    /** Where units of this user are. */
    units: string;
    run(program: string, args: string[], input?: string): Answer;
}

/** What keeps the time: systemd, or cron. */
export interface Scheduler {
    kind: string;
    /** True, where something was changed. */
    install(job: Job): boolean;
    /** False, where there was nothing. */
    remove(name: string): boolean;
    find(name: string): Found | undefined;
    /** What else whoever installs it should know. */
    hints(): string[];
}

/** What is installed. */
export interface Found {
    checkout: string;
    /** When it runs, as it was asked for. */
    when: string;
    /** When it runs next. */
    next: string;
    /** How it ended, where the night itself could not tell. */
    trouble?: string;
    /** Command that shows what it said. */
    log: string;
}

export function thisHost(): Host {
    const user = process.getuid?.() ?? 0;
    const config = process.env.XDG_CONFIG_HOME ?? path.join(homedir(), ".config");
    return {
        hasSystemd: existsSync("/run/systemd/system"),
        isMac: process.platform === "darwin",
        user,
        units: user === 0 ? "/etc/systemd/system" : path.join(config, "systemd/user"),
        run(program, args, input) {
            const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: "utf8", input: input ?? "" });
            return { status: error ? undefined : (status ?? 1), stdout: stdout ?? "", stderr: stderr ?? "" };
        },
    };
}

export const ownerOf = (host: Host, checkout: string) => (host.user === 0 ? statSync(checkout).uid : host.user);

/** Where Node.js and Pulumi are, and what every system has. */
export function pathOf(node = process.execPath, searched = process.env.PATH ?? ""): string {
    // npm puts folders of this very checkout in front.
    const own = searched.split(path.delimiter).filter((folder) => path.isAbsolute(folder) && !folder.includes("node_modules"));
    const pulumi = own.find((folder) => existsSync(path.join(folder, "pulumi")));
    const all = [path.dirname(node), ...(pulumi ? [pulumi] : []), ...STANDARD];
    return [...new Set(all)].join(":");
}

const STANDARD = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/** The arguments of `operate/run.sh` for a night. */
export const nightOf = ({ stack, commit }: Job) => ["schedule", "run", "--stack", stack, ...(commit ? ["--commit"] : [])];

/**
 * systemd, cron and the shell would each read these characters in a way of its own.
 * @throws Error
 */
export function mustBePlain(what: string, text: string): void {
    if (!/^[\p{L}\p{N}_/.:@+, =~-]+$/u.test(text) || text !== text.trim())
        throw new Error(
            `${what}: got ${JSON.stringify(text)}, wanted letters, digits, spaces and / . : @ + , = ~ _ - alone. Fix: move it to another folder.`,
        );
}
