import * as fs from "node:fs";
import * as path from "node:path";

import type { RigHost } from "./host";
import { run } from "./images/run";
import { type Disk } from "./vps/disks";
import { dockerOf, type Machine, type MachineArgs, ready, removeMachine, startMachine } from "./vps/machine";
import { authorize } from "./vps/set-up";

/** A bare Debian server with systemd and sshd, to deploy to as to a rented one. */
export interface Vps extends Machine {
    /** `ssh-ed25519 AAAA…`; `changeHostKey` changes it. */
    hostKey: string;
    /** root; the user `admin` has the same key, and sudo without a password. */
    user: string;
    /** Its private key. */
    keyFile: string;
    /** As after a reinstallation. Answers the new key. */
    changeHostKey(): Promise<string>;
}

export interface VpsArgs extends Pick<MachineArgs, "name" | "release" | "dir" | "docker" | "log"> {
    /** Bytes of a second disk that nobody has formatted: /dev/disk/by-id/scsi-0RIG_Volume_1. */
    blankDisk?: number;
}

const hostKeyFile = "/etc/ssh/ssh_host_ed25519_key";
/** Disks of its own, as a provider rents them: another server of this name gets them. */
const diskOf = (name: string) => `${name}-disk`;
const blankDiskOf = (name: string) => `${name}-blank`;

/** Starts the server, or answers the one that runs. */
export async function startVps(host: RigHost, { name, release, dir, docker, blankDisk, log }: VpsArgs): Promise<Vps> {
    const directory = path.resolve(dir, name);
    const keyFile = path.join(directory, "key");
    fs.mkdirSync(directory, { recursive: true });
    if (!fs.existsSync(keyFile)) await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "rig", "-f", keyFile]);
    const disks = blankDisk === undefined ? [] : [await rentDisk(host, name, blankDisk)];
    const machine = await startMachine(host, { name, release, dir, docker, volumes: { [diskOf(name)]: "/srv" }, disks, log });
    authorize(machine.run, ["admin", "root"], fs.readFileSync(`${keyFile}.pub`, "utf8"));
    const readHostKey = () => machine.run(`cut -d' ' -f1,2 ${hostKeyFile}.pub`).trim();
    const vps: Vps = {
        ...machine,
        hostKey: readHostKey(),
        user: "root",
        keyFile,
        async changeHostKey() {
            machine.run(`rm /etc/ssh/ssh_host_*; ssh-keygen -A; systemctl restart ssh`);
            await ready(machine);
            return (vps.hostKey = readHostKey());
        },
    };
    return vps;
}

/** Gives the server back to its provider; the disks only if it is asked for. The key stays. */
export async function removeVps(host: RigHost, name: string, { disk = false }: { disk?: boolean } = {}): Promise<void> {
    await removeMachine(host, name, disk ? [diskOf(name), blankDiskOf(name)] : []);
}

/** The blank disk of servers of this name, in a volume of the host's engine so that it lives as long as the other one. */
async function rentDisk(host: RigHost, name: string, size: number): Promise<Disk> {
    await dockerOf(host, ["volume", "create", blankDiskOf(name)]);
    const folder = (await dockerOf(host, ["volume", "inspect", "--format", "{{.Mountpoint}}", blankDiskOf(name)])).trim();
    const file = path.join(folder, "disk");
    if (!fs.existsSync(file)) fs.writeFileSync(file, "");
    fs.truncateSync(file, size);
    return { id: "scsi-0RIG_Volume_1", file };
}
