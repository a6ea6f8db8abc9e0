import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import * as aws from "@pulumi/aws";
import * as cloudflare from "@pulumi/cloudflare";
import * as pulumi from "@pulumi/pulumi";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AwsBucket, AwsBucketArgs } from "../../components/backups/awsBucket";
import { BackupBucket } from "../../components/backups/bucket";
import { BUCKET_ITEM_WRITE, R2Bucket, R2BucketArgs } from "../../components/backups/r2Bucket";
import { Planned, planProgram, planStack } from "../../operate/planned";
import { accountIn, readAccount } from "../rig/aws/account";
import { isAllowed } from "../rig/aws/evaluate";
import { awsProvider } from "../rig/aws/resources";
import { cloudflareConsole } from "../rig/cloudflare/console";
import { accountFile, readAccount as readCloudflare } from "../rig/cloudflare/account";
import { cloudflareProvider } from "../rig/cloudflare/resource";
import { inFile } from "../rig/providers/account";

const NAME = "forwardemail-prod-backups";
const DEPLOYMENT = "forwardemail-prod";

/** The plan of a program that declares a bucket, and what the bucket tells. */
async function planned(declare: () => BackupBucket, firstPreview = false) {
    let bucket!: BackupBucket;
    const plan = await planProgram(() => (bucket = declare()), "forwardemail", "prod", firstPreview);
    const one = (name: string): { inputs: Record<string, unknown>; options: Record<string, unknown> } => {
        const found = plan.filter((r) => `${r.type.split(":").at(-1)} ${r.name}` === name);
        expect(found, name).toHaveLength(1);
        return found[0] as never;
    };
    const kept = plan.filter(({ options }) => options.protect).map((r) => `${r.type.split(":").at(-1)} ${r.name.replace(`${NAME}-`, "")}`);
    return { plan, bucket, one, kept };
}

const directory = mkdtempSync(path.join(tmpdir(), "backups-"));
afterAll(() => rmSync(directory, { recursive: true }));

/** Has a stand-in provider make what a program declares, in the order in which the engine would ask it to. Answers what it refused. */
async function made(provider: Pick<ReturnType<typeof awsProvider>, "check" | "create">, program: () => void): Promise<string[]> {
    const refused: string[] = [];
    const newResource = async ({ type, name, inputs }: pulumi.runtime.MockResourceArgs) => {
        if (type.startsWith("pulumi:") || type.startsWith("forwardemail:")) return { id: name, state: inputs as object };
        const urn = `urn:pulumi:prod::forwardemail::${type}::${name}`;
        try {
            const { failures } = await provider.check(urn, {}, inputs);
            if (failures.length > 0) throw new Error(failures.map(({ reason }) => reason).join("\n"));
            const { id, outs } = await provider.create(urn, inputs as never);
            return { id, state: outs as object };
        } catch (error) {
            refused.push(`${name}: ${(error as Error).message}`);
            return { id: name, state: inputs as object };
        }
    };
    await pulumi.runtime.setMocks({ newResource, call: ({ inputs }) => inputs as object }, "forwardemail", "prod", false, "organization");
    program();
    await pulumi.runtime.disconnect();
    return refused;
}

const value = (input?: pulumi.Input<string>) => new Promise<string>((done) => pulumi.output(input!).apply(done));
/** Every resource of a plan is under the component, and uses its provider. */
const astray = (plan: Planned[], component: string) =>
    plan.filter((r) => /^(aws|cloudflare):/.test(r.type) && (r.parent !== `${component}::${NAME}` || r.options.provider !== "elsewhere"));

