import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { isRpcSecret } from "@pulumi/pulumi/runtime/rpc";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { bucketPolicy, writerPolicy } from "../../components/backups/policies";
import { accountIn, readAccount } from "../rig/aws/account";
import { awsProvider } from "../rig/aws/resources";
import { driver, type Props } from "./driver";

const folder = mkdtempSync(path.join(tmpdir(), "buckets-"));
const file = path.join(folder, "account.json");
const withAccount = accountIn(file);
const account = () => readAccount(file);

/** What an S3 server would have been told, and what it would hold. */
let told: string[];
let held: number;
const objects = {
    makeBucket: async (name: string) => void told.push(`make ${name}`),
    deleteBucket: async (name: string) => void told.push(`delete ${name}`),
    count: async () => held,
};
const hardware = () => Promise.reject(new Error("buckets and users need no servers"));
const { make, update, diff, read, remove } = driver(awsProvider({ withAccount, hardware, objects }), {
    Bucket: "aws:s3/bucket:Bucket",
    Versioning: "aws:s3/bucketVersioning:BucketVersioning",
    ObjectLock: "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration",
    Lifecycle: "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
    Encryption: "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
    Ownership: "aws:s3/bucketOwnershipControls:BucketOwnershipControls",
    AccessBlock: "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
    Policy: "aws:s3/bucketPolicy:BucketPolicy",
    User: "aws:iam/user:User",
    UserPolicy: "aws:iam/userPolicy:UserPolicy",
    AccessKey: "aws:iam/accessKey:AccessKey",
});

beforeEach(() => {
    rmSync(file, { force: true });
    told = [];
    held = 0;
});
afterAll(() => rmSync(folder, { recursive: true }));

const NAME = "mail-backups";
const inBucket = { bucket: NAME };
const arn = `arn:aws:s3:::${NAME}`;
const versioning = (status: string) => ({ ...inBucket, versioningConfiguration: { status } });
const retention = (defaultRetention: Props) => ({ ...inBucket, rule: { defaultRetention } });
const rule = (more: Props) => ({ id: "one", status: "Enabled", filter: { prefix: "restic/" }, ...more });
const old = { noncurrentVersionExpiration: { noncurrentDays: 30 } };
const encrypted = (more: Props, ...blockedEncryptionTypes: string[]) => ({
    ...inBucket,
    rules: [{ applyServerSideEncryptionByDefault: more, blockedEncryptionTypes }],
});
const statement = (more: Props) => ({ Effect: "Deny", Principal: "*", Action: "s3:*", Resource: arn, ...more });
const policy = (...statements: Props[]) => ({ ...inBucket, policy: JSON.stringify({ Version: "2012-10-17", Statement: statements }) });

describe("a bucket", () => {
    // Each row catches a program that sends what the row has, and a stand-in that lets it pass.
    test.each<[string, Props, string]>([
        ["a short name", { bucket: "ab" }, "InvalidBucketName: The specified bucket is not valid"],
        ["a long name", { bucket: "a".repeat(64) }, "InvalidBucketName"],
        ["an upper-case name", { bucket: "Mail" }, "InvalidBucketName"],
        ["a name with an underscore", { bucket: "mail_backups" }, "InvalidBucketName"],
        ["a name that ends with a hyphen", { bucket: "mail-" }, "InvalidBucketName"],
        ["a name with two dots", { bucket: "mail..backups" }, "InvalidBucketName"],
        ["an address", { bucket: "192.0.2.1" }, "InvalidBucketName"],
        ["a reserved name", { bucket: "xn--mail" }, "InvalidBucketName"],
        ["a long prefix", { bucketPrefix: "a".repeat(38) }, "expected length of bucketPrefix to be in the range (0 - 37)"],
        ["a prefix that no name begins with", { bucketPrefix: "-mail" }, "InvalidBucketName"],
        ["a name and a prefix", { bucket: "mail", bucketPrefix: "mail" }, "conflicts with bucketPrefix"],
        ["an end with all that is in it", { bucket: "mail", forceDestroy: true }, "does not destroy what is in a bucket"],
        ["an old way to configure it", { bucket: "mail", versioning: { enabled: true } }, "the input versioning is not available"],
    ])("is refused with %s", async (_what, news, message) => {
        await expect(make("Bucket", news)).rejects.toThrow(message);
        expect(account().buckets).toEqual({});
    });

    test("has a name of its own, which stays", async () => {
        const args = { bucketPrefix: "mail-backups-", forceDestroy: false, tags: { a: "b" } };
        const one = await make("Bucket", args);
        const two = await make("Bucket", args);
        expect(one.id).toMatch(/^mail-backups-\d{18}[0-9a-f]{8}$/);
        expect(two.id).not.toBe(one.id);
        expect(one.outs).toMatchObject({ bucket: one.id, arn: `arn:aws:s3:::${one.id}`, region: "eu-central-1", tagsAll: { a: "b" } });
        expect(await diff(one, args)).toEqual({ changes: false, replaces: [] });
        expect((await diff(one, { ...args, bucketPrefix: "other-" })).replaces).toEqual(["bucketPrefix"]);
        await expect(make("Bucket", { bucket: one.id })).rejects.toThrow("BucketAlreadyOwnedByYou");
        expect((await make("Bucket", {})).id).toMatch(/^main-[0-9a-f]{7}$/);
    });

    test("goes only when it is empty, with its configuration", async () => {
        const bucket = await make("Bucket", inBucket);
        await make("Versioning", versioning("Enabled"));
        held = 1;
        await expect(remove(bucket)).rejects.toThrow("BucketNotEmpty");
        expect(account().bucketVersionings).not.toEqual({});
        held = 0;
        await remove(bucket);
        expect(account().bucketVersionings).toEqual({});
        expect(told).toEqual([`make ${NAME}`, `delete ${NAME}`]);
        expect((await read(bucket)).id).toBe("");
    });
});

