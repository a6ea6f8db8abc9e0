import * as fs from "node:fs";
import * as path from "node:path";

import { type Daemon, processesOf, serves, start, stop } from "./host/daemons";
import { enter, hasNetwork, type HostNetwork, makeNetwork, networkOf, removeNetwork, runIn } from "./host/network";
import { needTools } from "./host/tools";
import { type Log, run } from "./images/run";
import { disconnect, disksBelow } from "./vps/disks";

/** A Docker host of the rehearsal's own: it has every port to itself, and the machine's own Docker is left alone. */
export interface RigHost extends Omit<HostNetwork, "inside" | "outside"> {
    /** `unix://…`; reachable from the machine. */
    dockerHost: string;
    /** The registry as the host's own engine sees it. */
    registry: string;
    /** The command that runs `argv` on the host. */
    inside(argv: string[]): string[];
    /** The command that runs `argv` on the internet: a client with the addresses `outside4` and `outside6`. */
    outside(argv: string[]): string[];
}

export interface HostArgs {
    /** Names the namespaces NAME and NAME-out: lower-case letters, digits and hyphens. */
    name: string;
    /** Keeps images, volumes, the registry and logs. */
    dir: string;
}

const registry = "127.0.0.1:5000";

/** Sockets live here because their paths may only have 107 characters, and `dir` may be anywhere. */
const runDirOf = (name: string) => `/run/forwardemail-rig/${name}`;

/** Starts the host, or answers the one that runs; what an earlier crash left over is cleaned away first. */
export async function startHost({ name, dir, log }: HostArgs & { log: Log }): Promise<RigHost> {
    if (!/^[a-z][a-z0-9-]{0,30}$/.test(name)) throw new Error(`A host's name has lower-case letters, digits and hyphens, not "${name}".`);
    await needTools(log);
    const runDir = runDirOf(name);
    if (!(await hasNetwork(name))) {
        await stopHost({ name, dir });
        await makeNetwork(name);
    }
    for (const directory of [dir, runDir]) fs.mkdirSync(directory, { recursive: true });
    for (const daemon of [docker(name, dir), imageRegistry(name, dir)]) {
        if (await daemon.ready()) continue;
        log(`host ${name}: starting ${daemon.program}`);
        await stop(() => processesOf(runDir, daemon.processes), 20);
        await start(daemon, 60);
    }
    const { inside, outside, ...addresses } = networkOf(name);
    return {
        ...addresses,
        dockerHost: `unix://${runDir}/docker.sock`,
        registry,
        inside: (argv) => enter(inside, argv),
        outside: (argv) => enter(outside, argv),
    };
}

/** Stops what `startHost` started. Images, volumes and the registry stay in `dir`, unless it is to be purged. */
export async function stopHost({ name, dir, purge = false }: HostArgs & { purge?: boolean }): Promise<void> {
    const runDir = runDirOf(name);
    // Containers of an engine that was killed live on; only a new engine knows how to end them.
    const orphaned = processesOf(runDir).length > 0 && processesOf(runDir, ["dockerd"]).length === 0;
    const disks = await disksBelow(dir); // asked now: the engine's own mount, by which the kernel names them, goes with it
    if (orphaned && (await hasNetwork(name))) await start(docker(name, dir), 60);
    await stop(() => processesOf(runDir, ["dockerd", "docker-registry"]), 30); // dockerd ends the others
    await stop(() => processesOf(runDir), 10);
    for (const disk of disks) await disconnect(disk);
    for (const mount of mountsBelow(dir, runDir)) await run("umount", ["--lazy", mount]);
    await removeNetwork(name);
    fs.rmSync(runDir, { recursive: true, force: true });
    if (purge) fs.rmSync(dir, { recursive: true, force: true });
}

/** Mount points below the directories, the deepest first. */
function mountsBelow(...directories: string[]): string[] {
    const points = fs
        .readFileSync("/proc/self/mounts", "utf8")
        .split("\n")
        .map((line) => line.split(" ")[1] ?? "");
    return points.filter((point) => directories.some((directory) => point.startsWith(`${path.resolve(directory)}/`))).reverse();
}

function docker(name: string, dir: string): Daemon {
    const runDir = runDirOf(name);
    const socketPath = `${runDir}/docker.sock`;
    const configFile = `${runDir}/docker.json`;
    return {
        program: "dockerd",
        processes: ["dockerd", "containerd"],
        argv: ["--config-file", configFile],
        namespace: networkOf(name).inside,
        logFile: path.join(dir, "docker.log"),
        prepare() {
            const pidfile = `${runDir}/docker.pid`;
            // dockerd waits for whatever process has the number of its last containerd now, be it a zombie or a stranger.
            for (const file of [pidfile, `${runDir}/exec/containerd/containerd.pid`]) fs.rmSync(file, { force: true });
            writeJson(configFile, {
                "data-root": path.resolve(dir, "docker"),
                "exec-root": `${runDir}/exec`,
                pidfile,
                hosts: [`unix://${socketPath}`],
                // IPv6 clients keep their address: needed below Docker 27, the default from there on.
                experimental: true,
                ip6tables: true,
                "userland-proxy": false,
            });
        },
        ready: () => serves(socketPath, "/_ping"),
    };
}

function imageRegistry(name: string, dir: string): Daemon {
    const namespace = networkOf(name).inside;
    const configFile = `${runDirOf(name)}/registry.json`;
    return {
        program: "docker-registry",
        processes: ["docker-registry"],
        argv: ["serve", configFile],
        namespace,
        logFile: path.join(dir, "registry.log"),
        prepare: () =>
            writeJson(configFile, {
                version: "0.1",
                log: { level: "warn" },
                storage: { filesystem: { rootdirectory: path.resolve(dir, "registry") }, delete: { enabled: true } },
                http: { addr: registry },
            }),
        ready: () =>
            runIn(namespace, ["bash", "-c", `exec 3<>/dev/tcp/${registry.replace(":", "/")}`]).then(
                () => true,
                () => false,
            ),
    };
}

function writeJson(file: string, value: unknown): void {
    fs.writeFileSync(file, JSON.stringify(value, null, 4));
}
