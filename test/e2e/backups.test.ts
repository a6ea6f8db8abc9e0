import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { appendFileSync, mkdirSync, readFileSync, renameSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { DeleteObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { setsOf } from "../../operate/backup";
import { BackupHost, askScript } from "../../operate/backupHost";
import { remove } from "../../operate/down";
import { chosen } from "../../operate/verify";
import { runChecks } from "../../operate/verify/check";
import { deployed } from "../../operate/verify/deployed";
import { theWorld } from "../../operate/verify/world";
import type { Keys } from "../rig/s3/client";
import { type Bucket, startBucket } from "./bucket";
import { deliver, makeMailbox, readImap, request } from "./clients";
import { tellFailures } from "./failures";
import { HOST, World } from "./world";

/** With what takes minutes more: test/long. */
const isLong = process.env.E2E_LONG === "true";

// One story: a deployment on a file system without snapshots, its bucket, and what can happen to both.

const DOMAIN = "example.org";
const LOGIN = { user: `alice@${DOMAIN}`, pass: "a-mailbox-password" };
const ADMIN = { email: `root@${HOST}`, password: "an-admin-password" };
const PREFIX = "forwardemail-e2e";

let world: World;
tellFailures(() => world);
let bucket: Bucket;
/** Subjects of what the server has taken. */
const accepted: string[] = [];

beforeAll(async () => {
    world = await World.start({ "forwardemail:version": "v2.15.0" });
    bucket = await startBucket(world.rehearsal.host, path.join(world.rehearsal.directory, "s3"), PREFIX);
    await giveSecrets();
});
afterAll(async () => {
    await bucket?.s3.stop();
    await world?.stop();
});

async function giveSecrets(): Promise<void> {
    await world.secret("backupSecretKey", bucket.server.secretAccessKey);
    await world.secret("backupPruneSecretKey", bucket.pruner.secretAccessKey);
    await world.secret("backupCanaryPassword", LOGIN.pass);
    await world.secret("backupPassphrase", "the one thing to keep");
}

/** Those of a stack that is gone were encrypted for it. */
const withoutSecrets = () =>
    Object.fromEntries(
        ["backups", "backupSecretKey", "backupPruneSecretKey", "backupCanaryPassword", "backupPassphrase"].map((key) => [
            `forwardemail:${key}`,
            undefined,
        ]),
    );

const UPLOAD_KIB = 2048;
const backups = (changes: object = {}) => ({
    "forwardemail:backups": { ...bucket.config, canary: LOGIN.user, cpus: 0.9, uploadKiB: UPLOAD_KIB, ...changes },
});

function host(): BackupHost {
    const { session } = world;
    return { session, server: session.settings.servers[0], backups: session.settings.backups! };
}
const script = (...words: string[]) => askScript(host(), words);
const sets = () => setsOf(script("sets"));
const status = () => JSON.parse(readFileSync(path.join(folder(), "status.json"), "utf8")) as Record<string, unknown>;
const folder = () => world.docker("volume", "inspect", "-f", "{{.Mountpoint}}", "forwardemail-e2e-backup").trim();
/** Freezers of containers that are held. */
const held = () =>
    spawnSync("sh", ["-c", "grep -rls 'frozen 1' --include=cgroup.events $(findmnt -n -t cgroup2 -o TARGET | head -n 1)"], { encoding: "utf8" })
        .stdout;

/** What a command of the script says on standard error with a file changed. */
function said(file: string, from: string, to: string, command: string, env = process.env): string {
    const name = path.join(folder(), file);
    const text = readFileSync(name, "utf8");
    expect(text).toContain(from);
    writeFileSync(name, text.replace(from, to));
    const { stderr } = spawnSync("sh", [path.join(folder(), "backup"), command], { encoding: "utf8", env });
    writeFileSync(name, text);
    return stderr;
}

/** A folder for PATH with a program in the place of the host's. */
function stand(program: string, text: string): string {
    const dir = path.join(world.rehearsal.directory, `stand-in-${program}`);
    mkdirSync(dir, { recursive: true });
    writeFileSync(path.join(dir, program), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    return dir;
}

/** Delivers mail after mail; `stop` answers when the last one is through. */
function keepDelivering(prefix: string): { stop(): Promise<void> } {
    let going = true;
    const run = (async () => {
        for (let n = 0; going; n++) {
            const subject = `${prefix} ${n}`;
            await deliver(world.target, { from: "sender@example.net", to: LOGIN.user, subject, text: `text of ${subject}` });
            accepted.push(subject);
            await sleep(50);
        }
    })();
    return {
        stop() {
            going = false;
            return run;
        },
    };
}

/** Runs a statement on the application's database. */
function mongo(statement: string): string {
    const login = 'const { MONGODB_USER, MONGODB_PASSWORD } = process.env; db.getSiblingDB("admin").auth(MONGODB_USER, MONGODB_PASSWORD);';
    const script = `${login} db = db.getSiblingDB("forwardemail_production"); ${statement}`;
    return world.docker("exec", world.container("mongodb"), "mongosh", "--quiet", "--norc", "--eval", script);
}

async function subjects(): Promise<string[]> {
    const mails = await readImap(world.target, LOGIN);
    return mails.map((source) => /^Subject: (.*?)\r?$/m.exec(source)![1]);
}

describe("backups", () => {
    test("a passphrase, a key or a bucket that is wrong is said before anything is backed up", async () => {
        const { ok, text } = await world.up(backups());
        expect(text).not.toContain("error");
        expect(ok).toBe(true);
        const { username, password } = world.outputs.firstRun.value as Record<string, string>;
        expect((await request(world.target, "", "/setup", { method: "POST", auth: `${username}:${password}`, json: ADMIN })).status).toBe(303);
        expect(await makeMailbox(world.target, ADMIN, LOGIN)).toEqual([200, 200, 200]);
        const repository = (from: string, to: string) => said("repository.env", from, to, "open");
        const conf = (from: string, to: string) => said("backup.conf", from, to, "open");
        expect(repository("the one thing", "another thing")).toMatch(/the passphrase is not that of the repository .*backupPassphrase/);
        expect(repository("AWS_SECRET_ACCESS_KEY=", "AWS_SECRET_ACCESS_KEY=x")).toMatch(
            /secret does not belong to the access key id.*backupSecretKey/,
        );
        expect(repository("KEY_ID=server", "KEY_ID=stranger")).toMatch(/does not know the access key id.*backups\.accessKeyId/);
        expect(conf(`BUCKET='${bucket.name}'`, "BUCKET=no-such-bucket")).toMatch(/there is no bucket no-such-bucket .*backups\.bucket/);
        expect(conf(`ENDPOINT='${bucket.s3.endpoint}'`, "ENDPOINT=http://127.0.0.1:9")).toMatch(/cannot be reached.*backups\.endpoint/);
        expect(conf(`REGION='${bucket.s3.region}'`, "REGION=eu-west-1")).toMatch(/is not in region eu-west-1 .*backups\.region/);
        await bucket.s3.disturb({ wrongClock: true });
        expect(repository("the one thing", "the one thing")).toMatch(/the clock is wrong: it is .* says the host\. Fix: see timedatectl/);
        await bucket.s3.disturb({});
        expect(repository("the one thing", "the one thing")).toBe(""); // and with what is right, it opens
        await bucket.s3.createBucket("forgets");
        const { accessKeyId, secretAccessKey } = bucket.s3.admin;
        const mine = readFileSync(path.join(folder(), "repository.env"), "utf8");
        writeFileSync(
            path.join(folder(), "repository.env"),
            mine
                .replaceAll(bucket.name, "forgets")
                .replace(/KEY_ID=.*/, `KEY_ID=${accessKeyId}`)
                .replace(/ACCESS_KEY=.*/, `ACCESS_KEY=${secretAccessKey}`),
        );
        expect(conf(`BUCKET='${bucket.name}'`, "BUCKET=forgets")).toMatch(/warning: .*the bucket forgets keeps no old versions/);
        writeFileSync(path.join(folder(), "repository.env"), mine);
    });

    test("a set is made while mail arrives, and the services stand still for a moment only", async () => {
        const mail = keepDelivering("first");
        await sleep(1000);
        const text = script("run");
        await mail.stop();
        expect(text).toMatch(/^set \d{8}T\d{6}Z: .* the services stood still for \d+ ms \(copy\)$/m);
        expect(text).toMatch(/^part 1 of 13 of what is in the bucket was read, and is whole$/m);
        expect(sets()).toHaveLength(1);
        expect(status()).toMatchObject({ exitStatus: 0, error: "", set: sets()[0] });
        expect(readFileSync(path.join(folder(), "metrics.prom"), "utf8")).toMatch(/^forwardemail_backup_last_success_timestamp_seconds \d{10}$/m);
        console.log(text.trim());
    });

    test("where there is too little room, it is said before a service is held or a set is fetched", () => {
        const env = { ...process.env, PATH: `${stand("df", "echo Avail; echo 1000")}:${process.env.PATH}` };
        const full = (command: string) => spawnSync("sh", [path.join(folder(), "backup"), command], { encoding: "utf8", env }).stderr;
        expect(full("run")).toMatch(/A backup on this file system needs \d+ MiB beside the data, and 0 MiB are free\. Fix: /);
        expect(status()).toMatchObject({ exitStatus: 1, pauseMs: null });
        expect(full("drill")).toMatch(/Restoring set \S+ needs \d+ MiB beside the data/);
    });

    test("a set of a newer release is refused by an older one, which says what to set", () => {
        expect(said("backup.conf", "FORWARDEMAIL_TAG='v2.15.0'", "FORWARDEMAIL_TAG='v2.9.1'", "drill")).toMatch(
            /set \S+ was made with forwardemail 2\.15\.0, and this deployment runs 2\.9\.1, which is older\. Fix: set version to v2\.15\.0 or newer/,
        );
        expect(said("backup.conf", "MONGODB_TAG='7.0.28'", "MONGODB_TAG='6.0.27'", "drill")).toMatch(
            /set \S+ was made with mongodb 7\.0\.28, and this deployment runs 6\.0\.27, which is older\. Fix: set images\.mongodb to 7\.0\.28 or newer/,
        );
    });

    if (isLong)
        test("a set of another architecture and of an older MongoDB can be restored", async () => {
            const env = { ...process.env, PATH: `${stand("uname", "echo sparc64")}:${process.env.PATH}` };
            expect(said("backup.conf", "MONGODB_TAG='7.0.28'", "MONGODB_TAG='5.0.31'", "run", env)).toBe("");
            expect(script("drill")).toContain(`set ${sets().at(-1)} can be restored`);
        });

    if (isLong)
        test("a second up changes nothing, right after a backup, too", async () => {
            script("run");
            expect(Object.keys((await world.up()).changes)).toEqual(["same"]);
        });

    test("the bucket holds nothing that can be read, and the server's key deletes no data", async () => {
        const objects = await bucket.s3.list(bucket.name, PREFIX);
        const contents = await Promise.all(objects.map(({ key }) => bucket.s3.get(bucket.name, key)));
        for (const content of contents) expect(content.includes("text of first")).toBe(false);
        const pack = objects.find(({ key }) => key.includes("/data/"))!;
        await expect(bucket.s3.client(bucket.server).send(new DeleteObjectCommand({ Bucket: bucket.name, Key: pack.key }))).rejects.toThrow(
            /denied/i,
        );
    });

    if (isLong)
        test("a run that is killed at any point leaves no set and nothing held, and the next one heals", async () => {
            const before = sets();
            for (const wait of [600, 1500, 2500, 4000]) {
                const run = start("run");
                await sleep(wait + Math.random() * 400);
                process.kill(-run.pid!, "SIGKILL");
                execFileSync("flock", ["-w", "30", path.join(folder(), ".lock"), "true"]); // all of it is gone
            }
            script("run");
            expect(held()).toBe("");
            const after = sets();
            expect(after.length).toBe(before.length + 1);
            expect(after[0]).toBe(before[0]);
        });

    if (isLong)
        test("a store that refuses, is full or is slow fails the run and leaves the services alone", async () => {
            const before = sets();
            const conf = path.join(folder(), "backup.conf");
            const text = readFileSync(conf, "utf8");
            writeFileSync(conf, `${text}PATIENCE=15\n`); // restic goes on trying for a quarter of an hour
            for (const [how, said] of [
                [{ refuseWrites: true }, /the key may not use the bucket/],
                [{ full: true }, /the bucket is full/],
            ] as const) {
                await bucket.s3.disturb(how);
                expect(() => script("run")).toThrow(said);
                expect(status()).toMatchObject({ exitStatus: 1 });
                expect(held()).toBe("");
            }
            await bucket.s3.disturb({ bytesPerSecond: 200_000 });
            script("run");
            await bucket.s3.disturb({});
            writeFileSync(conf, text);
            expect(sets()).toHaveLength(before.length + 1);
        });

    test("what an intruder overwrites with the server's key is found by the drill, and comes back from the bucket's old versions", async () => {
        const { s3, name, server } = bucket;
        const pack = (await s3.list(name, `${PREFIX}/data/`)).sort((a, b) => b.size - a.size)[0].key;
        const Body = await s3.get(name, pack);
        Body[Math.floor(Body.length / 3)] ^= 1;
        await s3.client(server).send(new PutObjectCommand({ Bucket: name, Key: pack, Body }));
        expect(() => script("drill")).toThrow(/cannot be read whole/);
        // The weekly check finds it, too, in the week of that part: restic takes the packs of a part by the first byte of their names.
        const part = (parseInt(path.basename(pack).slice(0, 2), 16) % 13) + 1;
        const checked = path.join(folder(), "checked");
        const week = 7 * 24 * 3600;
        const known = sets().length;
        writeFileSync(checked, String(part - 1));
        utimesSync(checked, Date.now() / 1000 - week - 60, Date.now() / 1000 - week - 60);
        expect(() => script("run")).toThrow(/what is in the bucket at .* is damaged: .*docs\/backups\.md/);
        expect(status()).toMatchObject({ exitStatus: 1, error: expect.stringContaining("damaged") });
        expect(sets()).toHaveLength(known + 1);
        expect(readFileSync(checked, "utf8")).toBe(String(part - 1)); // and again in the next run
        // As docs/backups.md has it: restic writes each object once.
        const versions = (await s3.versions(name, PREFIX)).filter(({ key }) => !key.includes("/locks/"));
        const first = new Map(versions.map((version) => [version.key, version])); // the newest comes first in the list, so the oldest stays
        for (const { key, versionId, latest } of first.values()) if (!latest) await s3.put(name, key, await s3.get(name, key, versionId));
        const text = script("drill");
        expect(text).toMatch(new RegExp(`set ${sets().at(-1)} can be restored: 1 mailboxes, \\d+ documents`));
        expect(text).toMatch(/the mailbox of alice@example\.org opens: [1-9]\d* mails in its inbox/);
        expect(text).toMatch(/RPO \d+ s .*RTO \d+ s/);
    });

    if (isLong)
        test("a run keeps to its share of the line and of the processors", async () => {
            const stored = path.join(world.docker("volume", "inspect", "-f", "{{.Mountpoint}}", "forwardemail-e2e-mailboxes").trim(), "random");
            const mebibytes = 40;
            writeFileSync(stored, randomBytes(mebibytes << 20));
            const env = { ...process.env, DOCKER_HOST: world.rehearsal.host.dockerHost };
            const run = start("run");
            const limits = new Set<string>();
            while (run.exitCode === null) {
                const { stdout } = spawnSync("docker", ["inspect", "-f", "{{.HostConfig.NanoCpus}}", "forwardemail-e2e.scratch-restic"], { env });
                if (String(stdout).trim()) limits.add(String(stdout).trim());
                await sleep(500);
            }
            rmSync(stored);
            expect(run.exitCode, JSON.stringify(status())).toBe(0);
            expect([...limits]).toEqual(["900000000"]);
            const { seconds, added } = status() as { seconds: number; added: number };
            expect(added).toBeGreaterThan(mebibytes << 20);
            expect(seconds).toBeGreaterThanOrEqual(added / 1024 / UPLOAD_KIB - 2); // restic lets a burst through at the beginning
        });

    test("verify sends its canary two mails that arrive, are signed and are deleted; a key that is not the one that signs is told", async () => {
        const { deployment, ways } = await deployed(world.session, "e2e");
        const mail = async () => (await runChecks(chosen(["mail"]), deployment, theWorld(deployment.settings, ways)))[0].findings;
        const before = await subjects();
        const found = await mail();
        for (const { status, subject, got } of found) console.log(`${status} ${subject}: ${got}`);
        expect(found.map(({ status, subject }) => `${status} ${subject}`)).toEqual([
            `pass mail to ${LOGIN.user} from outside`,
            ...["", "DKIM of ", "return path of "].map((what) => `pass ${what}mail by ${LOGIN.user}`),
        ]);
        expect((await subjects()).sort()).toEqual(before.sort());
        const other = generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey.export({ type: "spki", format: "der" }).toString("base64");
        const set = (fields: string) =>
            mongo(`const { _id, dkim_public_key: own, kept } = db.domains.findOne(); db.domains.updateOne({ _id }, { $set: { ${fields} } })`);
        set(`kept: own, dkim_public_key: BinData(0, "${other}")`);
        expect((await mail()).filter(({ status }) => status !== "pass")).toMatchObject([
            { status: "fail", subject: `DKIM of mail by ${LOGIN.user}` },
        ]);
        set("dkim_public_key: kept");
    });
});

if (isLong)
    describe("prune", () => {
        const prune = (key: Keys) => {
            const text = readFileSync(path.join(folder(), "repository.env"), "utf8");
            const input = text
                .replace(/KEY_ID=.*/, `KEY_ID=${key.accessKeyId}`)
                .replace(/SECRET_ACCESS_KEY=.*/, `SECRET_ACCESS_KEY=${key.secretAccessKey}`);
            return spawnSync("sh", [path.join(folder(), "backup"), "prune"], { input, encoding: "utf8" });
        };

        test("needs the key of whoever prunes, keeps the last set of a day, and leaves no credentials", async () => {
            const before = sets();
            expect(before.length).toBeGreaterThan(1);
            const conf = path.join(folder(), "backup.conf");
            const snapshots = async () => (await bucket.s3.list(bucket.name, `${PREFIX}/snapshots/`)).length;
            const all = await snapshots();
            appendFileSync(conf, "LOCK_DAYS=7\nKEEP='--keep-within-daily 1d --keep-within 7d'\n"); // on R2, whose lock would refuse
            expect(prune(bucket.pruner).status).toBe(0);
            expect(await snapshots()).toBe(all);
            appendFileSync(conf, "LOCK_DAYS=0\nKEEP='--keep-within-daily 7d'\n"); // however late in the hour it is
            expect(prune(bucket.server).stderr).toMatch(/the key may not delete in the bucket/);
            expect(sets()).toEqual(before);
            expect(prune(bucket.pruner)).toMatchObject({ status: 0, stderr: "" });
            const after = sets();
            expect(after.length).toBeLessThan(before.length);
            expect(after.at(-1)).toBe(before.at(-1));
            expect(
                world.onHost([
                    "sh",
                    "-c",
                    `grep -slF '${bucket.pruner.secretAccessKey}' /tmp/* || true; grep -rlF '${bucket.pruner.secretAccessKey}' ${folder()} || true`,
                ]),
            ).toBe("");
            script("drill");
        });
    });

/** The script as a process group of its own. */
function start(...words: string[]): ChildProcess {
    return spawn("sh", [path.join(folder(), "backup"), ...words], { detached: true, stdio: "ignore" });
}

describe("restore", () => {
    let dkim: string;
    let recovered: Record<string, string>;

    if (isLong)
        test("in place: what came after the set is gone, and can be brought back", async () => {
            const mail = keepDelivering("second");
            await sleep(1500);
            await mail.stop();
            script("run");
            const set = sets().at(-1)!;
            await deliver(world.target, { from: "sender@example.net", to: LOGIN.user, subject: "after the set", text: "x" });
            expect(await subjects()).toEqual(expect.arrayContaining([...accepted, "after the set"]));
            script("replace", set);
            expect((await world.up()).ok).toBe(true);
            const back = await subjects();
            expect(back).toEqual(expect.arrayContaining(accepted));
            expect(back).not.toContain("after the set");
            script("undo");
            expect((await world.up()).ok).toBe(true);
            expect(await subjects()).toContain("after the set");
        });

    test("a server that is gone with its disk comes back from the bucket: every mail, every login, the same keys", async () => {
        const mail = keepDelivering("third");
        await sleep(1500);
        await mail.stop();
        script("run");
        dkim = dkimKey();
        const count = received();
        await remove(world.session, true, () => undefined);
        expect(world.docker("volume", "ls", "-q").trim()).toBe("");
        await world.forget();
        await world.open(withoutSecrets());
        await giveSecrets();
        const { ok, text } = await world.up({ ...backups(), "forwardemail:restoreFrom": "latest" });
        expect(text).not.toContain("error");
        expect(ok).toBe(true);
        expect(await subjects()).toEqual(expect.arrayContaining(accepted));
        expect(dkimKey()).toBe(dkim);
        expect(received()).toBe(count);
        recovered = world.outputs.restoredSecrets.value as Record<string, string>;
    });

    if (isLong)
        test("its secrets, given in the config, keep it as it is without the set", async () => {
            await world.secret("restoredSecrets", JSON.stringify(recovered));
            const { ok, changes } = await world.up({ "forwardemail:restoreFrom": undefined });
            expect(ok).toBe(true);
            expect(changes).toEqual({ delete: expect.any(Number), same: expect.any(Number), update: 1 }); // an empty bucket is expected no more
            script("run"); // and it is backed up again
        });

    test("where there are data, the script that restoreFrom runs refuses", async () => {
        expect(() => script("restore", sets()[0])).toThrow(/this deployment has data, and restoreFrom is for one that has none/);
        expect(await subjects()).toEqual(expect.arrayContaining(accepted));
    });

    if (isLong)
        test("an installation by upstream's script is taken over: every mail, every login, its keys, the queue", async () => {
            const { from, stored, count } = upstream(recovered);
            await remove(world.session, true, () => undefined);
            await world.forget();
            await world.open({ ...withoutSecrets(), "forwardemail:restoredSecrets": undefined });
            await giveSecrets();
            const up = () => world.up({ ...backups(), "forwardemail:restoreFrom": from });
            renameSync(stored, `${stored}.kept`);
            expect((await up()).text).toMatch(/lacks sqlite-backups\/sqlite-backup-\*\.tgz\. Fix: run the scripts/);
            const older = stored.replace("2026-11-26", "2026-11-20");
            renameSync(`${stored}.kept`, older);
            expect((await up()).text).toMatch(/newest backups in .* are of different times: .*the application deletes mailboxes/);
            expect(world.running()).toEqual([]);
            renameSync(older, stored);
            const { ok, text } = await up();
            expect(text).not.toContain("error");
            expect(ok).toBe(true);
            expect(await subjects()).toEqual(expect.arrayContaining(accepted));
            expect(dkimKey()).toBe(dkim);
            expect(received()).toBe(count);
            expect(Object.keys((await world.up()).changes)).toEqual(["same"]);
            script("run");
        });

    /** What upstream's scripts leave of a deployment like this one: three backups, .env and the key, in one folder. */
    function upstream(secrets: Record<string, string>): { from: string; stored: string; count: string } {
        const from = path.join(world.rehearsal.directory, "upstream");
        rmSync(from, { recursive: true, force: true });
        for (const folder of ["mongo-backups", "redis-backups", "sqlite-backups", "ssl"]) mkdirSync(path.join(from, folder), { recursive: true });
        const [mongodb, redis] = [world.container("mongodb"), world.container("redis")];
        const dump = "mongo-backup-2026-11-26_00-00";
        const command = `mongodump --quiet --uri "mongodb://$MONGODB_USER:$MONGODB_PASSWORD@127.0.0.1/?authSource=admin" --out /tmp/${dump} && tar -cz -C /tmp ${dump}`;
        const env = { ...process.env, DOCKER_HOST: world.rehearsal.host.dockerHost };
        writeFileSync(path.join(from, "mongo-backups", `${dump}.tgz`), execFileSync("docker", ["exec", mongodb, "sh", "-c", command], { env }));
        world.docker("exec", redis, "redis-cli", "SAVE");
        world.docker("cp", `${redis}:/data/dump.rdb`, path.join(from, "redis-backups", "redis-2026-11-26_00-01.rdb"));
        const stored = path.join(from, "sqlite-backups", "sqlite-backup-2026-11-26_00-02.tgz");
        const mailboxes = world.docker("volume", "inspect", "-f", "{{.Mountpoint}}", "forwardemail-e2e-mailboxes").trim();
        execFileSync("tar", ["-czf", stored, "-C", mailboxes, "--exclude=.forwardemail*", "."]);
        writeFileSync(path.join(from, "ssl", "dkim.key"), secrets["dkimKeys.default"]);
        const values = {
            DOMAIN: HOST,
            IMAGE_TAG: "v2.15.0",
            COMPOSE_PROFILES: "storage",
            HELPER_ENCRYPTION_KEY: `"${secrets.helperEncryptionKey}"`,
            TXT_ENCRYPTION_KEY: secrets.txtEncryptionKey,
            SRS_SECRET: secrets.srsSecret,
            WEBHOOK_SIGNATURE_KEY: secrets.webhookSignatureKey,
        };
        writeFileSync(path.join(from, ".env"), ["# of the old server", ...Object.entries(values).map((pair) => pair.join("="))].join("\n"));
        return { from, stored, count: received() };
    }

    const received = () => world.docker("exec", world.container("redis"), "redis-cli", "GET", `received:${DOMAIN}`);
    const dkimKey = () =>
        world.docker(
            "run",
            "--rm",
            "--entrypoint",
            "cat",
            "-v",
            "forwardemail-e2e-keys:/keys",
            world.session.settings.images.redis.reference,
            "/keys/dkim.key",
        );
});
