import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { awsConsole } from "../test/rig/aws/console";
import { buildEngine } from "../test/rig/engine/build";
import { isFree } from "../test/rig/forward";
import { RigHost, startHost, stopHost } from "../test/rig/host";
import { buildImages, fetchParts } from "../test/rig/images/build";
import { addMetrics, unbuiltMetrics } from "../test/rig/images/metrics";
import { obstacle } from "../test/rig/obstacle";
import { installProviders } from "../test/rig/providers/install";

/** The rehearsal's own Docker host with its registry, images and engine: everything that a stack needs but the program. */
export interface Rehearsal {
    name: string;
    directory: string;
    host: RigHost;
    /** Name of its one server in the config. */
    server: string;
    /** Config that makes a stack use it. */
    overlay: Record<string, unknown>;
    /** Environment of the engine. */
    env: Record<string, string>;
}

const SERVER = "main";

/** Name of a Docker host of a checkout: two checkouts on one machine do not share one. */
export function hostName(role: string, folder = __dirname): string {
    return `fe-${role}-${createHash("sha256").update(folder).digest("hex").slice(0, 4)}`;
}

/**
 * Starts (or finds running) what stands in for the world where registries and Pulumi's host cannot be reached: the real
 * engine and the real Docker provider built from public Go modules, a Docker daemon in a network namespace of its own,
 * a registry, stand-in images, and stand-ins for the providers that cannot be built.
 */
export async function startRehearsal(name: string, directory: string, log: (line: string) => void): Promise<Rehearsal> {
    const reason = obstacle();
    if (reason) throw new Error(`The rehearsal cannot run here: ${reason}.`);
    // The one waits for the network while the other compiles.
    const [engine] = await Promise.all([buildEngine(log), fetchParts(log)]);
    const providers = path.join(directory, "bin");
    await installProviders(providers);
    const host = await startHost({ name, dir: directory, log });
    await awsConsole({ host, directory }, log).restore();
    const lock = await buildImages({ dockerHost: host.dockerHost, registry: host.registry, mongod: path.join(engine, "mongod"), log });
    const lockFile = path.join(directory, "images.lock.json");
    writeFileSync(lockFile, `${JSON.stringify({ ...lock, ...unbuiltMetrics(host.registry) }, null, 4)}\n`);
    // The Automation API looks for the CLI on this process's own PATH.
    process.env.PATH = `${providers}:${engine}:${process.env.PATH}`;
    return {
        name,
        directory,
        host,
        server: SERVER,
        overlay: {
            "forwardemail:openFiles": 16384, // a machine inside a container may give no more
            "forwardemail:images": { lockFile },
            "forwardemail:servers": [{ name: SERVER, kind: "local", dockerHost: host.dockerHost }],
        },
        env: {
            PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
            // The stand-in AWS provider makes its instances on this host.
            FORWARDEMAIL_RIG: JSON.stringify({ name, dir: directory }),
        },
    };
}

/** Images of `metrics`, for a stack that has it: they take a while, and few ask for them. */
export async function withMetrics({ host, overlay }: Rehearsal, log: (line: string) => void): Promise<void> {
    const { lockFile } = overlay["forwardemail:images"] as { lockFile: string };
    await addMetrics({ dockerHost: host.dockerHost, registry: host.registry, log }, lockFile);
}

/** Ends the rehearsal's daemons; images, volumes and the registry stay in its folder. */
export async function stopRehearsal(name: string, directory: string): Promise<void> {
    stopForwarding(directory);
    await stopHost({ name, dir: directory });
}

/** Makes ports of the rehearsal's namespace reachable on this machine's loopback, by a process that outlives this one. */
export async function forwardToLoopback({ host, directory }: Rehearsal, ports: number[], log: (line: string) => void): Promise<void> {
    stopForwarding(directory);
    for (const port of ports)
        if (!(await eventuallyFree(port)))
            log(`  warning: 127.0.0.1:${port} is taken by another program. Fix: set network.portOffset; until then use ${host.address4}:${port}`);
    const pairs = ports.flatMap((port) => [`127.0.0.1:${port}`, `${host.address4}:${port}`]);
    const script = path.join(__dirname, "../test/rig/forward.ts");
    const child = spawn(process.execPath, ["--import", require.resolve("tsx"), script, ...pairs], {
        detached: true,
        stdio: ["ignore", "pipe", "ignore"],
    });
    writeFileSync(pidFile(directory), String(child.pid));
    // Its first word: it listens. Who is told an address may connect at once.
    await new Promise((resolve) => child.stdout.once("data", resolve).once("close", resolve));
    child.stdout.destroy();
    child.unref();
}

/** The forwarder that was just stopped may hold its ports for a moment. */
async function eventuallyFree(port: number): Promise<boolean> {
    for (let tries = 0; tries < 20; tries++) {
        if (await isFree({ host: "127.0.0.1", port })) return true;
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return false;
}

function stopForwarding(directory: string): void {
    if (!existsSync(pidFile(directory))) return;
    const pid = readFileSync(pidFile(directory), "utf8");
    // The number may be another process's by now: only one that runs forward.ts is ours.
    const commandLine = `/proc/${pid}/cmdline`;
    if (existsSync(commandLine) && readFileSync(commandLine, "utf8").includes("forward.ts")) process.kill(Number(pid));
    rmSync(pidFile(directory));
}

const pidFile = (directory: string) => path.join(directory, "forward.pid");
