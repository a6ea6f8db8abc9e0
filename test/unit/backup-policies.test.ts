import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bucketName, bucketPrefix, checkArgs, badDays } from "../../components/backups/bucket";
import { bucketPolicy, prunerPolicy, writerPolicy } from "../../components/backups/policies";
import { lockRules } from "../../components/backups/r2Bucket";
import { type Asked, isAllowed } from "../rig/aws/evaluate";

const BUCKET = "arn:aws:s3:::forwardemail-prod-backups-20261126015613123000000001";
const PREFIX = "mail/restic";
const TLS = { "aws:SecureTransport": "true", "s3:TlsVersion": "1.3" };

/** A request over TLS. */
const ask = (action: string, path?: string, context: Record<string, string> = {}): Asked => ({
    action: `s3:${action}`,
    resource: path === undefined ? BUCKET : `${BUCKET}/${path}`,
    context: { ...TLS, ...context },
});
const policies = { writer: [writerPolicy(BUCKET, PREFIX), bucketPolicy(BUCKET)], pruner: [prunerPolicy(BUCKET, PREFIX), bucketPolicy(BUCKET)] };
const may = (who: keyof typeof policies, asked: Asked) => isAllowed(policies[who], asked);
const BOTH = ["writer", "pruner"] as const;

describe("writer and pruner", () => {
    // Each row is a request that restic sends; one that is refused breaks backup, restore or prune.
    test.each<[string, Asked]>([
        ["looks for the bucket, without a prefix", ask("ListBucket")],
        ["lists its keys", ask("ListBucket", undefined, { "s3:prefix": `${PREFIX}/keys/` })],
        ["asks for the region", ask("GetBucketLocation")],
        ["reads the config", ask("GetObject", `${PREFIX}/config`)],
        ["adds data, and asks for no encryption", ask("PutObject", `${PREFIX}/data/ab/abcd`)],
        ["adds data, and asks for the bucket's own", ask("PutObject", `${PREFIX}/data/ab/abcd`, { "s3:x-amz-server-side-encryption": "AES256" })],
        ["adds data over TLS 1.2", ask("PutObject", `${PREFIX}/data/ab/abcd`, { "s3:TlsVersion": "1.2" })],
        ["adds a lock", ask("PutObject", `${PREFIX}/locks/abcd`)],
        ["removes a lock", ask("DeleteObject", `${PREFIX}/locks/abcd`)],
        ["gives up a large upload", ask("AbortMultipartUpload", `${PREFIX}/data/ab/abcd`)],
        ["asks for the parts of one", ask("ListMultipartUploadParts", `${PREFIX}/data/ab/abcd`)],
    ])("%s", (_what, asked) => {
        for (const who of BOTH) expect(may(who, asked), who).toBe(true);
    });

    // Each row is a way to destroy history, to look elsewhere, or to open the bucket.
    test.each<[string, Asked]>([
        ["destroys a version", ask("DeleteObjectVersion", `${PREFIX}/data/ab/abcd`)],
        ["destroys a version of a lock", ask("DeleteObjectVersion", `${PREFIX}/locks/abcd`)],
        ["turns versioning off", ask("PutBucketVersioning")],
        ["lets versions expire", ask("PutLifecycleConfiguration")],
        ["takes the policy away", ask("DeleteBucketPolicy")],
        ["deletes the bucket", ask("DeleteBucket")],
        ["shortens a retention", ask("PutObjectRetention", `${PREFIX}/data/ab/abcd`)],
        ["goes around Object Lock", ask("BypassGovernanceRetention", `${PREFIX}/data/ab/abcd`)],
        ["lists another folder", ask("ListBucket", undefined, { "s3:prefix": "other/" })],
        ["lists a folder that begins alike", ask("ListBucket", undefined, { "s3:prefix": `${PREFIX}-2/` })],
        ["reads in another folder", ask("GetObject", "other/config")],
        ["writes in another folder", ask("PutObject", "other/config")],
        ["writes in a folder that begins alike", ask("PutObject", `${PREFIX}-2/config`)],
        ["removes a lock of another folder", ask("DeleteObject", "other/locks/abcd")],
        ["adds without TLS", { ...ask("PutObject", `${PREFIX}/data/ab/abcd`), context: { "aws:SecureTransport": "false" } }],
        ["reads over TLS 1.1", ask("GetObject", `${PREFIX}/config`, { "s3:TlsVersion": "1.1" })],
        ["adds with a key of KMS", ask("PutObject", `${PREFIX}/data/ab/abcd`, { "s3:x-amz-server-side-encryption": "aws:kms" })],
    ])("never %s", (_what, asked) => {
        for (const who of BOTH) expect(may(who, asked), who).toBe(false);
    });

    test.each(["config", "keys/abcd", "data/ab/abcd", "index/abcd", "snapshots/abcd", "locks"])("%s can be hidden by the pruner only", (path) => {
        const asked = ask("DeleteObject", `${PREFIX}/${path}`);
        expect([may("writer", asked), may("pruner", asked)]).toEqual([false, true]);
    });

    test("their policies fit into what IAM lets a user have, also with the longest names", () => {
        const longest = `arn:aws-us-gov:s3:::${"b".repeat(63)}`;
        for (const policy of [writerPolicy, prunerPolicy]) expect(JSON.stringify(policy(longest, "p".repeat(100))).length).toBeLessThan(2048);
    });
});

