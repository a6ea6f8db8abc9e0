import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type BackupRig, startBackupRig } from "../rig/backups";
import { type Vm, startVm } from "../rig/vm";

// The backup script itself, on logical volumes in a kernel that has device mapper: a virtual machine. Services are processes in cgroups that
// write all the time; docker, and with it what runs in containers, is a stand-in.

const packages = ["jq", "lvm2", "rsync", "sqlite3", "thin-provisioning-tools", "xfsprogs"];
const MIB = 32; // of mail
let vm: Vm;
let backups: BackupRig;
const folder = mkdtempSync(path.join(tmpdir(), "lvm-"));

beforeAll(async () => {
    vm = await startVm({ dir: folder, packages, blankDisk: 5 * 2 ** 30, log: console.log });
    await vm.run("pvcreate -q /dev/vdb; vgcreate -q v-g /dev/vdb");
});
afterAll(async () => {
    await vm?.stop();
    rmSync(folder, { recursive: true });
});

/** The set of the last run is of one moment, and the services go on. */
async function expectOneMoment(mode: string): Promise<void> {
    const status = await backups.status();
    expect(status).toMatchObject({ exitStatus: 0, mode, error: "" });
    console.log(`${mode}: the services stood still for ${status.pauseMs} ms`);
    const [first, second] = await backups.rows(status.set);
    expect(first).toBeGreaterThan(0);
    expect(first - second).toBeGreaterThanOrEqual(0);
    expect(first - second).toBeLessThanOrEqual(1);
    expect(await backups.now()).toBeGreaterThan(first);
    await expectNothingLeft();
}
async function expectNothingLeft(): Promise<void> {
    expect((await vm.run("lvs --noheadings -o lv_name -S 'origin!=\"\"'")).trim()).toBe("");
    expect(await vm.run("grep -c scratch /proc/mounts || true; grep -l 'frozen 1' /sys/fs/cgroup/rig/*/cgroup.events || true")).toBe("0\n");
}
/** A program that takes the place of another for one run. */
const inPlaceOf = (name: string, body: string) =>
    vm.run(`mkdir -p /rig/bin; printf '#!/bin/sh\\n%s\\n' '${body}' >/rig/bin/${name}; chmod +x /rig/bin/${name}`);
/** Starts a run and kills all its processes as soon as the condition holds. */
const killWhen = (condition: string, before = "/usr/local/bin") =>
    vm.run(`
    PATH=${before}:$PATH setsid sh /srv/mail/backup/backup run >/rig/killed.log 2>&1 &
    tries=0
    until ${condition}; do sleep 0.05; tries=$((tries + 1)); [ $tries -le 1200 ] || { cat /rig/killed.log; exit 1; }; done
    kill -KILL -- -$!`);

async function killWhileCopying(): Promise<void> {
    await inPlaceOf("cp", 'case "$*" in *mailboxes*) touch /rig/copying; sleep 600 ;; esac; exec /bin/cp "$@"');
    await killWhen("[ -e /rig/copying ]", "/rig/bin");
    await vm.run("rm /rig/bin/cp /rig/copying");
}

