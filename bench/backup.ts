import { readFileSync, writeFileSync } from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { backupHost, askScript } from "../operate/backupHost";
import { converge } from "../operate/converge";
import { Rehearsal, hostName, startRehearsal, stopRehearsal } from "../operate/rehearsal";
import { Session, openStack } from "../operate/session";
import { readStackFile } from "../operate/stackFile";
import { WORK } from "../operate/workspace";
import { type Bucket, startBucket } from "../test/e2e/bucket";
import { startAgent } from "../test/rig/agent";
import { type Vps, removeVps, startVps } from "../test/rig/vps";
import { median, readRounds } from "./report";

const HELP = `npm run bench:backup [-- --rounds N]

Measures sets of backups of 1 GiB of mailboxes against cp and tar | zstd of the same, on servers with file systems that clone (XFS, btrfs) and on
one with a file system that does not, and writes bench/BACKUP.md. It runs on the rehearsal's Docker host (Debian or Ubuntu, root) and takes about a quarter of an hour.

  --rounds N   how often what can be repeated is measured; the report shows medians (default: 3)
`;

const STACK = "bench-backup";
const DIRECTORY = path.join(WORK, "rehearsal-bench");
const DATA = "/srv/mail";
const DEVICE = "/dev/disk/by-id/scsi-0RIG_Volume_1";
const FILES = 64;
const MIB_A_FILE = 16;
const MIB = FILES * MIB_A_FILE;

interface Figures {
    fileSystem: string;
    first: { seconds: number; addedMiB: number };
    next: Array<{ seconds: number; addedMiB: number; pauseMs: number }>;
    drill: number[];
    copy: number[];
    pack: number[];
    unpack: number[];
}

async function main(): Promise<void> {
    const rounds = readRounds(HELP);
    if (rounds === undefined) return;
    const rehearsal = await startRehearsal(hostName("bench"), DIRECTORY, console.log);
    try {
        const all: Figures[] = [];
        for (const disk of ["xfs", "btrfs", undefined] as const) all.push(await measure(rehearsal, disk, rounds));
        const text = report(all, rounds);
        writeFileSync(path.join(__dirname, "BACKUP.md"), text);
        console.log(`\n${text}`);
    } finally {
        await stopRehearsal(rehearsal.name, DIRECTORY);
    }
}

/** On a server of its own, with a data disk of this kind; without, the data are on the file system of this machine. */
async function measure(rehearsal: Rehearsal, disk: "xfs" | "btrfs" | undefined, rounds: number): Promise<Figures> {
    const { host } = rehearsal;
    await removeVps(host, "bench", { disk: true });
    const vps = await startVps(host, {
        name: "bench",
        dir: path.join(rehearsal.directory, "vps"),
        docker: true,
        blankDisk: 21 * 2 ** 30,
        log: console.log,
    });
    const bucket = await startBucket(host, path.join(rehearsal.directory, "s3"), `forwardemail-${STACK}`);
    const stopAgent = await startAgent(vps.keyFile);
    try {
        vps.run("apt-get update -qq && apt-get install -y -qq zstd btrfs-progs >/dev/null");
        if (disk === "btrfs") vps.run(`mkfs.btrfs -q ${DEVICE}; mkdir -p ${DATA}; mount ${DEVICE} ${DATA}`); // `up` itself makes only XFS
        const session = await deploy(rehearsal, vps, bucket, disk === "xfs" ? DEVICE : undefined);
        const run = (script: string) => timed(() => vps.run(script));
        const backup = async () => {
            const target = await backupHost(session, STACK);
            const seconds = timed(() => askScript(target, ["run"]));
            const { added, pauseMs } = JSON.parse(vps.run(`cat ${DATA}/backup/status.json`)) as { added: number; pauseMs: number };
            return { seconds, addedMiB: added / 2 ** 20, pauseMs };
        };
        vps.run(
            `for n in $(seq ${FILES}); do head -c ${MIB_A_FILE}M /dev/urandom >${DATA}/mailboxes/bench-$n.sqlite; done; chown --reference=${DATA}/mailboxes ${DATA}/mailboxes/*`,
        );
        const stores = ["mongodb", "redis", "mailboxes"].map((store) => `${DATA}/${store}`).join(" ");
        const figures: Figures = {
            fileSystem: vps.run(`findmnt -n -o FSTYPE -T ${DATA}`).trim(),
            first: await backup(),
            next: [],
            drill: [],
            copy: [],
            pack: [],
            unpack: [],
        };
        for (let round = 1; round <= rounds; round++) {
            console.log(`${figures.fileSystem}: round ${round} of ${rounds}`);
            vps.run(
                `for n in $(seq ${Math.round(MIB / 100)}); do dd if=/dev/urandom of=${DATA}/mailboxes/bench-$(((n + ${round * 10}) % ${FILES} + 1)).sqlite bs=1M count=1 seek=${round} conv=notrunc status=none; done`,
            );
            figures.next.push(await backup());
            const target = await backupHost(session, STACK);
            figures.drill.push(timed(() => askScript(target, ["drill"])));
            figures.copy.push(run(`mkdir ${DATA}/reference; cp -a --reflink=never ${stores} ${DATA}/reference; sync -f ${DATA}`));
            vps.run(`rm -rf ${DATA}/reference`);
            figures.pack.push(run(`tar -c ${stores} 2>/dev/null | zstd -q -f -o ${DATA}/reference.zst; sync -f ${DATA}`));
            figures.unpack.push(run(`mkdir ${DATA}/reference; zstd -dc ${DATA}/reference.zst | tar -x -C ${DATA}/reference; sync -f ${DATA}`));
            vps.run(`rm -rf ${DATA}/reference ${DATA}/reference.zst`);
        }
        return figures;
    } finally {
        stopAgent();
        await bucket.s3.stop();
        await removeVps(host, "bench", { disk: true });
    }
}