describe("on AWS", () => {
    const declare = (more: Partial<AwsBucketArgs> = {}) => {
        const provider = new aws.Provider("elsewhere", { region: "eu-west-1" });
        return new AwsBucket(NAME, { deployment: DEPLOYMENT, prefix: "restic", keepVersionsDays: 90, ...more }, { provider });
    };
    let usual: Awaited<ReturnType<typeof planned>>;
    beforeAll(async () => {
        usual = await planned(declare);
    });
    const inBucket = { bucket: `${NAME}-bucket-abc1234` };

    test("all of the bucket is protected, so that it stays as it is when the stack is taken down; the component is not", () => {
        expect(usual.kept).toEqual([
            "AccessKey pruner",
            "AccessKey writer",
            "User pruner",
            "User writer",
            "UserPolicy pruner",
            "UserPolicy writer",
            "Bucket bucket",
            "BucketLifecycleConfiguration lifecycle",
            "BucketOwnershipControls ownership",
            "BucketPolicy policy",
            "BucketPublicAccessBlock access",
            "BucketServerSideEncryptionConfiguration encryption",
            "BucketVersioning versioning",
        ]);
        expect(astray(usual.plan, "forwardemail:backups:AwsBucket")).toEqual([]);
    });

    test("the bucket is named after the deployment, never destroyed with what is in it, and never replaced for a lock", () => {
        expect(usual.one(`Bucket ${NAME}-bucket`).inputs).toEqual({
            bucketPrefix: `${NAME}-`,
            forceDestroy: false,
            tags: { "forwardemail:deployment": DEPLOYMENT },
        });
    });

    test("it keeps versions, encrypts, and lets nobody in without IAM and TLS", () => {
        expect(usual.one(`BucketVersioning ${NAME}-versioning`).inputs).toEqual({ ...inBucket, versioningConfiguration: { status: "Enabled" } });
        expect(usual.one(`BucketServerSideEncryptionConfiguration ${NAME}-encryption`).inputs).toEqual({
            ...inBucket,
            rules: [{ applyServerSideEncryptionByDefault: { sseAlgorithm: "AES256" }, blockedEncryptionTypes: ["SSE-C"] }],
        });
        expect(usual.one(`BucketOwnershipControls ${NAME}-ownership`).inputs).toEqual({
            ...inBucket,
            rule: { objectOwnership: "BucketOwnerEnforced" },
        });
        const all = { blockPublicAcls: true, blockPublicPolicy: true, ignorePublicAcls: true, restrictPublicBuckets: true };
        expect(usual.one(`BucketPublicAccessBlock ${NAME}-access`).inputs).toEqual({ ...inBucket, ...all });
        const { policy } = usual.one(`BucketPolicy ${NAME}-policy`).inputs;
        const { Statement } = JSON.parse(policy as string) as { Statement: { Sid: string; Resource: string[] }[] };
        expect(Statement.map(({ Sid }) => Sid)).toEqual(["DenyWithoutTls", "DenyOldTls", "DenyOtherEncryption"]);
        expect(Statement[0].Resource).toEqual([`arn:aws:s3:::${inBucket.bucket}`, `arn:aws:s3:::${inBucket.bucket}/*`]);
    });

    test("old versions, their marks and aborted uploads go in their time, in the repository's folder", () => {
        const { inputs, options } = usual.one(`BucketLifecycleConfiguration ${NAME}-lifecycle`);
        const rule = { status: "Enabled", filter: { prefix: "restic/" } };
        expect(inputs).toEqual({
            ...inBucket,
            rules: [
                { ...rule, id: "old-versions", noncurrentVersionExpiration: { noncurrentDays: 90 }, expiration: { expiredObjectDeleteMarker: true } },
                { ...rule, id: "aborted-uploads", abortIncompleteMultipartUpload: { daysAfterInitiation: 2 } },
            ],
        });
        expect(options.dependsOn).toContain(`${NAME}-versioning`);
    });

    test("no key is there before history is kept and the bucket is closed; changes of the bucket wait for each other", async () => {
        const depends = (name: string) => usual.one(name).options.dependsOn;
        for (const role of ["writer", "pruner"])
            expect(depends(`AccessKey ${NAME}-${role}`)).toEqual(expect.arrayContaining([`${NAME}-policy`, `${NAME}-versioning`]));
        expect(depends(`BucketPolicy ${NAME}-policy`)).toContain(`${NAME}-access`);
        expect(depends(`BucketPublicAccessBlock ${NAME}-access`)).toContain(`${NAME}-ownership`);
        const locked = await planned(() => declare({ objectLockDays: 30 }));
        expect(locked.one(`AccessKey ${NAME}-writer`).options.dependsOn).toContain(`${NAME}-lock`);
    });

    test("each user has its own rights and key; the pruner may hide more, and neither may destroy", () => {
        const actions = (role: string) => {
            const { policy, user } = usual.one(`UserPolicy ${NAME}-${role}`).inputs;
            expect(user).toBe(`${NAME}-${role}-abc1234`);
            expect(usual.one(`AccessKey ${NAME}-${role}`).inputs).toEqual({ user });
            return JSON.parse(policy as string) as { Statement: { Action: string[]; Resource: string[] }[] };
        };
        const remove = (role: string) => actions(role).Statement.filter(({ Action }) => Action.some((one) => one.includes("Delete")));
        expect(remove("writer")).toMatchObject([{ Action: ["s3:DeleteObject"], Resource: [`arn:aws:s3:::${inBucket.bucket}/restic/locks/*`] }]);
        expect(remove("pruner")).toMatchObject([{ Action: ["s3:DeleteObject"], Resource: [`arn:aws:s3:::${inBucket.bucket}/restic/*`] }]);
    });

    test("Object Lock comes when asked for, may be left out again, and changes nothing else of the bucket", async () => {
        expect(usual.plan.filter(({ name }) => name === `${NAME}-lock`)).toEqual([]);
        const locked = await planned(() => declare({ objectLockDays: 30 }));
        const { inputs, options } = locked.one(`BucketObjectLockConfiguration ${NAME}-lock`);
        expect(inputs).toEqual({ ...inBucket, rule: { defaultRetention: { mode: "GOVERNANCE", days: 30 } } });
        expect(options.dependsOn).toContain(`${NAME}-versioning`);
        expect(options.protect).toBeUndefined();
        expect(locked.one(`Bucket ${NAME}-bucket`).inputs).toEqual(usual.one(`Bucket ${NAME}-bucket`).inputs);
    });

    test("it tells where it is, and keeps its secrets", async () => {
        const { name, region, endpoint, writer, pruner } = usual.bucket;
        expect(await Promise.all([name, region, endpoint].map(value))).toEqual([
            inBucket.bucket,
            "eu-central-1",
            "https://s3.eu-central-1.amazonaws.com",
        ]);
        expect(await Promise.all([writer, pruner].map(({ accessKeyId }) => value(accessKeyId)))).toEqual([`${NAME}-writer-id`, `${NAME}-pruner-id`]);
        for (const { secretAccessKey } of [writer, pruner]) expect(await pulumi.isSecret(pulumi.output(secretAccessKey))).toBe(true);
        expect(JSON.stringify(usual.plan)).not.toContain("Planned0");
    });

    test("the first preview, when nothing is known yet, declares the same resources", async () => {
        const names = ({ plan }: { plan: Planned[] }) => plan.map((r) => `${r.type} ${r.name}`);
        expect(names(await planned(declare, true))).toEqual(names(usual));
    });

    // Catches an order that S3 or IAM refuses, and rights that name another bucket than the one that is made.
    test("the rehearsal's AWS takes it all, and its keys open its bucket", async () => {
        const file = path.join(directory, "aws.json");
        const hardware = () => Promise.reject(new Error("a bucket needs no servers"));
        let bucket!: AwsBucket;
        const refused = await made(awsProvider({ withAccount: accountIn(file), hardware }), () => (bucket = declare({ objectLockDays: 30 })));
        expect(refused).toEqual([]);
        const { accessKeys, userPolicies, bucketPolicies, buckets } = readAccount(file);
        const name = await value(bucket.name);
        expect(buckets).toEqual({ [name]: { objectLock: true } });
        for (const { accessKeyId, secretAccessKey } of [bucket.writer, bucket.pruner]) {
            const { user, secret } = accessKeys[await value(accessKeyId)];
            expect(await value(secretAccessKey)).toBe(secret);
            const own = Object.values(userPolicies).filter((one) => one.user === user);
            const policies = [...own, bucketPolicies[name]].map(({ policy }) => JSON.parse(policy) as never);
            const context = { "aws:SecureTransport": "true", "s3:TlsVersion": "1.3" };
            expect(isAllowed(policies, { action: "s3:PutObject", resource: `arn:aws:s3:::${name}/restic/config`, context })).toBe(true);
        }
    });

    test("bad arguments are refused before anything is registered", () => {
        const bad = { deployment: DEPLOYMENT, prefix: "/restic", keepVersionsDays: 0, objectLockDays: 1.5 };
        expect(() => new AwsBucket(NAME, bad)).toThrow(/^AwsBucket "[^"]+":\n {2}- prefix [^]*keepVersionsDays [^]*objectLockDays /);
    });
});

