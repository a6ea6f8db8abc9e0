import * as fs from "node:fs";
import * as path from "node:path";

import type { RigHost } from "./host";
import { type Daemon, processesOf, start, stop } from "./host/daemons";
import { networkOf } from "./host/network";

/** Where files of a host's programs are: `stopHost` ends those that were started with a file of it. */
export const runDirOf = (host: RigHost): string => path.dirname(host.dockerHost.replace("unix://", ""));

/** Starts a program on the internet, in place of the one that runs there. It outlives this process; `stopHost` ends it. */
export async function startOutside(host: RigHost, daemon: Omit<Daemon, "namespace" | "processes">): Promise<void> {
    const name = path.basename(daemon.program);
    await stopOutside(host, name);
    await start({ ...daemon, processes: [name], namespace: networkOf(path.basename(runDirOf(host))).outside }, 20);
}

/** The path of a program under a name of its own, by which it is found when it is to be stopped. */
export function named(dir: string, name: string, program: string): string {
    const link = path.resolve(dir, name);
    fs.rmSync(link, { force: true });
    fs.symlinkSync(program, link);
    return link;
}

/** Ends a program that `startOutside` started. */
export const stopOutside = (host: RigHost, name: string): Promise<void> => stop(() => processesOf(runDirOf(host), [name]), 10);
