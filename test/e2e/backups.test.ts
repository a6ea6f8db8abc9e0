import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { setsOf } from "../../operate/backup";
import { BackupHost, askScript } from "../../operate/backupHost";
import { remove } from "../../operate/down";
import { type S3Server, startS3 } from "../rig/s3";
import type { Keys } from "../rig/s3/client";
import { deliver, makeMailbox, readImap, request } from "./clients";
import { HOST, World } from "./world";

/** With what takes minutes more: test/long. */
const isLong = process.env.E2E_LONG === "true";

// One story: a deployment on a file system without snapshots, its bucket, and what can happen to both.

const DOMAIN = "example.org";
const LOGIN = { user: `alice@${DOMAIN}`, pass: "a-mailbox-password" };
const ADMIN = { email: `root@${HOST}`, password: "an-admin-password" };
const BUCKET = "mail-backups";
const PREFIX = "forwardemail-e2e";

let world: World;
let s3: S3Server;
let keys: { server: Keys; pruner: Keys };
/** Subjects of what the server has taken. */
const accepted: string[] = [];

beforeAll(async () => {
    world = await World.start({ "forwardemail:version": "v2.15.0" });
    s3 = await startS3(world.rehearsal.host, { dir: path.join(world.rehearsal.directory, "s3"), log: console.log });
    await s3.createBucket(BUCKET, { versioning: true });
    keys = { server: await s3.createUser("server"), pruner: await s3.createUser("pruner") };
    await s3.setPolicy(BUCKET, policy());
    await giveSecrets();
});
afterAll(async () => {
    await s3?.stop();
    await world?.stop();
});

/** What docs/backups.md asks for: the server may add, read, and remove locks; who prunes may delete, but no old version. */
function policy(): object {
    const bucket = `arn:aws:s3:::${BUCKET}`;
    const allow = (users: string[], actions: string[], resource: string) => ({
        Effect: "Allow",
        Principal: { AWS: users },
        Action: actions.map((action) => `s3:${action}`),
        Resource: resource,
    });
    return {
        Version: "2012-10-17",
        Statement: [
            allow(["server", "pruner"], ["ListBucket", "GetBucketLocation"], bucket),
            allow(["server", "pruner"], ["GetObject", "PutObject"], `${bucket}/${PREFIX}/*`),
            allow(["server"], ["DeleteObject"], `${bucket}/${PREFIX}/locks/*`),
            allow(["pruner"], ["DeleteObject"], `${bucket}/${PREFIX}/*`),
        ],
    };
}

async function giveSecrets(): Promise<void> {
    await world.secret("backupSecretKey", keys.server.secretAccessKey);
    await world.secret("backupPruneSecretKey", keys.pruner.secretAccessKey);
    await world.secret("backupPassphrase", "the one thing to keep");
}

const backups = (changes: object = {}) => ({
    "forwardemail:backups": {
        provider: "s3",
        bucket: BUCKET,
        endpoint: s3.endpoint,
        region: s3.region,
        accessKeyId: "server",
        pruneAccessKeyId: "pruner",
        ...changes,
    },
});

