import { createHash } from "node:crypto";
import * as cloudflare from "@pulumi/cloudflare";
import * as pulumi from "@pulumi/pulumi";
import { BackupBucket, badDays, BucketArgs, BucketKey, bucketName, checkArgs } from "./bucket";

export interface R2BucketArgs extends BucketArgs {
    /** Id of the Cloudflare account, 32 hexadecimal digits. R2 must have been turned on in its dashboard. */
    accountId: string;
    /**
     * Days that an object can be neither removed nor overwritten after it was written. Pruning can remove no younger one: keep every backup
     * for as long. An older one the server can destroy, although a new backup may still use it (see the class).
     * @default for ever: nothing can be destroyed, and pruning is not possible
     */
    lockDays?: number;
}

/**
 * A bucket on Cloudflare R2, and two tokens for it. R2 has no versions, and a token for objects cannot be told to add without removing, nor
 * to keep to a folder. History is kept by a lock of the bucket instead, which holds against both tokens: for restic's data, snapshots, keys
 * and config, but not for its locks, which every run removes, and its index, which pruning replaces and `restic repair index` makes anew.
 *
 * With `lockDays`, what is older is at the mercy of the server's token. As new backups share data with old ones, a server in other hands can
 * then ruin the newest backup, too; only a lock for ever or S3 with versions holds against that. The lock is for the present `prefix`: with
 * another one, what is under the old one can be removed.
 *
 * Writer and pruner have the same rights; there are two so that one can be withdrawn. Bucket, lock and tokens are protected.
 *
 * The token of the provider in `opts` may write R2 storage and the account's API tokens ("Workers R2 Storage Write", "Account API Tokens Write").
 *
 * @example
 * const bucket = new R2Bucket("forwardemail-prod-backups", { deployment: "forwardemail-prod", accountId, prefix: "restic", lockDays: 365 }, { provider });
 */
export class R2Bucket extends pulumi.ComponentResource implements BackupBucket {
    public readonly name: pulumi.Output<string>;
    public readonly region: pulumi.Output<string>;
    public readonly endpoint: pulumi.Output<string>;
    public readonly writer: BucketKey;
    public readonly pruner: BucketKey;

    constructor(name: string, args: R2BucketArgs, opts?: pulumi.ComponentResourceOptions) {
        const { deployment, accountId, prefix, lockDays } = args;
        const account = /^[0-9a-f]{32}$/.test(accountId) ? undefined : `accountId must have 32 hexadecimal digits, got "${accountId}"`;
        checkArgs("R2Bucket", name, args, [account, badDays("lockDays", lockDays)]);
        super("forwardemail:backups:R2Bucket", name, {}, opts);
        const keep = { parent: this, protect: true };

        const bucket = new cloudflare.R2Bucket(`${name}-bucket`, { accountId, name: bucketName(deployment) }, keep);
        const inBucket = { accountId, bucketName: bucket.name };
        const lock = new cloudflare.R2BucketLock(`${name}-lock`, { ...inBucket, rules: lockRules(prefix, lockDays) }, keep);
        new cloudflare.R2BucketLifecycle(`${name}-lifecycle`, { ...inBucket, rules: [ABORTED_UPLOADS] }, keep);

        // Nothing is written before it is locked.
        const ready = { ...keep, dependsOn: [lock] };
        const token = (role: string) => createToken(`${name}-${role}`, `${deployment}: ${role} of backups`, accountId, bucket, ready);
        this.writer = token("writer");
        this.pruner = token("pruner");
        this.name = bucket.name;
        this.region = pulumi.output("auto");
        this.endpoint = pulumi.output(`https://${accountId}.r2.cloudflarestorage.com`);
        this.registerOutputs({ name: this.name, region: this.region, endpoint: this.endpoint });
    }
}

const DAY = 24 * 60 * 60;

/** Of the whole bucket: a configuration of one's own takes the place of R2's, which waits for seven days. */
const ABORTED_UPLOADS: cloudflare.types.input.R2BucketLifecycleRule = {
    id: "aborted-uploads",
    enabled: true,
    conditions: { prefix: "" },
    abortMultipartUploadsTransition: { condition: { type: "Age", maxAge: 2 * DAY } },
};

/** The folders and the file of a repository that history is made of (restic's design.rst, "Repository Layout"). R2 has no exceptions to a lock. */
const HISTORY = ["config", "data/", "keys/", "snapshots/"];

/** One rule a folder, in this order always: another order would be a change. */
export const lockRules = (prefix: string, days?: number): cloudflare.types.input.R2BucketLockRule[] =>
    HISTORY.map((path) => ({
        id: path.replace("/", ""),
        enabled: true,
        prefix: `${prefix}/${path}`,
        condition: days === undefined ? { type: "Indefinite" } : { type: "Age", maxAgeSeconds: days * DAY },
    }));

/**
 * "Workers R2 Storage Bucket Item Write": reads, writes and lists objects of a bucket. Ids of permission groups are the same in every account;
 * this one is as `GET /accounts/ACCOUNT/tokens/permission_groups` lists it. Looking it up would need one more right, at every preview.
 */
export const BUCKET_ITEM_WRITE = "2efd5506f9c8494dacb1fa10a3e7d5b6";

/** The account's own token, which outlives the user who made it; good for the objects of this bucket only. */
function createToken(name: string, title: string, accountId: string, bucket: cloudflare.R2Bucket, opts: pulumi.CustomResourceOptions): BucketKey {
    const resources = bucket.name.apply((of) => JSON.stringify({ [`com.cloudflare.edge.r2.bucket.${accountId}_default_${of}`]: "*" }));
    const policies = [{ effect: "allow", permissionGroups: [{ id: BUCKET_ITEM_WRITE }], resources }];
    const token = new cloudflare.AccountToken(name, { accountId, name: title, policies }, opts);
    return { accessKeyId: token.id, secretAccessKey: pulumi.secret(token.value.apply(sha256)) };
}

/** The S3 secret of a token: https://developers.cloudflare.com/r2/api/tokens/#get-s3-api-credentials-from-an-api-token */
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
