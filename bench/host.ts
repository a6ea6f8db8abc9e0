import { spawnSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import type * as auto from "@pulumi/pulumi/automation";
import { docker } from "../operate/health";
import { Rehearsal, hostName, startRehearsal, stopRehearsal } from "../operate/rehearsal";
import { readStackFile } from "../operate/stackFile";
import { WORK } from "../operate/workspace";
import { type Log } from "../test/rig/images/run";
import { build } from "../test/rig/engine/build";
import type { Graph } from "./graph";
import { readRounds } from "./report";

/** Folder of the benches' rehearsal. */
export const DIRECTORY = path.join(WORK, "rehearsal-bench");
const COMPOSE_FILE = path.join(DIRECTORY, "compose.json");

/** Builds docker compose, the reference. Answers its path. */
const buildCompose = (log: Log): Promise<string> =>
    build(
        {
            file: "docker-compose",
            folder: path.join(__dirname, "compose"),
            package: "github.com/docker/compose/v2/cmd",
            variables: { "github.com/docker/compose/v2/internal.Version": "v2.40.3" },
            takes: "1-3 minutes",
        },
        log,
    );

/** What a bench measures with. */
export interface Place {
    rehearsal: Rehearsal;
    compose: Compose;
    rounds: number;
}

/** Runs a bench beside docker compose on a rehearsal's host of its own, and writes what it answers to a file of this folder, and to the terminal. */
export async function bench(help: string, stack: string, file: string, measure: (place: Place) => Promise<string>): Promise<void> {
    const rounds = readRounds(help);
    if (rounds === undefined) return;
    const rehearsal = await startRehearsal(hostName(stack), DIRECTORY, console.log);
    const compose = new Compose(await buildCompose(console.log), rehearsal.host.dockerHost);
    try {
        const text = await measure({ rehearsal, compose, rounds });
        writeFileSync(path.join(__dirname, file), text);
        console.log(`\n${text}`);
    } finally {
        compose.forget();
        await stopRehearsal(rehearsal.name, DIRECTORY);
    }
}

/** Runs docker compose on a Docker host, with a file that holds secrets. */
export class Compose {
    constructor(
        private readonly program: string,
        private readonly dockerHost: string,
    ) {}

    write(file: unknown): void {
        writeFileSync(COMPOSE_FILE, JSON.stringify(file), { mode: 0o600 });
    }

    run(...args: string[]): void {
        const env = { ...process.env, DOCKER_HOST: this.dockerHost };
        const { status, stderr } = spawnSync(this.program, ["--file", COMPOSE_FILE, ...args], { env, encoding: "utf8" });
        if (status !== 0) throw new Error(`docker compose ${args[0]}: ${stderr}`);
    }

    forget(): void {
        rmSync(COMPOSE_FILE, { force: true });
    }
}

/** Data as before a first `up`: volumes that belong to their user and hold nothing. Keys and routes stay for those who cannot make them. */
export function empty({ data }: Graph, dockerHost: string): void {
    removeContainers(dockerHost);
    for (const { volume, image, user } of data) {
        docker(["volume", "rm", volume], dockerHost);
        docker(["run", "--rm", "-u", "0:0", "-v", `${volume}:/place`, "--entrypoint", "/bin/sh", image, "-c", `chown ${user}: /place`], dockerHost);
    }
}

/** Removes every container, network and volume of the host. */
export function wipe(dockerHost: string): void {
    removeContainers(dockerHost);
    const volumes = list(dockerHost, "volume", "ls", "-q");
    if (volumes.length > 0) docker(["volume", "rm", ...volumes], dockerHost);
}

function removeContainers(dockerHost: string): void {
    const containers = list(dockerHost, "ps", "-aq");
    if (containers.length > 0) docker(["rm", "-f", ...containers], dockerHost);
    // Docker may say for a moment that a container which is gone still has its address, and prune then passes over the network.
    const networks = () => list(dockerHost, "network", "ls", "-q", "--filter", "type=custom");
    for (let tries = 0; tries < 50 && networks().length > 0; tries++) docker(["network", "prune", "-f"], dockerHost);
    if (networks().length > 0) throw new Error(`A network of the run before is still there: ${networks().join(", ")}.`);
}

const list = (dockerHost: string, ...args: string[]) => docker(args, dockerHost).split("\n").filter(Boolean);

/** The dev stack of the repository, on the rehearsal's Docker host. */
export function loadConfig({ overlay }: Rehearsal): Record<string, unknown> {
    const config = readStackFile("dev").config ?? {};
    return { ...config, ...overlay, "forwardemail:network": { portOffset: 10000, bindAddress: "0.0.0.0" } };
}

/** Removes a stack's state; what it declared is wiped by hand. A bench that was killed has left a lock. */
export async function forget(stack: auto.Stack): Promise<void> {
    await stack.cancel();
    await stack.workspace.removeStack(stack.name, { force: true });
}

export function mustBe(ok: boolean): void {
    if (!ok) throw new Error("The deployment did not become healthy: a figure of it would mean nothing.");
}

export function machineOf({ host }: Rehearsal): string {
    const version = docker(["version", "--format", "{{.Server.Version}}"], host.dockerHost).trim();
    const [{ model }] = os.cpus();
    return `${os.cpus().length} cores (${model}), ${Math.round(os.totalmem() / 2 ** 30)} GiB of memory, Docker ${version}, Node.js ${process.versions.node}`;
}