function host(): BackupHost {
    const { session } = world;
    return { session, server: session.settings.servers[0], backups: session.settings.backups! };
}
const script = (...words: string[]) => askScript(host(), words);
const sets = () => setsOf(script("sets"));
const status = () => JSON.parse(readFileSync(path.join(folder(), "status.json"), "utf8")) as Record<string, unknown>;
const folder = () => world.docker("volume", "inspect", "-f", "{{.Mountpoint}}", "forwardemail-e2e-backup").trim();
const paused = () => world.docker("ps", "-q", "--filter", "status=paused").trim();

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
        const said = (file: string, from: string, to: string, ...words: string[]) => {
            const name = path.join(folder(), file);
            const text = readFileSync(name, "utf8");
            expect(text).toContain(from);
            writeFileSync(name, text.replace(from, to));
            try {
                script(...words);
                return "nothing was said";
            } catch (error) {
                return (error as Error).message;
            } finally {
                writeFileSync(name, text);
            }
        };
        const repository = (from: string, to: string) => said("repository.env", from, to, "open");
        const conf = (from: string, to: string) => said("backup.conf", from, to, "open");
        expect(repository("the one thing", "another thing")).toMatch(/the passphrase is not that of the repository .*backupPassphrase/);
        expect(repository("AWS_SECRET_ACCESS_KEY=", "AWS_SECRET_ACCESS_KEY=x")).toMatch(
            /secret does not belong to the access key id.*backupSecretKey/,
        );
        expect(repository("KEY_ID=server", "KEY_ID=stranger")).toMatch(/does not know the access key id.*backups\.accessKeyId/);
        expect(conf(`BUCKET='${BUCKET}'`, "BUCKET=no-such-bucket")).toMatch(/there is no bucket no-such-bucket .*backups\.bucket/);
        expect(conf(`ENDPOINT='${s3.endpoint}'`, "ENDPOINT=http://127.0.0.1:9")).toMatch(/cannot be reached.*backups\.endpoint/);
        expect(conf(`REGION='${s3.region}'`, "REGION=eu-west-1")).toMatch(/is not in region eu-west-1 .*backups\.region/);
        script("open"); // and with what is right, it opens
    });

    test("a second up changes nothing", async () => {
        expect(Object.keys((await world.up()).changes)).toEqual(["same"]);
    });

    test("a set is made while mail arrives, and the services stand still for a moment only", async () => {
        const mail = keepDelivering("first");
        await sleep(1000);
        const text = script("run");
        await mail.stop();
        expect(text).toMatch(/^set \d{8}T\d{6}Z: .* the services stood still for \d+ ms \(copy\)$/m);
        expect(sets()).toHaveLength(1);
        expect(status()).toMatchObject({ exitStatus: 0, error: "", set: sets()[0] });
        expect(readFileSync(path.join(folder(), "metrics.prom"), "utf8")).toMatch(/^forwardemail_backup_last_success_timestamp_seconds \d{10}$/m);
        console.log(text.trim());
    });

    test("the bucket holds nothing that can be read, and the server's key deletes no data", async () => {
        const objects = await s3.list(BUCKET, PREFIX);
        const contents = await Promise.all(objects.map(({ key }) => s3.get(BUCKET, key)));
        for (const content of contents) expect(content.includes("text of first")).toBe(false);
        const pack = objects.find(({ key }) => key.includes("/data/"))!;
        const { DeleteObjectCommand } = await import("@aws-sdk/client-s3");
        await expect(s3.client(keys.server).send(new DeleteObjectCommand({ Bucket: BUCKET, Key: pack.key }))).rejects.toThrow(/denied/i);
    });

    if (isLong)
        test("a run that is killed at any point leaves no set and nothing paused, and the next one heals", async () => {
            const before = sets();
            for (const wait of [600, 1500, 2500, 4000]) {
                const run = start("run");
                await sleep(wait + Math.random() * 400);
                process.kill(-run.pid!, "SIGKILL");
            }
            script("run");
            expect(paused()).toBe("");
            const after = sets();
            expect(after.length).toBe(before.length + 1);
            expect(after[0]).toBe(before[0]);
        });

    if (isLong)
        test("a store that refuses, is full or is slow fails the run and leaves the services alone", async () => {
            const before = sets();
            const conf = path.join(folder(), "backup.conf");
            appendFileSync(conf, "PATIENCE=15\n"); // restic goes on trying for a quarter of an hour
            for (const [how, said] of [
                [{ refuseWrites: true }, /the key may not use the bucket/],
                [{ full: true }, /the bucket is full/],
            ] as const) {
                await s3.disturb(how);
                expect(() => script("run")).toThrow(said);
                expect(status()).toMatchObject({ exitStatus: 1 });
                expect(paused()).toBe("");
            }
            await s3.disturb({ bytesPerSecond: 200_000 });
            script("run");
            await s3.disturb({});
            expect(sets()).toHaveLength(before.length + 1);
        });

    test("the drill opens the newest set and says how old it is", () => {
        const text = script("drill");
        expect(text).toMatch(new RegExp(`set ${sets().at(-1)} can be restored: 1 mailboxes, \\d+ documents`));
        expect(text).toMatch(/RPO \d+ s .*RTO \d+ s/);
    });

    test("one byte that was flipped in the bucket is found by the drill", async () => {
        const packs = (await s3.list(BUCKET, `${PREFIX}/data/`)).sort((a, b) => b.size - a.size);
        const good = await s3.get(BUCKET, packs[0].key);
        const bad = Buffer.from(good);
        bad[Math.floor(bad.length / 3)] ^= 1;
        await s3.put(BUCKET, packs[0].key, bad);
        expect(() => script("drill")).toThrow(/cannot be read whole/);
        await s3.put(BUCKET, packs[0].key, good);
        script("drill");
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

        test("needs the key of whoever prunes, keeps the last set of a day, and leaves no credentials", () => {
            const before = sets();
            expect(before.length).toBeGreaterThan(1);
            appendFileSync(path.join(folder(), "backup.conf"), "KEEP='--keep-within-daily 7d'\n"); // however late in the hour it is
            expect(prune(keys.server).stderr).toMatch(/the key may not delete in the bucket/);
            expect(sets()).toEqual(before);
            expect(prune(keys.pruner)).toMatchObject({ status: 0, stderr: "" });
            const after = sets();
            expect(after.length).toBeLessThan(before.length);
            expect(after.at(-1)).toBe(before.at(-1));
            expect(world.onHost(["sh", "-c", `grep -rlF '${keys.pruner.secretAccessKey}' /tmp ${folder()} || true`])).toBe("");
            script("drill");
        });
    });

