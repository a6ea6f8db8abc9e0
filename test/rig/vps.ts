import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import * as net from "node:net";
import * as path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import type { RigHost } from "./host";
import { type Log, run } from "./images/run";
import { aptFiles, startProxy } from "./vps/apt";
import { serverImage } from "./vps/image";
import { serverNetwork } from "./vps/network";
import { privileges } from "./vps/privileges";
import { setUp } from "./vps/set-up";

/** A bare Debian server with systemd and sshd, to deploy to as to a rented one. It is a container of a host's engine. */
export interface Vps {
    name: string;
    address4: string;
    address6: string;
    /** `ssh-ed25519 AAAA…`; `changeHostKey` changes it. */
    hostKey: string;
    /** root; the user `admin` has the same key, and sudo without a password. */
    user: string;
    /** Its private key. */
    keyFile: string;
    /** Runs a Bash script as root, not over SSH: for what only the test wants to know. Answers its standard output. */
    run(script: string): string;
    /** The data stays; what the set-up started by hand does not. */
    reboot(): Promise<void>;
    /** As after a reinstallation. Answers the new key. */
    changeHostKey(): Promise<string>;
}

export interface VpsArgs {
    name: string;
    /** Keeps its key and logs; may be shared. */
    dir: string;
    /** Docker is installed already. */
    docker?: boolean;
    log: Log;
}

const label = "forwardemail-rig.server";
const hostKeyFile = "/etc/ssh/ssh_host_ed25519_key";
const volumeOf = (name: string) => `${name}-docker`;
/** A disk of its own, as a provider rents one: another server of this name gets it. */
const diskOf = (name: string) => `${name}-disk`;
const dockerOf = (host: RigHost, argv: string[]) => run("docker", argv, { env: { DOCKER_HOST: host.dockerHost } });

/** Starts the server, or answers the one that runs. */
export async function startVps(host: RigHost, { name, dir, docker = false, log }: VpsArgs): Promise<Vps> {
    const directory = path.resolve(dir, name);
    const keyFile = path.join(directory, "key");
    fs.mkdirSync(directory, { recursive: true });
    if (!fs.existsSync(keyFile)) await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "rig", "-f", keyFile]);
    const network = await serverNetwork(host);
    await startProxy(host, path.resolve(dir));

    const numbers = await numbersOf(host);
    const number = numbers.get(name) ?? freeNumber([...numbers.values()]);
    const address = host.servers.address(number);
    if (!numbers.has(name)) {
        const image = await serverImage(host.dockerHost, docker, log);
        log(`vps ${name}: creating`);
        const resolver = path.join(directory, "resolv.conf");
        // Docker's own resolver is out of reach for containers on the server. This one answers if a test makes one answer.
        fs.writeFileSync(resolver, `nameserver ${host.outside4}\n`);
        await dockerOf(host, [
            ...["create", "--name", name, "--hostname", name, "--label", `${label}=${number}`, "--restart", "unless-stopped"],
            ...["--network", network, "--ip", address.address4, "--ip6", address.address6, "--volume", `${resolver}:/etc/resolv.conf`],
            ...["--volume", `${volumeOf(name)}:/var/lib/docker`, "--volume", `${diskOf(name)}:/srv`, ...privileges()],
            image,
        ]);
    }
    await dockerOf(host, ["start", name]);
    const runScript = (script: string) =>
        execFileSync("docker", ["exec", name, "bash", "-ec", script], {
            encoding: "utf8",
            env: { ...process.env, DOCKER_HOST: host.dockerHost },
            stdio: ["ignore", "pipe", "pipe"],
            maxBuffer: 64 << 20,
        });
    const booted = () => ready(name, address.address4, runScript);
    const readHostKey = () => runScript(`cut -d' ' -f1,2 ${hostKeyFile}.pub`).trim();
    await booted();
    await setUp(host, runScript, fs.readFileSync(`${keyFile}.pub`, "utf8"), await aptFiles(host));
    log(`vps ${name}: ${address.address4}, ${address.address6}`);
    const vps: Vps = {
        name,
        ...address,
        hostKey: readHostKey(),
        user: "root",
        keyFile,
        run: runScript,
        async reboot() {
            await dockerOf(host, ["restart", "--time", "60", name]);
            await booted();
        },
        async changeHostKey() {
            runScript(`rm /etc/ssh/ssh_host_*; ssh-keygen -A; systemctl restart ssh`);
            await booted();
            return (vps.hostKey = readHostKey());
        },
    };
    return vps;
}

/** Gives the server back to its provider; the disk only if it is asked for. The key stays. */
export async function removeVps(host: RigHost, name: string, { disk = false }: { disk?: boolean } = {}): Promise<void> {
    if ((await numbersOf(host)).has(name)) {
        await dockerOf(host, ["stop", "--time", "60", name]);
        await dockerOf(host, ["rm", "--force", "--volumes", name]);
    }
    for (const volume of [volumeOf(name), ...(disk ? [diskOf(name)] : [])]) await dockerOf(host, ["volume", "rm", "--force", volume]);
}

/** Servers by name, running or not, with the number that their addresses end with. */
async function numbersOf(host: RigHost): Promise<Map<string, number>> {
    const lines = await dockerOf(host, ["ps", "--all", "--filter", `label=${label}`, "--format", `{{.Names}} {{.Label "${label}"}}`]);
    const rows = lines.trim().split("\n").filter(Boolean);
    return new Map(rows.map((line) => line.split(" ")).map(([name, number]) => [name, Number(number)]));
}

function freeNumber(taken: number[]): number {
    for (let number = 2; number < 15; number++) if (!taken.includes(number)) return number;
    throw new Error("A host has addresses for 13 servers, and all are taken: remove one with removeVps.");
}

/** Waits until systemd has started everything and sshd answers. */
async function ready(name: string, address: string, runScript: Vps["run"]): Promise<void> {
    let state = "";
    for (const until = Date.now() + 90_000; Date.now() < until; await sleep(300)) {
        try {
            state = runScript("systemctl is-system-running || true").trim();
            if (/^(running|degraded)$/.test(state) && (await greets(address))) return;
        } catch (error) {
            state = (error as Error).message;
        }
    }
    throw new Error(`${name} is not up after 90 s. systemd: ${state || "no answer"}; sshd: ${(await greets(address)) ? "answers" : "no answer"}`);
}

function greets(host: string): Promise<boolean> {
    return new Promise((resolve) => {
        const socket = net.connect({ host, port: 22, timeout: 2000 });
        const end = (answer: boolean) => {
            socket.destroy();
            resolve(answer);
        };
        socket.on("data", (data) => end(data.toString().startsWith("SSH-")));
        for (const event of ["error", "timeout", "end"]) socket.on(event, () => end(false));
    });
}