describe("a bucket's configuration", () => {
    const versioned = async () => {
        await make("Bucket", inBucket);
        await make("Versioning", versioning("Enabled"));
    };

    test.each<[string, string, Props, string]>([
        ["Versioning", "another state", versioning("On"), "expected status to be one of"],
        ["ObjectLock", "another mode", retention({ mode: "STRICT", days: 1 }), "MalformedXML"],
        ["ObjectLock", "days and years", retention({ mode: "GOVERNANCE", days: 1, years: 1 }), "MalformedXML"],
        ["ObjectLock", "no days", retention({ mode: "GOVERNANCE", days: 0 }), "must be a positive integer value"],
        ["Lifecycle", "no rules", { ...inBucket, rules: [] }, "one element at least"],
        ["Lifecycle", "two rules of one name", { ...inBucket, rules: [rule(old), rule(old)] }, "Rule ID must be unique"],
        ["Lifecycle", "a rule that does nothing", { ...inBucket, rules: [rule({})] }, "At least one action"],
        [
            "Lifecycle",
            "no days",
            { ...inBucket, rules: [rule({ noncurrentVersionExpiration: { noncurrentDays: 0 } })] },
            "must be a positive integer",
        ],
        [
            "Lifecycle",
            "days and marks",
            { ...inBucket, rules: [rule({ expiration: { days: 1, expiredObjectDeleteMarker: true } })] },
            "MalformedXML: The XML you provided",
        ],
        ["Lifecycle", "no filter", { ...inBucket, rules: [rule({ ...old, filter: undefined })] }, "MalformedXML"],
        ["Lifecycle", "what it does not implement", { ...inBucket, rules: [rule({ transitions: [] })] }, "transitions of a lifecycle rule is not"],
        ["Encryption", "another algorithm", encrypted({ sseAlgorithm: "AES128" }), "expected sseAlgorithm to be one of"],
        ["Encryption", "a key for SSE-S3", encrypted({ sseAlgorithm: "AES256", kmsMasterKeyId: "k" }), "KMSMasterKeyID is not applicable"],
        ["Encryption", "a type to block that there is not", encrypted({ sseAlgorithm: "AES256" }, "SSE-KMS"), "blockedEncryptionTypes to be of"],
        ["Ownership", "another owner", { ...inBucket, rule: { objectOwnership: "Mine" } }, "expected objectOwnership to be one of"],
        ["Policy", "no JSON", { ...inBucket, policy: "{" }, "MalformedPolicy: Policies must be valid JSON"],
        ["Policy", "no principal", policy(statement({ Principal: undefined })), "Missing required field Principal"],
        ["Policy", "no resource", policy(statement({ Resource: undefined })), "Missing required field Resource"],
        ["Policy", "no effect", policy(statement({ Effect: undefined })), "Invalid effect"],
        [
            "Policy",
            "a user that is not there",
            policy(statement({ Principal: { AWS: "arn:aws:iam::123456789012:user/nobody" } })),
            "MalformedPolicy: Invalid principal in policy",
        ],
        ["Policy", "another bucket", policy(statement({ Resource: "arn:aws:s3:::mail-backups-2/*" })), "Policy has invalid resource"],
        ["Policy", "objects in place of the bucket", policy(statement({ Action: "s3:PutObject" })), "Action does not apply to any resource(s)"],
        ["Policy", "too much text", policy(statement({ Sid: "x".repeat(20480) })), "PolicyTooLarge"],
    ])("%s is refused with %s", async (type, _what, news, message) => {
        await versioned();
        await expect(make(type, news)).rejects.toThrow(message);
    });

    test.each<[string, Props]>([
        ["Versioning", versioning("Enabled")],
        ["Lifecycle", { ...inBucket, rules: [rule(old)] }],
        ["Encryption", encrypted({ sseAlgorithm: "AES256" })],
        ["Ownership", { ...inBucket, rule: { objectOwnership: "BucketOwnerEnforced" } }],
        ["AccessBlock", inBucket],
        ["Policy", policy(statement({}))],
        ["ObjectLock", retention({ mode: "GOVERNANCE", days: 1 })],
    ])("%s needs the bucket", async (type, news) => {
        await expect(make(type, news)).rejects.toThrow(`NoSuchBucket: The specified bucket '${NAME}' does not exist`);
    });

    test("Object Lock and the end of old versions need versioning, which then cannot be turned off", async () => {
        await make("Bucket", inBucket);
        const lock = retention({ mode: "GOVERNANCE", days: 30 });
        await expect(make("ObjectLock", lock)).rejects.toThrow("InvalidBucketState: Versioning must be 'Enabled'");
        await expect(make("Lifecycle", { ...inBucket, rules: [rule(old)] })).rejects.toThrow("the real API would take this, but mail-backups is not");
        const states = await make("Versioning", versioning("Enabled"));
        await make("Lifecycle", { ...inBucket, rules: [rule(old)] });
        await update(states, versioning("Suspended"));
        await expect(make("ObjectLock", lock)).rejects.toThrow("InvalidBucketState");
        await update(states, versioning("Enabled"));
        const locked = await make("ObjectLock", lock);
        await expect(update(states, versioning("Suspended"))).rejects.toThrow("the versioning state cannot be changed");
        await remove(locked); // of the retention: Object Lock itself stays
        await expect(update(states, versioning("Suspended"))).rejects.toThrow("the versioning state cannot be changed");
    });

    test("a policy that opens the bucket to everybody is blocked where such are", async () => {
        await make("Bucket", inBucket);
        const open = policy(statement({ Effect: "Allow", Action: "s3:GetObject", Resource: `${arn}/*` }));
        const made = await make("Policy", open);
        await make("AccessBlock", { ...inBucket, blockPublicPolicy: true });
        await expect(update(made, open)).rejects.toThrow("public policies are prevented by the BlockPublicPolicy setting");
        await update(made, { ...inBucket, policy: JSON.stringify(bucketPolicy(arn)) });
    });

    test("changes in place, and a refresh finds what others changed", async () => {
        await versioned();
        const block = { ...inBucket, blockPublicAcls: true, blockPublicPolicy: true, ignorePublicAcls: true, restrictPublicBuckets: true };
        const made = await make("AccessBlock", block);
        expect(await diff(made, { ...block, blockPublicAcls: false })).toEqual({ changes: true, replaces: [] });
        expect((await diff(made, { ...block, bucket: "other" })).replaces).toEqual(["bucket"]);
        expect((await read(made)).props).toEqual(made.outs);
        await withAccount(({ bucketAccessBlocks }) => void (bucketAccessBlocks[NAME].blockPublicPolicy = false));
        const { props } = await read(made);
        expect((await diff({ ...made, outs: props }, block)).changes).toBe(true);
    });
});