/** The script as a process group of its own. */
function start(...words: string[]): ChildProcess {
    return spawn("sh", [path.join(folder(), "backup"), ...words], { detached: true, stdio: "ignore" });
}

describe("restore", () => {
    let dkim: string;

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
        await remove(world.session, true, () => undefined);
        expect(world.docker("volume", "ls", "-q").trim()).toBe("");
        await world.forget();
        const keys = ["backups", "backupSecretKey", "backupPruneSecretKey", "backupPassphrase"]; // encrypted for the stack that is gone
        await world.open(Object.fromEntries(keys.map((key) => [`forwardemail:${key}`, undefined])));
        await giveSecrets();
        const { ok, text } = await world.up({ ...backups(), "forwardemail:restoreFrom": "latest" });
        expect(text).not.toContain("error");
        expect(ok).toBe(true);
        expect(await subjects()).toEqual(expect.arrayContaining(accepted));
        expect(dkimKey()).toBe(dkim);
    });

    test("its secrets, given in the config, keep it as it is without the set", async () => {
        await world.secret("restoredSecrets", JSON.stringify(world.outputs.restoredSecrets.value));
        const { ok, changes } = await world.up({ "forwardemail:restoreFrom": undefined });
        expect(ok).toBe(true);
        expect(Object.keys(changes).sort()).toEqual(["delete", "same"]);
        script("run"); // and it is backed up again
    });

    test("restoreFrom is refused where there is data", async () => {
        const { ok, text } = await world.up({ "forwardemail:restoreFrom": sets()[0] });
        expect(ok).toBe(false);
        expect(text).toMatch(/this deployment has data, and restoreFrom is for one that has none/);
        expect((await world.up({ "forwardemail:restoreFrom": undefined })).ok).toBe(true);
        expect(await subjects()).toEqual(expect.arrayContaining(accepted));
    });

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