describe("ext4 on a logical volume", () => {
    beforeAll(async () => {
        await vm.run("lvcreate -q -n data -L 1536M v-g; mkfs.ext4 -q /dev/v-g/data; mkdir -p /srv/mail; mount /dev/v-g/data /srv/mail");
        backups = await startBackupRig(vm, "/srv/mail", MIB);
    });

    test("the stores are those of a snapshot, for which the services stand still", async () => {
        expect(await backups.run()).toMatch(/^set \w+: .* the services stood still for \d+ ms \(lvm\)$/m);
        await expectOneMoment("lvm");
        // For about as long as LVM takes for a snapshot, which is much longer here, where all of it is emulated, than on a processor.
        const began = Date.now();
        await vm.run("lvcreate -q -y --snapshot -L 100M -n reference v-g/data");
        const reference = Date.now() - began;
        await vm.run("lvremove -q -y v-g/reference");
        console.log(`a snapshot by itself: ${reference} ms`);
        expect((await backups.status()).pauseMs).toBeLessThan(5 * reference);
    });

    test("again", async () => {
        const { set } = await backups.status();
        await backups.run();
        await expectOneMoment("lvm");
        expect((await backups.rows((await backups.status()).set))[0]).toBeGreaterThan((await backups.rows(set))[0]);
    });

    test("a snapshot that is full before all is copied is not used", async () => {
        const small = 'for word; do shift; case $word in *k) [ "$last" != --size ] || word=16m ;; esac; last=$word; set -- "$@" "$word"; done';
        await inPlaceOf("lvcreate", `${small}; exec /sbin/lvcreate "$@"`);
        await inPlaceOf(
            "cp",
            'case "$*" in *mailboxes*) dd if=/dev/zero of=/srv/mail/much bs=1M count=32 conv=fsync status=none ;; esac; exec /bin/cp "$@"',
        );
        expect(await backups.run("/rig/bin")).toMatch(/^no snapshot of the logical volume v-g\/data: .* So the stores are copied in two passes$/m);
        await vm.run("rm /rig/bin/lvcreate /rig/bin/cp");
        await expectOneMoment("copy");
    });

    test("without room for a snapshot in the volume group, and where LVM makes none, the stores are copied in two passes", async () => {
        await vm.run("lvcreate -q -n other -l 90%FREE v-g");
        expect(await backups.run()).toMatch(/^no snapshot of the logical volume v-g\/data: it needs \d+ MiB, and v-g has \d+\. So/m);
        await expectOneMoment("copy");
        await vm.run("lvremove -q -y v-g/other");
        await inPlaceOf("lvcreate", "echo broken >&2; exit 5");
        expect(await backups.run("/rig/bin")).toMatch(/^no snapshot of the logical volume v-g\/data: lvcreate says broken\. So/m);
        await vm.run("rm /rig/bin/lvcreate");
        await expectOneMoment("copy");
    });

    test("what a run leaves that is killed while it copies, the next one removes", async () => {
        await killWhileCopying();
        expect(await vm.run("lvs --noheadings -o lv_name v-g/mail.scratch; grep -c scratch /proc/mounts || true")).toMatch(/mail\.scratch\s+0\n/);
        await backups.run();
        await expectOneMoment("lvm");
    });

    test("so it is with one that is killed while the services are held", async () => {
        await inPlaceOf("lvcreate", '/sbin/lvcreate "$@"; touch /rig/taken; sleep 30');
        await killWhen("[ -e /rig/taken ]", "/rig/bin");
        await vm.run("rm /rig/bin/lvcreate; grep -q 'frozen 1' /sys/fs/cgroup/rig/web/cgroup.events");
        await vm.run("until grep -q 'frozen 0' /sys/fs/cgroup/rig/web/cgroup.events; do sleep 0.5; done"); // FREEZE_SECONDS, without Docker
        await backups.run();
        await expectOneMoment("lvm");
    });

    test("and a timer's run that has ended leaves nothing by itself", async () => {
        await killWhileCopying();
        await vm.run("sh /srv/mail/backup/backup thaw");
        await expectNothingLeft();
    });
});

describe("XFS that does not clone, on a thin volume, of which a folder is mounted", () => {
    beforeAll(async () => {
        await vm.run(`umount -l /srv/mail; lvcreate -q -L 2G --thinpool pool v-g; lvcreate -q -V 3G --thin -n thin v-g/pool
            mkfs.xfs -q -m reflink=0 /dev/v-g/thin; mkdir -p /mnt/whole /srv/thin; mount /dev/v-g/thin /mnt/whole; mkdir /mnt/whole/mail; mount --bind /mnt/whole/mail /srv/thin`);
        backups = await startBackupRig(vm, "/srv/thin", MIB);
    });

    test("the stores are those of a snapshot", async () => {
        await backups.run();
        await expectOneMoment("lvm");
    });

    test("a pool that has no room for one is left alone", async () => {
        await vm.run("fallocate -l 1400M /mnt/whole/full; dd if=/dev/zero of=/mnt/whole/full bs=1M count=1400 conv=notrunc,fsync status=none");
        expect(await backups.run()).toMatch(/^no snapshot of the logical volume v-g\/thin: it needs \d+ MiB, and v-g\/pool has \d+\. So/m);
        await expectOneMoment("copy");
    });
});
