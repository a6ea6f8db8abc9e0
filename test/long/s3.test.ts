import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { DeleteObjectCommand, ListObjectVersionsCommand, PutBucketPolicyCommand, PutBucketVersioningCommand } from "@aws-sdk/client-s3";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Lock, parseLock } from "../../components/settings/images";
import { docker } from "../../operate/health";
import { Rehearsal, startRehearsal, stopRehearsal } from "../../operate/rehearsal";
import { run } from "../rig/images/run";
import { S3Server, startS3 } from "../rig/s3";
import { Keys } from "../rig/s3/client";
import { DIRECTORY, HOST_NAME } from "../e2e/world";

// The S3 server that backups are tested with, as the real restic sees it: it keeps what it is to keep, and each kind of trouble that it can make comes and goes.

const BUCKET = "backups";
/** Bytes of the file that is backed up; random, so that restic cannot make them fewer. */
const SIZE = 1_000_000;

let rehearsal: Rehearsal;
let s3: S3Server;
let folder: string;
let image: string;
beforeAll(async () => {
    folder = mkdtempSync(path.join(tmpdir(), "s3-"));
    rehearsal = await startRehearsal(HOST_NAME, DIRECTORY, console.log);
    image = referenceOf(parseLock(readFileSync((rehearsal.overlay["forwardemail:images"] as { lockFile: string }).lockFile, "utf8")).restic);
    s3 = await startS3(rehearsal.host, { dir: path.join(DIRECTORY, "s3"), log: console.log });
    await s3.createBucket(BUCKET, { versioning: true });
});
afterEach(() => s3.disturb({}));
afterAll(async () => {
    rmSync(folder, { recursive: true, force: true });
    await stopRehearsal(HOST_NAME, DIRECTORY);
});

function referenceOf({ repository, releases }: Lock["restic"]): string {
    const [[tag, { digest }]] = Object.entries(releases);
    return `${repository}:${tag}@${digest}`;
}

/** Starts restic with a repository below `repository/` in the bucket; answers its container. */
function start(repository: string, keys: Keys, ...argv: string[]): Promise<string> {
    const passed = {
        RESTIC_PASSWORD: "a passphrase",
        RESTIC_REPOSITORY: `s3:${s3.endpoint}/${BUCKET}/${repository}`,
        AWS_DEFAULT_REGION: s3.region,
        AWS_ACCESS_KEY_ID: keys.accessKeyId,
        AWS_SECRET_ACCESS_KEY: keys.secretAccessKey,
    };
    const names = Object.keys(passed).flatMap((name) => ["--env", name]);
    const command = ["run", "--detach", "--volume", `${folder}:/data:ro`, ...names, image, "--no-cache", ...argv];
    return run("docker", command, { env: { ...passed, DOCKER_HOST: rehearsal.host.dockerHost } }).then((id) => id.trim());
}

const said = (container: string) => docker(["logs", container], rehearsal.host.dockerHost, "merge");
const runs = (container: string) => docker(["inspect", "--format", "{{.State.Running}}", container], rehearsal.host.dockerHost).trim() === "true";

/** Waits for the end, and answers what it said; an error where it failed. */
async function ended(container: string): Promise<string> {
    const code = await run("docker", ["wait", container], { env: { DOCKER_HOST: rehearsal.host.dockerHost } });
    const text = said(container);
    docker(["rm", container], rehearsal.host.dockerHost);
    if (code.trim() !== "0") throw new Error(text);
    return text;
}

const restic = (repository: string, keys: Keys, ...argv: string[]) => start(repository, keys, ...argv).then(ended);

/** Something new to back up. */
const fill = () => writeFileSync(path.join(folder, "mailbox"), randomBytes(SIZE));

test("a backup is made, found and whole, and a changed byte is noticed", async () => {
    fill();
    await restic("r", s3.admin, "init");
    await restic("r", s3.admin, "backup", "/data");
    expect(JSON.parse(await restic("r", s3.admin, "snapshots", "--json"))).toMatchObject([{ paths: ["/data"] }]);
    expect(await restic("r", s3.admin, "check", "--read-data")).toContain("no errors were found");

    const [pack] = (await s3.list(BUCKET, "r/data/")).sort((a, b) => b.size - a.size);
    expect(pack.size).toBeGreaterThan(SIZE);
    const bytes = await s3.get(BUCKET, pack.key);
    const changed = Buffer.from(bytes);
    changed[1000] ^= 1;
    await s3.put(BUCKET, pack.key, changed);
    await expect(restic("r", s3.admin, "check", "--read-data")).rejects.toThrow(/ciphertext verification failed/);
    await s3.put(BUCKET, pack.key, bytes);
    expect(await restic("r", s3.admin, "check", "--read-data")).toContain("no errors were found");
});

