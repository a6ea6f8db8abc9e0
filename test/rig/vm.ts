import { spawn } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { createInterface } from "node:readline";

import { needTools, vmTools } from "./host/tools";
import { cached, hashOf } from "./images/cache";
import { debianRoot } from "./images/debian";
import { type Log, run } from "./images/run";

/** A machine with a kernel of its own, for what a container cannot have, such as device mapper. It has no network. */
export interface Vm {
    /** Runs a Bash script as root and answers what it said, on both outputs; a script that fails is an error with that. */
    run(script: string): Promise<string>;
    stop(): Promise<void>;
}

export interface VmArgs {
    /** Keeps its blank disk and the console's log. */
    dir: string;
    /** Packages beside a minimal Debian with a kernel. */
    packages: string[];
    /** Bytes of a blank disk: /dev/vdb. */
    blankDisk: number;
    log: Log;
}

const base = ["e2fsprogs", "initramfs-tools", "kmod", "linux-image-cloud-amd64", "udev", "zstd"];

/** Boots a machine (QEMU, x86_64; emulated, so that it needs nothing of the processor: half a minute). What it writes to its first disk is gone when it stops. */
export async function startVm({ dir, packages, blankDisk, log }: VmArgs): Promise<Vm> {
    await needTools(log, vmTools);
    const image = await vmImage(packages, log);
    fs.mkdirSync(dir, { recursive: true });
    const disk = path.join(dir, "disk");
    fs.rmSync(disk, { force: true });
    fs.writeFileSync(disk, "");
    fs.truncateSync(disk, blankDisk);
    log("vm: booting");
    const console = path.join(dir, "console.log");
    // It must not outlive the tests, whatever ends them.
    const child = spawn("setpriv", ["--pdeathsig", "KILL", "qemu-system-x86_64", ...argvOf(image, disk, console)], {
        stdio: ["pipe", "pipe", "inherit"],
    });
    const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const answer = async () => {
        const { value, done } = await answers.next();
        if (done) throw new Error(`The virtual machine has ended: see ${console}`);
        return value as string;
    };
    while (!(await answer()).endsWith("ready"));
    return {
        async run(script) {
            child.stdin.write(`${Buffer.from(script).toString("base64")}\n`);
            const [status, said = ""] = (await answer()).split(" ");
            const text = Buffer.from(said, "base64").toString();
            if (status !== "0") throw new Error(`A script in the virtual machine ended with ${status}:\n${text}`);
            return text;
        },
        stop: () =>
            new Promise((resolve) => {
                if (child.exitCode !== null || child.signalCode !== null) return resolve();
                child.once("exit", () => resolve());
                child.kill("SIGKILL");
            }),
    };
}

const argvOf = (image: string, disk: string, console: string) => [
    ...["-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "1024", "-nodefaults", "-no-reboot"],
    ...["-kernel", path.join(image, "vmlinuz"), "-initrd", path.join(image, "initrd"), "-display", "none"],
    ...["-append", "root=/dev/vda rootfstype=ext4 rw init=/init console=ttyS0 panic=-1"],
    ...["-drive", `file=${path.join(image, "root")},format=raw,if=virtio,snapshot=on`, "-drive", `file=${disk},format=raw,if=virtio,cache=unsafe`],
    ...["-serial", `file:${console}`, "-serial", "stdio"],
];

/** A folder with kernel, initial RAM disk and the first disk. */
async function vmImage(packages: string[], log: Log): Promise<string> {
    const init = path.join(__dirname, "vm", "init");
    const tar = await debianRoot(log, [...base, ...packages].sort());
    return cached(`vm-${path.basename(tar, ".tar")}-${hashOf(init)}`, async (directory) => {
        log("vm: disk image (10 s)");
        const root = path.join(directory, "files");
        fs.mkdirSync(root, { recursive: true });
        await run("tar", ["--extract", "--numeric-owner", `--file=${tar}`, `--directory=${root}`]);
        fs.copyFileSync(init, path.join(root, "init"));
        fs.chmodSync(path.join(root, "init"), 0o755);
        for (const name of ["vmlinuz", "initrd"]) {
            const [file] = fs.readdirSync(path.join(root, "boot")).filter((entry) => entry.startsWith(name));
            fs.copyFileSync(path.join(root, "boot", file), path.join(directory, name));
        }
        await run("mke2fs", ["-q", "-t", "ext4", "-d", root, path.join(directory, "root"), "2G"]);
        fs.rmSync(root, { recursive: true });
    });
}