describe("on R2", () => {
    const accountId = "0123456789abcdef0123456789abcdef";
    const declare = (more: Partial<R2BucketArgs> = {}) => {
        const provider = new cloudflare.Provider("elsewhere", { apiToken: pulumi.secret("x".repeat(40)) });
        return new R2Bucket(NAME, { deployment: DEPLOYMENT, accountId, prefix: "restic", ...more }, { provider });
    };
    let usual: Awaited<ReturnType<typeof planned>>;
    beforeAll(async () => {
        usual = await planned(declare);
    });

    test("all of the bucket is protected; the component is not", () => {
        expect(usual.kept).toEqual([
            "AccountToken pruner",
            "AccountToken writer",
            "R2Bucket bucket",
            "R2BucketLifecycle lifecycle",
            "R2BucketLock lock",
        ]);
        expect(astray(usual.plan, "forwardemail:backups:R2Bucket")).toEqual([]);
    });

    test("the bucket has the deployment's name, and a lock before anybody has a token", () => {
        expect(usual.one(`R2Bucket ${NAME}-bucket`).inputs).toEqual({ accountId, name: NAME });
        const { rules } = usual.one(`R2BucketLock ${NAME}-lock`).inputs as { rules: { prefix: string; enabled: boolean; condition: unknown }[] };
        expect(rules.map(({ prefix }) => prefix)).toEqual(["restic/config", "restic/data/", "restic/keys/", "restic/snapshots/"]);
        for (const rule of rules) expect(rule).toMatchObject({ enabled: true, condition: { type: "Indefinite" } });
        for (const role of ["writer", "pruner"]) expect(usual.one(`AccountToken ${NAME}-${role}`).options.dependsOn).toContain(`${NAME}-lock`);
    });

    test("a lock of days is one", async () => {
        const { rules } = (await planned(() => declare({ lockDays: 365 }))).one(`R2BucketLock ${NAME}-lock`).inputs as { rules: object[] };
        for (const rule of rules) expect(rule).toMatchObject({ condition: { type: "Age", maxAgeSeconds: 31536000 } });
    });

    test("uploads that were never completed go after two days, and nothing else goes by itself", () => {
        expect(usual.one(`R2BucketLifecycle ${NAME}-lifecycle`).inputs).toEqual({
            accountId,
            bucketName: NAME,
            rules: [
                {
                    id: "aborted-uploads",
                    enabled: true,
                    conditions: { prefix: "" },
                    abortMultipartUploadsTransition: { condition: { type: "Age", maxAge: 172800 } },
                },
            ],
        });
    });

    test("the tokens are good for objects of this bucket only", () => {
        for (const role of ["writer", "pruner"])
            expect(usual.one(`AccountToken ${NAME}-${role}`).inputs).toEqual({
                accountId,
                name: `${DEPLOYMENT}: ${role} of backups`,
                policies: [
                    {
                        effect: "allow",
                        permissionGroups: [{ id: BUCKET_ITEM_WRITE }],
                        resources: `{"com.cloudflare.edge.r2.bucket.${accountId}_default_${NAME}":"*"}`,
                    },
                ],
            });
    });

    test("it tells where it is, and keeps its secrets: S3's is the token's digest", async () => {
        const { name, region, endpoint, writer, pruner } = usual.bucket;
        expect(await Promise.all([name, region, endpoint].map(value))).toEqual([NAME, "auto", `https://${accountId}.r2.cloudflarestorage.com`]);
        expect(await Promise.all([writer, pruner].map(({ accessKeyId }) => value(accessKeyId)))).toEqual([`${NAME}-writer-id`, `${NAME}-pruner-id`]);
        const digest = createHash("sha256").update("Planned0".repeat(5)).digest("hex");
        for (const { secretAccessKey } of [writer, pruner]) {
            expect(await pulumi.isSecret(pulumi.output(secretAccessKey))).toBe(true);
            expect(await value(secretAccessKey)).toBe(digest);
        }
        expect(JSON.stringify(usual.plan)).not.toMatch(/Planned0|xxxx/);
    });

    test("the first preview, when nothing is known yet, declares the same resources", async () => {
        const names = ({ plan }: { plan: Planned[] }) => plan.map((r) => `${r.type} ${r.name}`);
        expect(names(await planned(declare, true))).toEqual(names(usual));
    });

    // Catches an order that the API refuses, and tokens for another bucket than the one that is made.
    test("the rehearsal's Cloudflare takes it all, and its tokens are the keys", async () => {
        const console = cloudflareConsole({ directory });
        const { id, token } = console.account();
        const provider = cloudflareProvider({ withAccount: inFile(accountFile(directory), readCloudflare), token: () => token });
        let bucket!: R2Bucket;
        expect(await made(provider, () => (bucket = declare({ accountId: id })))).toEqual([]);
        expect(Object.keys(console.account().buckets)).toEqual([NAME]);
        for (const { accessKeyId, secretAccessKey } of [bucket.writer, bucket.pruner]) {
            const { value: text } = console.account().tokens[await value(accessKeyId)];
            expect(await value(secretAccessKey)).toBe(createHash("sha256").update(text).digest("hex"));
        }
    });

    test("bad arguments are refused before anything is registered", () => {
        const bad = { deployment: DEPLOYMENT, prefix: "restic", accountId: "mine", lockDays: 0 };
        expect(() => new R2Bucket(NAME, bad)).toThrow(/^R2Bucket "[^"]+":\n {2}- accountId [^]*lockDays /);
    });
});