async function deploy(rehearsal: Rehearsal, { address4: address, hostKey }: Vps, bucket: Bucket, device: string | undefined): Promise<Session> {
    const server = { name: "main", kind: "ssh", address, hostKey, reach: [`${address}:22`], blockLists: [] };
    const config = {
        ...readStackFile("dev").config,
        "forwardemail:network": {},
        "forwardemail:data": { directory: DATA, device },
        "forwardemail:backups": bucket.config,
    };
    const overlay = { ...rehearsal.overlay, "forwardemail:servers": [server] };
    const secrets = { backupSecretKey: bucket.server.secretAccessKey, backupPruneSecretKey: bucket.pruner.secretAccessKey };
    const given = Object.fromEntries(Object.keys(secrets).map((key) => [`forwardemail:${key}`, { secure: "set below" }]));
    const open = () => openStack(STACK, { ...config, ...given }, { ...rehearsal, overlay });
    const { stack } = await open();
    await stack.cancel();
    await stack.workspace.removeStack(STACK, { force: true });
    const session = await open();
    for (const [key, value] of Object.entries(secrets)) await session.stack.setConfig(`forwardemail:${key}`, { value, secret: true });
    const { ok } = await converge(session, () => undefined);
    if (!ok) throw new Error("The deployment did not become healthy: a figure of it would mean nothing.");
    return session;
}

function timed(action: () => unknown): number {
    const start = performance.now();
    action();
    return (performance.now() - start) / 1000;
}

function report(all: Figures[], rounds: number): string {
    const model = `${os.cpus().length} cores (${os.cpus()[0].model})`;
    const { version } = JSON.parse(readFileSync(path.join(__dirname, "..", "package.json"), "utf8")) as { version: string };
    const rows = all.flatMap(({ fileSystem, first, next, drill, copy, pack, unpack }) => {
        const [added, seconds, pause] = [next.map((one) => one.addedMiB), next.map((one) => one.seconds), next.map((one) => one.pauseMs)].map(median);
        const row = (...cells: string[]) => `| ${fileSystem} | ${cells.join(" | ")} |`;
        const over = (ours: number, reference: number[]) => `${(ours / median(reference)).toFixed(1)}`;
        return [
            row("first set, against `cp -a`", `${first.seconds.toFixed(1)} s`, `${median(copy).toFixed(1)} s`, over(first.seconds, copy), ""),
            row("the same against `tar \\| zstd`", `${first.seconds.toFixed(1)} s`, `${median(pack).toFixed(1)} s`, over(first.seconds, pack), ""),
            row(
                "a set after a change of 1 %, against `tar \\| zstd` of all",
                `${seconds.toFixed(1)} s`,
                `${median(pack).toFixed(1)} s`,
                over(seconds, pack),
                "",
            ),
            row(
                "what it uploads, against the first",
                `${added.toFixed(1)} MiB`,
                `${first.addedMiB.toFixed(1)} MiB`,
                (added / first.addedMiB).toFixed(3),
                added / first.addedMiB <= 0.05 ? "≤ 0.05: met" : "≤ 0.05: **missed**",
            ),
            row(
                "how long the services stand still for it",
                `${pause} ms`,
                "",
                "",
                ["xfs", "btrfs"].includes(fileSystem) ? (pause < 1000 ? "< 1 s: met" : "< 1 s: **missed**") : "",
            ),
            row(
                "drill: all read, unpacked, opened and counted (RTO), against `zstd -d \\| tar`",
                `${median(drill).toFixed(1)} s`,
                `${median(unpack).toFixed(1)} s`,
                over(median(drill), unpack),
                "",
            ),
        ];
    });
    return `# What backups cost

${MIB} MiB of mailboxes that do not compress (they are encrypted), with MongoDB and Redis, to an S3 server on the same machine, by the script that the timer runs. The
references write to the same disk, without encryption and without a network. A change of 1 % is ten of 1 MiB, each in another mailbox. Medians of ${rounds} rounds; the first set is made once. Snapshots of LVM are not measured: these servers have the kernel of this machine (test/long/lvm.test.ts takes them).

${new Date().toISOString().slice(0, 10)}, ${model}, version ${version}. Made by \`npm run bench:backup\`.

| file system | what | ours | reference | ratio | wanted |
|---|---|---|---|---|---|
${rows.join("\n")}
`;
}

void main().catch((error: Error) => {
    console.error(error.message);
    process.exitCode = 1;
});
