import * as fs from "node:fs";
import * as path from "node:path";

import type { RigHost } from "../host";
import { type Log, run } from "../images/run";
import { attachDisk, detachDisk, type Disk, disconnect, disksBelow } from "../vps/disks";
import { findMachine, freeNumber, type Machine, numbersOf, removeMachine, startMachine, stopMachine } from "../vps/machine";
import { bridge, serverNetwork } from "../vps/network";
import type { Account } from "./account";
import { type CloudConfig, writeSeed } from "./cloud-init";
import { publicAddresses, ruleset } from "./firewall";
import type { Hardware } from "./hardware";

/** Where the account and what it is made of are, in the rig's directory. */
export const folderOf = (directory: string): string => path.resolve(directory, "aws");

/** Instances are servers of the rig's host, volumes are files, and public addresses are rules of the host's namespace. */
export function rigHardware(host: RigHost, directory: string, log: Log): Hardware {
    const folder = folderOf(directory);
    const servers = path.join(folder, "servers");
    const fileOf = (volumeId: string) => path.join(folder, "volumes", volumeId);
    const diskOf = (volumeId: string): Disk => ({
        id: `nvme-Amazon_Elastic_Block_Store_${volumeId.replace("-", "")}`,
        file: fileOf(volumeId),
    });
    return {
        address: (number) => host.servers.address(number).address4,
        freeNumber: async () => freeNumber([...(await numbersOf(host)).values()]),
        connect: (account) => connect(host, folder, account),
        async boot(name, number, config) {
            const seed = seedOf(servers, config);
            try {
                await start(host, { name, dir: servers, number, seed, log });
            } finally {
                fs.rmSync(seed, { recursive: true });
            }
        },
        reboot: async (id) => {
            const machine = await findMachine(host, id);
            await machine.reboot();
            withoutIpv6(machine);
        },
        stop: (id) => stopMachine(host, id),
        terminate: (id) => removeMachine(host, id),
        async makeVolume(id, size) {
            fs.mkdirSync(path.dirname(fileOf(id)), { recursive: true });
            fs.closeSync(fs.openSync(fileOf(id), "a"));
            fs.truncateSync(fileOf(id), size);
            const loop = (await run("losetup", ["--noheadings", "--output", "NAME", "--associated", fileOf(id)])).trim();
            if (loop) await run("losetup", ["--set-capacity", loop]);
        },
        async deleteVolume(id) {
            fs.rmSync(fileOf(id), { force: true });
        },
        attach: async (instanceId, id, running) => attachDisk(await findMachine(host, instanceId), diskOf(id), running),
        detach: async (instanceId, id, running) => detachDisk(await findMachine(host, instanceId), diskOf(id), running),
    };
}

function seedOf(servers: string, config: CloudConfig): string {
    fs.mkdirSync(servers, { recursive: true });
    const seed = fs.mkdtempSync(path.join(servers, ".seed-"));
    writeSeed(seed, config);
    return seed;
}

/** Starts an instance, or finds it running. */
async function start(host: RigHost, args: Parameters<typeof startMachine>[1]): Promise<void> {
    const machine = await startMachine(host, args);
    machine.run("chown -R admin: ~admin"); // the seed came as root's
    withoutIpv6(machine);
}

/** VPCs of the rig have IPv4 only, while its network gives every server an address of both kinds. */
const withoutIpv6 = (machine: Machine): string => machine.run("ip -6 address flush dev eth0 scope global");

/** Starts again what runs in the account, after the rig's host was stopped or its machine was off. */
export async function restore(host: RigHost, directory: string, account: Account, log: Log): Promise<void> {
    const dir = path.join(folderOf(directory), "servers");
    if (Object.keys(account.instances).length === 0) return;
    await connect(host, folderOf(directory), account);
    for (const [name, { state }] of Object.entries(account.instances)) if (state === "running") await start(host, { name, dir, log });
}

/** Removes the account with everything in it, also what a provider that was killed left over. */
export async function removeAll(host: RigHost, directory: string, account: Account): Promise<void> {
    const left = [...(await numbersOf(host)).keys()].filter((name) => /^i-[0-9a-f]{17}$/.test(name));
    for (const name of left) await removeMachine(host, name);
    await connect(host, folderOf(directory), { ...account, instances: {}, addressAssociations: {} });
    for (const disk of await disksBelow(folderOf(directory))) await disconnect(disk);
    fs.rmSync(folderOf(directory), { recursive: true, force: true });
}

async function connect(host: RigHost, folder: string, account: Account): Promise<void> {
    const inside = ([...argv]: string[]) => {
        const [program, ...rest] = host.inside(argv);
        return run(program, rest);
    };
    await serverNetwork(host);
    // The host answers for the addresses, or nobody on the servers' own network would find them.
    const wanted = publicAddresses(account, host.servers).map(({ publicIp }) => publicIp);
    const lines = (await inside(["ip", "-4", "-oneline", "address", "show", "dev", bridge])).split("\n");
    const present = lines.flatMap((line) => /inet (\S+)\/32 /.exec(line)?.[1] ?? []);
    for (const address of present.filter((one) => !wanted.includes(one))) await inside(["ip", "address", "delete", `${address}/32`, "dev", bridge]);
    for (const address of wanted.filter((one) => !present.includes(one))) await inside(["ip", "address", "add", `${address}/32`, "dev", bridge]);
    fs.mkdirSync(folder, { recursive: true });
    const file = path.join(folder, "rules.nft");
    fs.writeFileSync(file, ruleset(account, host.servers, bridge));
    await inside(["nft", "--file", file]);
}
