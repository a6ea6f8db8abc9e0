import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import { BackupBucket, badDays, BucketArgs, BucketKey, bucketPrefix, checkArgs } from "./bucket";
import { bucketPolicy, Policy, prunerPolicy, writerPolicy } from "./policies";

export interface AwsBucketArgs extends BucketArgs {
    /** Days that an object stays after it was overwritten or removed: so long can a broken or hostile server go unnoticed. */
    keepVersionsDays: number;
    /**
     * Days that no version can be destroyed after it was written, not by the account's owner either, unless with the right to bypass
     * governance mode. What restic removes, its locks too, it hides: that stays possible. Needs restic 0.13 (restic/restic#2202).
     * @default none; may be set later, for objects from then on. S3 never lets go of Object Lock itself, only of the retention
     */
    objectLockDays?: number;
}

/**
 * A bucket on S3 that keeps history, and two users with a key each. The *writer* is for the server: it adds and reads; what it overwrites
 * stays as an old version for `keepVersionsDays`, and it can remove nothing but restic's locks. The *pruner* also removes, which hides in the
 * same way. Neither can destroy a version or change the bucket. Bucket, users and keys are protected.
 *
 * The region is that of the provider in `opts`.
 *
 * @example
 * const bucket = new AwsBucket("forwardemail-prod-backups", { deployment: "forwardemail-prod", prefix: "restic", keepVersionsDays: 90 }, { provider });
 * const repository = pulumi.interpolate`s3:${bucket.endpoint}/${bucket.name}/restic`;
 */
export class AwsBucket extends pulumi.ComponentResource implements BackupBucket {
    public readonly name: pulumi.Output<string>;
    public readonly region: pulumi.Output<string>;
    public readonly endpoint: pulumi.Output<string>;
    public readonly writer: BucketKey;
    public readonly pruner: BucketKey;

    constructor(name: string, args: AwsBucketArgs, opts?: pulumi.ComponentResourceOptions) {
        const { deployment, prefix, keepVersionsDays, objectLockDays } = args;
        checkArgs("AwsBucket", name, args, [badDays("keepVersionsDays", keepVersionsDays), badDays("objectLockDays", objectLockDays)]);
        super("forwardemail:backups:AwsBucket", name, {}, opts);
        const own = { parent: this };
        const keep = { ...own, protect: true };
        const tags = { "forwardemail:deployment": deployment };

        // Object Lock is turned on by its configuration below, at any time; the bucket's own argument for it would replace the bucket.
        const bucket = new aws.s3.Bucket(`${name}-bucket`, { bucketPrefix: bucketPrefix(deployment), forceDestroy: false, tags }, keep);
        const closed = close(name, bucket, keep);
        const versioning = new aws.s3.BucketVersioning(
            `${name}-versioning`,
            { bucket: bucket.bucket, versioningConfiguration: { status: "Enabled" } },
            keep,
        );
        const versioned = { ...own, dependsOn: [versioning] };
        const lock = objectLockDays === undefined ? [] : [lockObjects(name, bucket, objectLockDays, versioned)];
        expireVersions(name, bucket, prefix, keepVersionsDays, { ...versioned, protect: true });

        // Nothing is written before history is kept.
        const ready = { ...keep, dependsOn: [closed, versioning, ...lock] };
        const user = (role: string, rights: (arn: string) => Policy) => createUser(`${name}-${role}`, bucket.arn.apply(rights), tags, keep, ready);
        this.writer = user("writer", (arn) => writerPolicy(arn, prefix));
        this.pruner = user("pruner", (arn) => prunerPolicy(arn, prefix));
        this.name = bucket.bucket;
        this.region = bucket.region;
        this.endpoint = pulumi.interpolate`https://s3.${bucket.region}.amazonaws.com`;
        this.registerOutputs({ name: this.name, region: this.region, endpoint: this.endpoint });
    }
}

/** No access but through IAM, TLS only, encrypted. One after another: S3 refuses some changes of one bucket at the same time. */
function close(name: string, { bucket, arn }: aws.s3.Bucket, keep: pulumi.CustomResourceOptions): pulumi.Resource {
    new aws.s3.BucketServerSideEncryptionConfiguration(
        `${name}-encryption`,
        // SSE-S3: a KMS key would be one more thing to lose, and restic encrypts by itself. A bucket key is for KMS only.
        { bucket, rules: [{ applyServerSideEncryptionByDefault: { sseAlgorithm: "AES256" }, blockedEncryptionTypes: ["SSE-C"] }] },
        keep,
    );
    const ownership = new aws.s3.BucketOwnershipControls(`${name}-ownership`, { bucket, rule: { objectOwnership: "BucketOwnerEnforced" } }, keep);
    const access = new aws.s3.BucketPublicAccessBlock(
        `${name}-access`,
        { bucket, blockPublicAcls: true, blockPublicPolicy: true, ignorePublicAcls: true, restrictPublicBuckets: true },
        { ...keep, dependsOn: [ownership] },
    );
    const policy = arn.apply((bucketArn) => JSON.stringify(bucketPolicy(bucketArn)));
    return new aws.s3.BucketPolicy(`${name}-policy`, { bucket, policy }, { ...keep, dependsOn: [access] });
}

/** Not protected, so that it can be left out again: what was written till then stays locked. */
function lockObjects(name: string, { bucket }: aws.s3.Bucket, days: number, opts: pulumi.CustomResourceOptions): pulumi.Resource {
    return new aws.s3.BucketObjectLockConfiguration(`${name}-lock`, { bucket, rule: { defaultRetention: { mode: "GOVERNANCE", days } } }, opts);
}

/** Old versions go in their time; then the marks that hid them; and uploads that were never completed. */
function expireVersions(name: string, { bucket }: aws.s3.Bucket, prefix: string, days: number, opts: pulumi.CustomResourceOptions): void {
    const rule = { status: "Enabled", filter: { prefix: `${prefix}/` } };
    const rules = [
        { ...rule, id: "old-versions", noncurrentVersionExpiration: { noncurrentDays: days }, expiration: { expiredObjectDeleteMarker: true } },
        { ...rule, id: "aborted-uploads", abortIncompleteMultipartUpload: { daysAfterInitiation: 2 } },
    ];
    new aws.s3.BucketLifecycleConfiguration(`${name}-lifecycle`, { bucket, rules }, opts);
}

/** A user with these rights and nothing else, and its key. */
function createUser(
    name: string,
    rights: pulumi.Output<Policy>,
    tags: Record<string, string>,
    keep: pulumi.CustomResourceOptions,
    ready: pulumi.CustomResourceOptions,
): BucketKey {
    const user = new aws.iam.User(name, { tags }, keep);
    new aws.iam.UserPolicy(name, { user: user.name, policy: rights.apply((policy) => JSON.stringify(policy)) }, keep);
    const key = new aws.iam.AccessKey(name, { user: user.name }, ready);
    return { accessKeyId: key.id, secretAccessKey: pulumi.secret(key.secret) };
}