describe("a stack with backups", () => {
    const GIVEN = {
        "forwardemail:images": { lockFile: "test/fixtures/images.lock.json" },
        "forwardemail:backups": { provider: "s3", bucket: "sets", endpoint: "https://s3.example.com", accessKeyId: "KEY", drill: "monthly" },
        "forwardemail:backupSecretKey": { secure: "v1:x" },
    };
    const SERVER = { "forwardemail:servers": [{ name: "vps", kind: "ssh", address: "203.0.113.7", hostKey: `ssh-ed25519 ${"A".repeat(68)}` }] };
    const plan = (more: Record<string, unknown> = {}) => planStack("dev", { ...GIVEN, ...more });
    const named = (all: Planned[], name: string) =>
        all.find((one) => one.name === `forwardemail-dev-${name}`) as (Planned & { inputs: Record<string, unknown> }) | undefined;

    test("protects the passphrase and what a restore put aside, and shows no secret", async () => {
        const all = await plan();
        expect(named(all, "backup-passphrase")!.options.protect).toBe(true);
        expect(named(all, "backup")!.options.protect).toBe(true);
        for (const name of ["backup-repository", "backup-secrets"]) expect(named(all, name)!.inputs.stdin, name).toBe("[secret]");
        const { REPOSITORY, CREDENTIALS } = named(all, "backup-open")!.inputs.environment as Record<string, string>;
        expect(REPOSITORY).toMatch(/^s3:https:.*\/forwardemail-dev$/); // another one is seen in a preview
        expect(CREDENTIALS).toMatch(/^[0-9a-f]{32}$/);
    });

    test("has a timer on a server, and none on the operator's own machine", async () => {
        expect(named(await plan(), "backup-timer")).toBeUndefined();
        const timer = named(await plan(SERVER), "backup-timer")!;
        expect(timer.inputs.environment).toMatchObject({ STACK: "forwardemail-dev", HOURS: "6", JITTER: "1800", DRILL: "monthly" });
        expect(timer.inputs.delete).toContain('disable -q --now "$STACK"-backup.timer');
    });

    test("begins with a set: nothing claims data before it is there, and its secrets take the place of generated ones", async () => {
        const all = await plan({ "forwardemail:restoreFrom": "latest", "forwardemail:backupPassphrase": { secure: "v1:x" } });
        const restore = named(all, "backup-restore")!;
        expect(restore.inputs.environment).toMatchObject({ SET: "latest" });
        for (const store of ["mongodb", "redis", "mailboxes"])
            expect((named(all, `${store}-claim`)!.options.dependsOn as string[]).join(), store).toContain("forwardemail-dev-backup-restore");
        expect(named(await plan(), "mongodb-claim")!.options.dependsOn).not.toContain("forwardemail-dev-backup-restore");
    });

    test("pulls restic only where there are backups", async () => {
        const images = async (config: Record<string, unknown>) => (await planStack("dev", config)).filter(({ name }) => name.endsWith("-restic"));
        expect(await images(GIVEN)).toHaveLength(1);
        expect(await images({ "forwardemail:images": GIVEN["forwardemail:images"] })).toHaveLength(0);
    });

    test("makes its bucket, where the config asks for one", async () => {
        const on = (backups: Record<string, unknown>, more: Record<string, unknown> = {}) =>
            planStack("dev", { "forwardemail:images": GIVEN["forwardemail:images"], "forwardemail:backups": backups, ...more });
        const types = (all: Planned[]) => all.map(({ type }) => type);
        expect(types(await on({ provider: "aws", region: "eu-central-1" }))).toContain("aws:s3/bucketVersioning:BucketVersioning");
        const r2 = await on({ provider: "r2", accountId: "0".repeat(32) }, { "forwardemail:cloudflareToken": { secure: "v1:x" } });
        expect(types(r2)).toContain("cloudflare:index/r2BucketLock:R2BucketLock");
    });
});
