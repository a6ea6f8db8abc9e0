import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { SCRIPT } from "../../components/backups/backups";
import { LVM } from "../../components/backups/host/lvm";
import { SCHEDULE, UNDO_SCHEDULE } from "../../components/backups/host/setUp";

test("no function of the backup script has the name of a command: it would be called in its place", () => {
    const functions = [...SCRIPT.matchAll(/^(\w+)\(\)/gm)].map(([, name]) => name);
    expect(functions.length).toBeGreaterThan(40);
    const taken = functions.filter((name) => spawnSync("sh", ["-c", `command -v ${name}`]).status === 0);
    expect(taken).toEqual([]);
});

describe("the script", () => {
    let folder: string;
    const file = (name: string) => path.join(folder, name);
    const conf = {
        STACK: "a",
        RESTIC: "restic",
        FORWARDEMAIL_IMAGE: "app",
        REPOSITORY: "s3:x/y",
        ENDPOINT: "https://x",
        BUCKET: "y",
        BUCKET_LOOKUP: "path",
    };
    /** Docker, which runs restic and curl: what it does with each of restic's commands, in shell. */
    const docker = (cases: Record<string, string>) => {
        const lines = Object.entries(cases).map(([words, body]) => `*" ${words} "*) ${body} ;;`);
        writeFileSync(file("bin/docker"), `#!/bin/sh\necho "$*" >>${file("calls")}\ncase " $* " in ${lines.join("\n")} esac\n`, { mode: 0o755 });
    };
    const run = (...args: string[]) => {
        const env = { PATH: `${file("bin")}:${process.env.PATH}` };
        return spawnSync("sh", [file("backup"), ...args], { encoding: "utf8", env });
    };
    const snapshots = JSON.stringify([
        { id: "1", tags: ["set=20260101T000000Z"] },
        { id: "2", tags: ["complete=20260101T000000Z"] },
    ]);
    beforeEach(() => {
        folder = mkdtempSync(path.join(tmpdir(), "backup-"));
        for (const name of ["bin", "mongodb", "redis", "mailboxes"]) mkdirSync(file(name));
        const stores = { MONGODB: file("mongodb"), REDIS: file("redis"), MAILBOXES: file("mailboxes") };
        const values = { ...conf, ...stores, OPTIONS: "", LIMITS: "", ALERT_AFTER: "3600", WRITERS: "smtp imap" };
        writeFileSync(
            file("backup.conf"),
            Object.entries(values)
                .map(([key, value]) => `${key}='${value}'\n`)
                .join(""),
        );
        writeFileSync(file("backup"), SCRIPT);
        writeFileSync(file("bin/sleep"), "#!/bin/sh\n", { mode: 0o755 });
        for (const name of ["docker.conf", "repository.env"]) writeFileSync(file(name), "");
    });
    afterEach(() => rmSync(folder, { recursive: true }));

    test("opens an empty bucket for an empty deployment, and one with sets for a deployment with data alone", () => {
        docker({ snapshots: "echo '[]'" });
        expect(run("open")).toMatchObject({ status: 0, stderr: "" });
        docker({ snapshots: `echo '${snapshots}'` });
        expect(run("open")).toMatchObject({ status: 1, stderr: expect.stringMatching(/has no data, and .* has sets of it\. Fix: npm run restore/) });
        writeFileSync(file("mongodb/data"), "");
        expect(run("open").status).toBe(0);
    });
    test("does not take sets that cannot be read for none", () => {
        docker({ snapshots: "echo 'Fatal: connection refused' >&2; exit 1" });
        expect(run("open")).toMatchObject({ status: 1, stderr: expect.stringMatching(/^error: backup: the bucket's server cannot be reached/) });
    });
    test("tells that no set is made where another run keeps the lock for too long, and leaves what it writes alone", () => {
        docker({});
        writeFileSync(file("alert"), "url");
        writeFileSync(file("reason"), "its own");
        writeFileSync(file("bin/curl"), `#!/bin/sh\ncat >>${file("told")}\n`, { mode: 0o755 });
        const waiting = (success: number) => {
            writeFileSync(file("status.json"), JSON.stringify({ lastSuccess: Math.floor(Date.now() / 1000) - success }));
            const env = { PATH: `${file("bin")}:${process.env.PATH}` };
            const { status, stderr } = spawnSync("sh", ["-c", `flock ${file(".lock")} sh ${file("backup")} run`], { encoding: "utf8", env });
            expect([status, stderr]).toEqual([1, expect.stringContaining("another backup, drill or restore of this stack is running")]);
            expect(readFileSync(file("reason"), "utf8")).toBe("its own");
            return existsSync(file("told")) ? readFileSync(file("told"), "utf8") : "";
        };
        expect(waiting(60)).toBe("");
        expect(waiting(7200)).toMatch(
            /^\{"text":"a: backup: the newest complete set is of .*\. The last run did not begin: another backup, drill or restore/,
        );
    });
    test("does not take services that cannot be listed for stopped, nor for none that ever ran", () => {
        mkdirSync(file("before"));
        docker({ "--filter label=forwardemail.service=smtp": "exit 1" });
        expect(run("undo").status).not.toBe(0);
        expect(readFileSync(file("calls"), "utf8")).not.toContain("start");
        writeFileSync(file("restoring"), "");
        writeFileSync(file("mongodb/data"), "");
        docker({ "ps -aq --filter label=forwardemail.stack=a": "exit 1" });
        expect(run("restore", "latest").status).not.toBe(0);
        expect(existsSync(file("mongodb/data"))).toBe(true);
    });
});

describe("the timers", () => {
    let folder: string;
    const units = () => readdirSync(path.join(folder, "etc/systemd/system")).sort();
    const run = (script: string, stack: string) => {
        const values = { STACK: stack, BACKUP: `/srv/${stack}/backup`, HOURS: "6", WHEN: "*-*-* 00/6:00:00", JITTER: "1800", DRILL: "monthly" };
        const env = { PATH: `${folder}:${process.env.PATH}`, ...values };
        const { status, stderr } = spawnSync("sh", ["-c", script.replaceAll("/etc/", `${folder}/etc/`)], { encoding: "utf8", env });
        expect([status, stderr]).toEqual([0, ""]);
    };
    beforeEach(() => {
        folder = mkdtempSync(path.join(tmpdir(), "timers-"));
        mkdirSync(path.join(folder, "etc/systemd/system"), { recursive: true });
        writeFileSync(path.join(folder, "systemctl"), "#!/bin/sh\n", { mode: 0o755 });
    });
    afterEach(() => rmSync(folder, { recursive: true }));

    test("of two stacks on a host do not take each other's place", () => {
        run(SCHEDULE, "mail-a");
        run(SCHEDULE, "mail-b");
        expect(units()).toEqual(
            ["a", "b"].flatMap((stack) => ["backup", "drill"].flatMap((unit) => [`mail-${stack}-${unit}.service`, `mail-${stack}-${unit}.timer`])),
        );
        expect(readFileSync(path.join(folder, "etc/systemd/system/mail-a-backup.service"), "utf8")).toContain(
            "ExecStart=/bin/sh /srv/mail-a/backup/backup run\n",
        );
        run(UNDO_SCHEDULE, "mail-a");
        expect(units()).toEqual(["mail-b-backup.service", "mail-b-backup.timer", "mail-b-drill.service", "mail-b-drill.timer"]);
    });
    test("take the place of those that had one name for all stacks, where these are the stack's own", () => {
        const old = ["backup", "drill"].flatMap((unit) => [`forwardemail-${unit}.service`, `forwardemail-${unit}.timer`]);
        for (const name of old) writeFileSync(path.join(folder, "etc/systemd/system", name), "ExecStart=/bin/sh /srv/mail-a/backup/backup run\n");
        run(SCHEDULE, "mail-b");
        expect(units()).toEqual(expect.arrayContaining(old));
        run(SCHEDULE, "mail-a");
        expect(units().filter((name) => old.includes(name))).toEqual([]);
        expect(units()).toHaveLength(8);
    });
});

// With stand-ins for what is asked about mounts and volumes; the real ones are asked in test/long/lvm.test.ts.
describe("a snapshot of a logical volume", () => {
    let folder: string;
    const program = (name: string, body: string) => writeFileSync(path.join(folder, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
    const answers = (name: string, option: string, values: Record<string, string>) => {
        const cases = Object.entries(values).map(([field, value]) => `*" ${option} ${field} "*) echo '${value}' ;;`);
        program(name, `case " $* " in ${cases.join(" ")} esac`);
    };
    const mounted = (values: Record<string, string>) =>
        answers("findmnt", "-o", { FSTYPE: "ext4", SOURCE: "/dev/mapper/v-mail", TARGET: "/", FSROOT: "/", ...values });
    const volume = (values: Record<string, string>) => answers("lvs", "-o", { lv_full_name: "v/mail", vg_free: String(2 ** 30), ...values });
    const run = (script: string) => {
        const setUp = `set -euf; note() { echo "$*"; }; mongodb=${folder}/mongodb redis=${folder}/redis mailboxes=${folder}/mailboxes bytes=1000000; ${LVM}\n`;
        return spawnSync("sh", ["-c", setUp + script], { encoding: "utf8", env: { PATH: `${folder}:${process.env.PATH}` } });
    };
    const decide = () => run('if can_snapshot; then echo "$volume: $size"; else echo no; fi').stdout;
    beforeEach(() => {
        folder = mkdtempSync(path.join(tmpdir(), "volume-"));
        for (const store of ["mongodb", "redis", "mailboxes"]) mkdirSync(path.join(folder, store));
        program("lvcreate", "true");
        mounted({});
        volume({});
    });
    afterEach(() => rmSync(folder, { recursive: true }));

    test("is given what is copied, a quarter more, and 512 MiB", () => expect(decide()).toBe("v/mail: --size 525508k\n"));
    test("needs that much in the volume group", () => {
        volume({ vg_free: "500000000" });
        expect(decide()).toBe(
            "no snapshot of the logical volume v/mail: it needs 513 MiB, and v has 476. So the stores are copied in two passes\nno\n",
        );
    });
    test("of a thin volume needs it in the pool, and is given no size", () => {
        volume({ vg_free: "0", pool_lv: "pool", lv_size: "2000000000", data_percent: "50.00" });
        expect(decide()).toBe("v/mail: \n");
        volume({ pool_lv: "pool", lv_size: "2000000000", data_percent: "80.00" });
        expect(decide()).toMatch(/needs 513 MiB, and v\/pool has 381\. So/);
    });
    test.each<[string, () => void]>([
        ["the stores are on none", () => volume({ lv_full_name: "" })],
        ["it has another file system", () => mounted({ FSTYPE: "btrfs" })],
        ["something else is mounted inside of a store", () => mounted({ TARGET: `${folder}/mailboxes/more` })],
        ["a store is on another file system", () => program("stat", "echo 1; echo 1; echo 2")],
    ])("is not taken where %s", (_, change) => {
        change();
        expect(decide()).toBe("no\n");
    });

    test.each([
        ["/", "/", "FOLDER/mongodb"],
        ["FOLDER", "/", "/mongodb"],
        ["FOLDER", "/data/mail", "/data/mail/mongodb"],
        ["FOLDER/mongodb", "/data", "/data"],
    ])("a store below %s, where %s of the volume is mounted, is at %s", (target, root, found) => {
        mounted({ TARGET: target.replace("FOLDER", folder), FSROOT: root });
        expect(run('path_on_volume "$mongodb"').stdout).toBe(`${found.replace("FOLDER", folder)}\n`);
    });

    test.each([
        ["swi-a-s---", "yes"], // classic, active
        ["swi-I-s---", "no"], // overflowed
        ["Vwi-a-tz--", "yes"], // thin, active
        ["Vwi-a-tzF-", "no"], // of a pool that has failed
        ["", "no"],
    ])("that shows as %s is intact: %s", (attributes, intact) => {
        volume({ lv_attr: attributes });
        expect(run("volume=v/mail scratch=mail.scratch; if is_intact; then echo yes; else echo no; fi").stdout).toBe(`${intact}\n`);
    });
});
