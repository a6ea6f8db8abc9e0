import * as fs from "node:fs";
import * as path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { run } from "../images/run";
import type { Machine } from "./machine";

/** A disk is a file on this machine, and a loop device where a server has it. */
export interface Disk {
    /** Its name in /dev/disk/by-id. */
    id: string;
    file: string;
}

const listOf = (directory: string) => path.join(directory, "disks.json");
const confOf = (directory: string) => path.join(directory, "disks.conf");
const inside = "/etc/tmpfiles.d/rig-disks.conf";

/** The mount by which a server makes the nodes of its disks at boot, as udev would: before systemd mounts anything. */
export const disksConf = (directory: string): Record<string, string> => ({ [confOf(directory)]: inside });

/** Sees to it that the disks of a server are devices, and that it will know them. Says whether one was none. */
export async function connectDisks(directory: string, more: Disk[] = []): Promise<boolean> {
    const known = readDisks(directory);
    const disks = [...known, ...more.filter(({ id }) => known.every((disk) => disk.id !== id))];
    const lines: string[] = [];
    let added = false;
    for (const { id, file } of disks) {
        const connected = await loopOf(file);
        const loop = connected ?? (await run("losetup", ["--find", "--show", file])).trim();
        added ||= connected === undefined;
        lines.push(`b+ ${loop} 0660 root disk - 7:${loop.replace("/dev/loop", "")}`, `L+ /dev/disk/by-id/${id} - - - - ${loop}`);
    }
    fs.writeFileSync(listOf(directory), JSON.stringify(disks));
    // Written in place: a mount keeps the file that it was made with.
    fs.writeFileSync(confOf(directory), lines.map((line) => `${line}\n`).join(""));
    return added;
}

/** Puts a disk into a server that may be running. */
export async function attachDisk({ directory, run: runScript }: Machine, disk: Disk, running: boolean): Promise<void> {
    await connectDisks(directory, [disk]);
    if (running) runScript(`systemd-tmpfiles --create --prefix=/dev ${inside}`);
}

/** Takes a disk out of a server; refused while it is in use. */
export async function detachDisk({ directory, run: runScript }: Machine, { id, file }: Disk, running: boolean): Promise<void> {
    const loop = await loopOf(file);
    const link = `/dev/disk/by-id/${id}`;
    if (running && runScript(`grep "^$(readlink -f ${link}) " /proc/mounts || true`)) throw new Error(`${link} is busy: it is mounted`);
    if (running) runScript(`rm -f ${link} ${loop ?? ""}`);
    await disconnect(file);
    const others = readDisks(directory).filter((disk) => disk.id !== id);
    fs.writeFileSync(listOf(directory), JSON.stringify(others));
    await connectDisks(directory);
}

/** Lets every disk of a server go that is not there any more. */
export async function releaseDisks(directory: string): Promise<void> {
    for (const { file } of readDisks(directory)) await disconnect(file);
    for (const file of [listOf(directory), confOf(directory)]) fs.rmSync(file, { force: true });
}

/** Disks whose file is below the directory. */
export async function disksBelow(directory: string): Promise<string[]> {
    const { loopdevices } = JSON.parse((await run("losetup", ["--list", "--json"])) || '{"loopdevices":[]}') as {
        loopdevices: { "back-file": string }[];
    };
    return loopdevices.map((loop) => loop["back-file"]).filter((file) => file.startsWith(`${path.resolve(directory)}/`));
}

/** Waits until it is really gone: a kernel that still writes to it would spoil it for the next server. */
export async function disconnect(file: string): Promise<void> {
    let loop = await loopOf(file);
    if (loop) await run("losetup", ["--detach", loop]);
    for (const until = Date.now() + 20_000; loop && Date.now() < until; await sleep(100)) loop = await loopOf(file);
    if (loop) throw new Error(`${file} is still in use as ${loop}`);
}

async function loopOf(file: string): Promise<string | undefined> {
    return (await run("losetup", ["--noheadings", "--output", "NAME", "--associated", file])).trim().split("\n").filter(Boolean)[0];
}

const readDisks = (directory: string): Disk[] =>
    fs.existsSync(listOf(directory)) ? (JSON.parse(fs.readFileSync(listOf(directory), "utf8")) as Disk[]) : [];
