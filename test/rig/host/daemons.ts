import { spawn } from "node:child_process";
import * as fs from "node:fs";
import * as http from "node:http";
import * as path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { enter } from "./network";

export interface Daemon {
    program: string;
    argv: string[];
    /** Added to this process's own environment. */
    env?: Record<string, string>;
    /** Programs that must not be left from an earlier start. */
    processes: string[];
    /** Left out: the machine's own. */
    namespace?: string;
    logFile: string;
    /** Writes its configuration. */
    prepare(): void;
    /** Says whether it serves. */
    ready(): Promise<boolean>;
}

const programs = ["dockerd", "containerd", "containerd-shim-runc-v2", "docker-registry", "named", "node", "pebble", "s3-proxy", "versitygw"];

/** Processes of a host: its programs, started with a file below its own run directory. Unlike a pid file, never stale. */
export function processesOf(runDir: string, names = programs): number[] {
    return fs
        .readdirSync("/proc")
        .map(Number)
        .filter((pid) => {
            const [program, ...argv] = commandOf(pid);
            return names.includes(path.basename(program)) && argv.some((arg) => arg.includes(`${runDir}/`));
        });
}

function commandOf(pid: number): string[] {
    try {
        return fs.readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    } catch {
        return [""]; // no process, or it has just ended
    }
}

/** Starts a daemon that outlives this process and waits until it serves. */
export async function start(daemon: Daemon, seconds: number): Promise<void> {
    daemon.prepare();
    const log = fs.openSync(daemon.logFile, "a");
    const command = [daemon.program, ...daemon.argv];
    const [program, ...argv] = daemon.namespace ? enter(daemon.namespace, command) : command;
    const child = spawn(program, argv, { detached: true, env: { ...process.env, ...daemon.env }, stdio: ["ignore", log, log] });
    fs.closeSync(log);
    child.unref();
    let ended = "";
    child.on("error", (error) => (ended = error.message));
    child.on("exit", (code, signal) => (ended = `it ended with ${code ?? signal}`));
    for (const until = Date.now() + seconds * 1000; Date.now() < until && !ended; await sleep(100)) {
        if (await daemon.ready()) return;
    }
    const tail = fs.readFileSync(daemon.logFile, "utf8").trimEnd().split("\n").slice(-15).join("\n");
    throw new Error(`${daemon.program} does not serve: ${ended || `no answer for ${seconds} s`}. The end of ${daemon.logFile}:\n${tail}`);
}

/** Whether a server answers a path with 200. */
export function serves(socketPath: string, path: string): Promise<boolean> {
    return new Promise((resolve) => {
        const request = http.get({ socketPath, path, timeout: 2000 }, (response) => {
            response.resume();
            resolve(response.statusCode === 200);
        });
        request.on("timeout", () => request.destroy());
        request.on("error", () => resolve(false));
    });
}

/** Ends processes politely, and by force after a time. */
export async function stop(find: () => number[], seconds: number): Promise<void> {
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
        for (const pid of find()) kill(pid, signal);
        for (const until = Date.now() + seconds * 1000; find().length > 0 && Date.now() < until;) await sleep(100);
    }
}

function kill(pid: number, signal: NodeJS.Signals): void {
    try {
        process.kill(pid, signal);
    } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
}