test("what is overwritten or deleted is kept until its version is removed; a bucket without versions forgets it", async () => {
    await s3.createBucket("forgetful");
    for (const bucket of [BUCKET, "forgetful"]) {
        for (const body of ["first", "second"]) await s3.put(bucket, "v/key", body);
        await s3.remove(bucket, "v/key");
        expect(await s3.list(bucket, "v/")).toEqual([]);
    }
    expect(await s3.versions("forgetful")).toEqual([]);

    const [marker, second, first, ...more] = await s3.versions(BUCKET, "v/");
    expect([marker, second, first]).toMatchObject([
        { key: "v/key", latest: true, deleted: true },
        { latest: false, deleted: false, size: 6 },
        { latest: false, deleted: false, size: 5 },
    ]);
    expect(more).toEqual([]);
    expect(String(await s3.get(BUCKET, "v/key", first.versionId))).toBe("first");

    await s3.remove(BUCKET, "v/key", marker.versionId);
    expect(String(await s3.get(BUCKET, "v/key"))).toBe("second");
    await s3.remove(BUCKET, "v/key", first.versionId);
    expect(await s3.versions(BUCKET, "v/")).toEqual([{ ...second, latest: true }]);
});

test("a user who may delete locks only makes backups and destroys nothing", async () => {
    const user = await s3.createUser("server");
    await expect(restic("own", user, "init")).rejects.toThrow(/Access Denied/);
    const [arn, Principal] = [`arn:aws:s3:::${BUCKET}`, { AWS: [user.accessKeyId] }];
    await s3.setPolicy(BUCKET, {
        Version: "2012-10-17",
        Statement: [
            { Effect: "Allow", Principal, Action: ["s3:ListBucket"], Resource: arn },
            { Effect: "Allow", Principal, Action: ["s3:GetObject", "s3:PutObject"], Resource: `${arn}/own/*` },
            { Effect: "Allow", Principal, Action: ["s3:DeleteObject"], Resource: `${arn}/own/locks/*` },
        ],
    });
    await restic("own", user, "init");
    await restic("own", user, "backup", "/data");
    expect(await s3.list(BUCKET, "own/locks/")).toEqual([]);
    expect(await restic("own", user, "forget", "latest")).toContain("Access Denied"); // and yet it ends with 0
    const [snapshot, ...more] = await s3.versions(BUCKET, "own/snapshots/");
    expect([snapshot, more]).toEqual([expect.objectContaining({ latest: true, deleted: false }), []]);

    const [Bucket, client] = [BUCKET, s3.client(user)];
    const lock = (await s3.versions(BUCKET, "own/locks/")).find(({ deleted }) => !deleted)!;
    for (const command of [
        new DeleteObjectCommand({ Bucket, Key: snapshot.key }),
        new DeleteObjectCommand({ Bucket, Key: snapshot.key, VersionId: snapshot.versionId }),
        new DeleteObjectCommand({ Bucket, Key: lock.key, VersionId: lock.versionId }),
        new ListObjectVersionsCommand({ Bucket }),
        new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: "Suspended" } }),
        new PutBucketPolicyCommand({ Bucket, Policy: "{}" }),
    ])
        await expect(client.send(command as DeleteObjectCommand), command.constructor.name).rejects.toMatchObject({ name: "AccessDenied" });
    const statement = { Effect: "Deny", Principal, Action: "s3:*", Resource: arn, Condition: {} };
    await expect(s3.setPolicy(BUCKET, { Statement: [statement] })).rejects.toThrow(/knows no Condition/);
});

test("writes are refused, and reading goes on", async () => {
    await s3.disturb({ refuseWrites: true });
    await expect(restic("r", s3.admin, "backup", "/data")).rejects.toThrow(/Access Denied/);
    expect(JSON.parse(await restic("r", s3.admin, "snapshots", "--json", "--no-lock"))).toHaveLength(1);
    await s3.disturb({});
    await restic("r", s3.admin, "backup", "/data");
});

test("a full server takes nothing but deletions; with space again, the same backup ends well", async () => {
    await s3.disturb({ full: true });
    const backup = await start("r", s3.admin, "backup", "/data");
    await expect.poll(() => said(backup), { timeout: 20_000 }).toMatch(/returned error, retrying after .*Storage backend has reached/);
    await s3.put(BUCKET, `r/locks/${"0".repeat(64)}`, "a lock that was left");
    await restic("r", s3.admin, "unlock", "--remove-all");
    expect(await s3.list(BUCKET, "r/locks/")).toEqual([]);
    await s3.disturb({});
    expect(await ended(backup)).toMatch(/operation successful after \d+ retries/);
});

test("a slow line carries a body at its rate, until it is fast again", async () => {
    fill();
    const quick = await timed(() => restic("r", s3.admin, "backup", "/data"));
    fill();
    const bytesPerSecond = SIZE / 60;
    await s3.disturb({ bytesPerSecond });
    const all = await timed(async () => {
        const backup = await start("r", s3.admin, "backup", "/data");
        await sleep(quick + 4000);
        expect(runs(backup)).toBe(true);
        await s3.disturb({});
        await ended(backup);
    });
    expect(all).toBeLessThan(60_000);
});

async function timed(action: () => Promise<unknown>): Promise<number> {
    const began = Date.now();
    await action();
    return Date.now() - began;
}
