import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import type { RigHost } from "../host";
import { type Release, RELEASE } from "../images/debian";
import { type Log, run } from "../images/run";
import { aptFiles, startProxy } from "./apt";
import { connectDisks, type Disk, disksConf, releaseDisks } from "./disks";
import { serverImage } from "./image";
import { serverNetwork } from "./network";
import { privileges } from "./privileges";
import { setUp } from "./set-up";

/** A Debian server with systemd and sshd, that nobody was let into yet. It is a container of a host's engine. */
export interface Machine {
    name: string;
    address4: string;
    address6: string;
    /** Keeps what belongs to it on this machine. */
    directory: string;
    /** Runs a Bash script as root, not over SSH: for what only the test wants to know. Answers its standard output. */
    run(script: string): string;
    /** The data stays; what the set-up started by hand does not. */
    reboot(): Promise<void>;
}

export interface MachineArgs {
    name: string;
    /** @default bookworm */
    release?: Release;
    /** Keeps its logs; may be shared. */
    dir: string;
    /** Docker is installed already. */
    docker?: boolean;
    /** Its addresses end with it; the first that is free where left out. */
    number?: number;
    /** Where volumes of the host's engine are mounted. */
    volumes?: Record<string, string>;
    /** Disks beside those that are attached already. */
    disks?: Disk[];
    /** A folder whose content is copied to / before the machine starts for the first time. */
    seed?: string;
    log: Log;
}

const label = "forwardemail-rig.server";
const directoryLabel = "forwardemail-rig.directory";
const volumeOf = (name: string) => `${name}-docker`;

/** Runs the `docker` command on the host's engine. */
export const dockerOf = (host: RigHost, argv: string[]) => run("docker", argv, { env: { DOCKER_HOST: host.dockerHost } });

/** Starts the machine, or answers the one that runs; its disks are there before it looks for them. */
export async function startMachine(host: RigHost, args: MachineArgs): Promise<Machine> {
    const { name, dir, log, disks = [] } = args;
    const directory = path.resolve(dir, name);
    fs.mkdirSync(directory, { recursive: true });
    const network = await serverNetwork(host);
    await startProxy(host, path.resolve(dir));

    const numbers = await numbersOf(host);
    const number = numbers.get(name) ?? args.number ?? freeNumber([...numbers.values()]);
    const machine = machineOf(host, name, directory, number);
    const added = await connectDisks(directory, disks);
    if (!numbers.has(name)) await create(host, network, machine, number, args);
    else if (added) await dockerOf(host, ["stop", "--time", "60", name]); // it started without them, with the host
    await dockerOf(host, ["start", name]);
    await ready(machine);
    await setUp(host, machine.run, await aptFiles(host, args.release ?? RELEASE));
    log(`vps ${name}: ${machine.address4}, ${machine.address6}`);
    return machine;
}

async function create(host: RigHost, network: string, machine: Machine, number: number, args: MachineArgs): Promise<void> {
    const { name, directory, address4, address6 } = machine;
    const image = await serverImage(host.dockerHost, args.release ?? RELEASE, args.docker ?? false, args.log);
    args.log(`vps ${name}: creating`);
    const resolver = path.join(directory, "resolv.conf");
    // Docker's own resolver is out of reach for containers on the server. This one answers if a test makes one answer.
    fs.writeFileSync(resolver, `nameserver ${host.outside4}\n`);
    const volumes = { [resolver]: "/etc/resolv.conf", ...disksConf(directory), [volumeOf(name)]: "/var/lib/docker", ...args.volumes };
    await dockerOf(host, [
        ...["create", "--name", name, "--hostname", name, "--restart", "unless-stopped"],
        ...["--label", `${label}=${number}`, "--label", `${directoryLabel}=${directory}`],
        ...["--network", network, "--ip", address4, "--ip6", address6],
        ...Object.entries(volumes).flatMap(([source, target]) => ["--volume", `${source}:${target}`]),
        ...privileges(),
        image,
    ]);
    if (args.seed) await dockerOf(host, ["cp", `${args.seed}/.`, `${name}:/`]);
}

/** A machine that is there, running or not. */
export async function findMachine(host: RigHost, name: string): Promise<Machine> {
    const number = (await numbersOf(host)).get(name);
    if (number === undefined) throw new Error(`There is no server ${name} on this host.`);
    return machineOf(host, name, await directoryOf(host, name), number);
}

function machineOf(host: RigHost, name: string, directory: string, number: number): Machine {
    const machine: Machine = {
        name,
        ...host.servers.address(number),
        directory,
        run: (script) =>
            execFileSync("docker", ["exec", name, "bash", "-ec", script], {
                encoding: "utf8",
                env: { ...process.env, DOCKER_HOST: host.dockerHost },
                stdio: ["ignore", "pipe", "pipe"],
                maxBuffer: 64 << 20,
            }),
        async reboot() {
            await dockerOf(host, ["restart", "--time", "60", name]);
            await ready(machine);
        },
    };
    return machine;
}

const directoryOf = async (host: RigHost, name: string) =>
    (await dockerOf(host, ["inspect", "--format", `{{index .Config.Labels "${directoryLabel}"}}`, name])).trim();

/** Shuts the machine down, until somebody starts it. */
export async function stopMachine(host: RigHost, name: string): Promise<void> {
    await dockerOf(host, ["stop", "--time", "60", name]);
}

/** Gives the machine back to its provider: what it is made of, and the named volumes. Disks of its own are let go. */
export async function removeMachine(host: RigHost, name: string, volumes: string[] = []): Promise<void> {
    if ((await numbersOf(host)).has(name)) {
        const directory = await directoryOf(host, name);
        await stopMachine(host, name);
        await dockerOf(host, ["rm", "--force", "--volumes", name]);
        await releaseDisks(directory);
    }
    for (const volume of [volumeOf(name), ...volumes]) await dockerOf(host, ["volume", "rm", "--force", volume]);
}

/** Machines by name, running or not, with the number that their addresses end with. */
export async function numbersOf(host: RigHost): Promise<Map<string, number>> {
    const lines = await dockerOf(host, ["ps", "--all", "--filter", `label=${label}`, "--format", `{{.Names}} {{.Label "${label}"}}`]);
    const rows = lines.trim().split("\n").filter(Boolean);
    return new Map(rows.map((line) => line.split(" ")).map(([name, number]) => [name, Number(number)]));
}

/** The numbers from 10 on are for addresses that move between servers. */
export function freeNumber(taken: number[]): number {
    for (let number = 2; number < 10; number++) if (!taken.includes(number)) return number;
    throw new Error("A host has addresses for 8 servers, and all are taken: remove one with removeVps.");
}

/** Waits until systemd has started everything and sshd answers, also where nobody outside may ask it. */
export async function ready(machine: Machine): Promise<void> {
    let state = "";
    for (const until = Date.now() + 90_000; Date.now() < until; await sleep(300)) {
        try {
            state = machine.run("systemctl is-system-running || true; timeout 2 head -c 4 </dev/tcp/127.0.0.1/22 || true");
            if (/^(running|degraded)\s+SSH-$/.test(state.trim())) return;
        } catch (error) {
            state = (error as Error).message;
        }
    }
    throw new Error(`${machine.name} is not up after 90 s. systemd and sshd: ${state || "no answer"}`);
}