describe("a user", () => {
    const rights = (bucket = NAME) => JSON.stringify(writerPolicy(`arn:aws:s3:::${bucket}`, "restic"));

    test("has two keys at most, whose secrets the account knows and the state hides", async () => {
        const { id: user } = await make("User", { tags: { a: "b" } });
        const key = await make("AccessKey", { user });
        expect(key.id).toMatch(/^AKIA[A-Z2-7]{16}$/);
        expect(isRpcSecret(key.outs.secret)).toBe(true);
        expect(account().accessKeys[key.id]).toEqual({ user, secret: (key.outs.secret as { value: string }).value });
        await make("AccessKey", { user });
        await expect(make("AccessKey", { user })).rejects.toThrow("LimitExceeded: Cannot exceed quota for AccessKeysPerUser: 2");
        await expect(make("AccessKey", { user: "nobody" })).rejects.toThrow("NoSuchEntity: The user with name 'nobody' does not exist");
    });

    test("goes only without policies and keys", async () => {
        const user = await make("User", {});
        const policy = await make("UserPolicy", { user: user.id, policy: rights() });
        const key = await make("AccessKey", { user: user.id });
        await expect(remove(user)).rejects.toThrow("DeleteConflict: Cannot delete entity, must delete policies first.");
        await remove(policy);
        await expect(remove(user)).rejects.toThrow("DeleteConflict: Cannot delete entity, must delete access keys first.");
        await remove(key);
        await remove(user);
        expect(account()).toMatchObject({ users: {}, userPolicies: {}, accessKeys: {} });
    });

    test("has a policy that IAM takes, not too long with the others", async () => {
        const { id: user } = await make("User", {});
        await expect(make("UserPolicy", { user: "nobody", policy: rights() })).rejects.toThrow("NoSuchEntity");
        await expect(make("UserPolicy", { user, policy: JSON.stringify(bucketPolicy(arn)) })).rejects.toThrow("should not specify a principal");
        const made = await make("UserPolicy", { user, policy: rights() });
        await update(made, { user, policy: rights("other") });
        expect(account().userPolicies[made.id].policy).toBe(rights("other"));
        const long = rights("b".repeat(300));
        await expect(make("UserPolicy", { user, policy: long })).rejects.toThrow(`Maximum policy size of 2048 bytes exceeded for user ${user}`);
    });

    test("has a name of signs that IAM takes, once", async () => {
        await expect(make("User", { name: "mail backups" })).rejects.toThrow("ValidationError");
        await expect(make("User", { name: "x".repeat(65) })).rejects.toThrow("ValidationError");
        await make("User", { name: "writer" });
        await expect(make("User", { name: "writer" })).rejects.toThrow("EntityAlreadyExists");
    });
});