describe("the bucket's policy", () => {
    const everything = { Statement: [{ Effect: "Allow", Action: "*", Resource: "*" }] };

    test("holds for the account's owner, too, and refuses nothing else", () => {
        const owner = (asked: Asked) => isAllowed([everything, bucketPolicy(BUCKET)], asked);
        expect(owner(ask("DeleteObjectVersion", "any"))).toBe(true);
        expect(owner({ ...ask("GetBucketPolicy"), context: { "aws:SecureTransport": "false" } })).toBe(false);
        expect(owner(ask("PutObject", "any", { "s3:x-amz-server-side-encryption": "aws:kms" }))).toBe(false);
    });

    test("allows nothing, so that it is not public", () => {
        expect(bucketPolicy(BUCKET).Statement.map(({ Effect }) => Effect)).toEqual(["Deny", "Deny", "Deny"]);
    });
});

describe("names", () => {
    // S3: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html; R2 takes no dots.
    const valid = /^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/;

    test.each([
        ["forwardemail-prod", "forwardemail-prod-backups"],
        ["Forwardemail_EU.1", "forwardemail-eu-1-backups"],
        ["forwardemail-test_", "forwardemail-test-backups"],
        [`forwardemail-${"x".repeat(80)}`, `forwardemail-${"x".repeat(42)}-backups`],
    ])("%s: %s", (deployment, name) => {
        expect(bucketName(deployment)).toBe(name);
    });

    test("the start of a name leaves room for what makes it unique", () => {
        expect(bucketPrefix("forwardemail-prod")).toBe("forwardemail-prod-backups-");
        expect(bucketPrefix(`forwardemail-${"x".repeat(80)}`)).toBe(`forwardemail-${"x".repeat(15)}-backups-`);
    });

    test("whatever the stack is called, a bucket can be, with and without what makes it unique", () => {
        fc.assert(
            fc.property(fc.stringMatching(/^[A-Za-z0-9._-]{0,100}[A-Za-z0-9][A-Za-z0-9._-]{0,20}$/), (deployment) => {
                expect(bucketName(deployment)).toMatch(valid);
                expect(bucketPrefix(deployment).length).toBeLessThanOrEqual(37);
                expect(`${bucketPrefix(deployment)}20261126015613123000000001`).toMatch(valid);
            }),
        );
    });
});

describe("arguments", () => {
    const problems = (prefix: string, days?: number) => () =>
        checkArgs("AwsBucket", "backups", { deployment: "forwardemail-prod", prefix }, [badDays("keepVersionsDays", days)]);

    test.each(["restic", "mail/restic", "a", "2026_v1.0/x"])("the prefix %s is taken", (prefix) => {
        expect(problems(prefix, 90)).not.toThrow();
    });

    test.each(["", "/restic", "restic/", "a//b", "a/*", "a?", "${aws:username}", "../other", "a/.", "a b", "ä"])(
        "the prefix %j is refused",
        (prefix) => {
            expect(problems(prefix)).toThrow(/^AwsBucket "backups":\n {2}- prefix must be a folder such as restic/);
        },
    );

    test.each([0, -1, 1.5, 36501, NaN])("%d days are refused", (days) => {
        expect(problems("restic", days)).toThrow("keepVersionsDays must be a whole number of days from 1 to 36500");
    });

    test("all that is wrong is told at once", () => {
        expect(problems("", 0)).toThrow(/prefix[^]*keepVersionsDays/);
    });
});

describe("R2's lock", () => {
    const locked = (path: string) => lockRules("restic").some(({ prefix }) => `restic/${path}`.startsWith(prefix as string));

    test.each(["config", "keys/abcd", "data/ab/abcd", "snapshots/abcd"])("holds %s", (path) => expect(locked(path)).toBe(true));
    test.each(["locks/abcd", "index/abcd"])("lets go of %s, which restic replaces", (path) => expect(locked(path)).toBe(false));

    test("lasts as long as it is told, else for ever", () => {
        expect(new Set(lockRules("restic", 30).map(({ condition }) => JSON.stringify(condition)))).toEqual(
            new Set([JSON.stringify({ type: "Age", maxAgeSeconds: 2592000 })]),
        );
        expect(lockRules("restic")[0].condition).toEqual({ type: "Indefinite" });
    });
});
