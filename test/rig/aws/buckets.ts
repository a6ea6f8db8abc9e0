import { randomBytes } from "node:crypto";
import type { BucketArgs, BucketState } from "@pulumi/aws/s3/bucket";
import type { BucketLifecycleConfigurationArgs, BucketLifecycleConfigurationState } from "@pulumi/aws/s3/bucketLifecycleConfiguration";
import type { BucketObjectLockConfigurationArgs, BucketObjectLockConfigurationState } from "@pulumi/aws/s3/bucketObjectLockConfiguration";
import type { BucketVersioningArgs, BucketVersioningState } from "@pulumi/aws/s3/bucketVersioning";
import type { Unwrap } from "@pulumi/pulumi";
import { isIPv4 } from "node:net";
import type { Account } from "./account";
import { configuration, isDays } from "./bucketConfiguration";
import { must } from "./errors";
import { type Cloud, kept, tagged } from "./resource";
import { autoName } from "./security";

/** What the provider puts behind a prefix: the time, and a number that counts up. */
const uniqueSuffix = () => `${new Date().toISOString().replace(/\D/g, "")}0${randomBytes(4).toString("hex")}`;

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html */
function isBucketName(name: string): boolean {
    const reserved = /^(xn--|sthree-|amzn-s3-demo-)|(-s3alias|--ol-s3|\.mrap|--x-s3|--table-s3)$/;
    return /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name) && !name.includes("..") && !isIPv4(name) && !reserved.test(name);
}

export const bucket = ({ withAccount, objects }: Cloud) =>
    tagged<Unwrap<BucketArgs>, Unwrap<BucketState>>({
        inputs: ["bucket", "bucketPrefix", "forceDestroy"],
        computed: ["bucket", "bucketPrefix"],
        defaults: { forceDestroy: false },
        inPlace: ["forceDestroy"],
        refuse({ bucket, bucketPrefix, forceDestroy }) {
            if (bucket && bucketPrefix) return '"bucket": conflicts with bucketPrefix';
            if ((bucketPrefix?.length ?? 0) > 37) return `expected length of bucketPrefix to be in the range (0 - 37), got ${bucketPrefix}`;
            return forceDestroy ? "the rehearsal does not destroy what is in a bucket: forceDestroy" : undefined;
        },
        ...kept({ withAccount }, "buckets", {
            async create(account, args, resourceName) {
                const name = args.bucket ?? (args.bucketPrefix ? args.bucketPrefix + uniqueSuffix() : autoName(resourceName.toLowerCase()));
                must(isBucketName(name), "InvalidBucketName", `The specified bucket is not valid: ${name}`);
                const owned = "Your previous request to create the named bucket succeeded and you already own it.";
                must(!account.buckets[name], "BucketAlreadyOwnedByYou", owned);
                await objects?.makeBucket(name);
                account.buckets[name] = {};
                return { id: name, outs: { bucket: name, arn: `arn:aws:s3:::${name}`, region: account.region } };
            },
            update: async () => ({}),
            async remove(account, id) {
                const left = (await objects?.count(id)) ?? 0;
                must(left === 0, "BucketNotEmpty", "The bucket you tried to delete is not empty. You must delete all versions in the bucket.");
                await objects?.deleteBucket(id);
                for (const kind of CONFIGURATIONS) delete account[kind][id];
            },
        }),
    });

const CONFIGURATIONS = [
    ...(["bucketVersionings", "bucketObjectLocks", "bucketLifecycles", "bucketEncryptions"] as const),
    ...(["bucketOwnerships", "bucketAccessBlocks", "bucketPolicies"] as const),
];

const isVersioned = (account: Account, bucket: string) => account.bucketVersionings[bucket]?.versioningConfiguration.status === "Enabled";

export const bucketVersioning = (cloud: Cloud) =>
    configuration<"bucketVersionings", Unwrap<BucketVersioningArgs>, Unwrap<BucketVersioningState>>(cloud, "bucketVersionings", {
        inputs: ["versioningConfiguration"],
        required: ["versioningConfiguration"],
        refuse: ({ versioningConfiguration: { status } }) =>
            ["Enabled", "Suspended"].includes(status) ? undefined : `expected status to be one of ["Enabled" "Suspended"], got ${status}`,
        accept(account, { bucket, versioningConfiguration }) {
            const why = "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.";
            must(versioningConfiguration.status === "Enabled" || !account.buckets[bucket].objectLock, "InvalidBucketState", why);
            return { versioningConfiguration };
        },
    });

export const bucketObjectLock = (cloud: Cloud) =>
    configuration<"bucketObjectLocks", Unwrap<BucketObjectLockConfigurationArgs>, Unwrap<BucketObjectLockConfigurationState>>(
        cloud,
        "bucketObjectLocks",
        {
            inputs: ["rule"],
            accept(account, { bucket, rule }) {
                const why = "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration";
                must(isVersioned(account, bucket), "InvalidBucketState", why);
                const { mode = "", days, years } = rule?.defaultRetention ?? { mode: "GOVERNANCE", days: 1 };
                const wellFormed = ["GOVERNANCE", "COMPLIANCE"].includes(mode) && (days === undefined) !== (years === undefined);
                must(wellFormed, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema");
                must(isDays((days ?? 0) + (years ?? 0) * 365), "InvalidArgument", "Default retention period must be a positive integer value.");
                account.buckets[bucket].objectLock = true; // for good: what is removed is the retention only
                return { rule };
            },
        },
    );

type Rule = NonNullable<Unwrap<BucketLifecycleConfigurationArgs>["rules"]>[number];

export const bucketLifecycle = (cloud: Cloud) =>
    configuration<"bucketLifecycles", Unwrap<BucketLifecycleConfigurationArgs>, Unwrap<BucketLifecycleConfigurationState>>(
        cloud,
        "bucketLifecycles",
        {
            inputs: ["rules"],
            required: ["rules"],
            refuse: ({ rules = [] }) => (rules.length === 0 ? "rules must have one element at least" : undefined),
            accept(account, { bucket, rules = [] }) {
                const ids = rules.map(({ id }) => id);
                must(new Set(ids).size === ids.length, "InvalidArgument", "Rule ID must be unique. Found same ID for more than one rule");
                for (const rule of rules) mustBeRule(rule);
                const old = rules.some(({ noncurrentVersionExpiration }) => noncurrentVersionExpiration);
                if (old && !isVersioned(account, bucket))
                    throw new Error(`stand-in aws provider: the real API would take this, but ${bucket} is not versioned, and has no old versions`);
                return { rules };
            },
        },
    );

function mustBeRule({ id, status, filter, expiration, noncurrentVersionExpiration, abortIncompleteMultipartUpload, ...other }: Rule): void {
    const [unlisted] = Object.keys(other);
    if (unlisted) throw new Error(`stand-in aws provider: ${unlisted} of a lifecycle rule is not available in the rehearsal`);
    const malformed = "The XML you provided was not well-formed or did not validate against our published schema";
    must(["Enabled", "Disabled"].includes(status) && filter, "MalformedXML", malformed);
    const actions = [expiration, noncurrentVersionExpiration, abortIncompleteMultipartUpload].filter((action) => action);
    must(actions.length > 0, "InvalidRequest", `At least one action needs to be specified in a rule: ${id}`);
    must(!(expiration?.days && expiration.expiredObjectDeleteMarker), "MalformedXML", malformed);
    const days = [expiration?.days, noncurrentVersionExpiration?.noncurrentDays, abortIncompleteMultipartUpload?.daysAfterInitiation];
    const given = days.filter((number) => number !== undefined);
    must(given.every(isDays), "InvalidArgument", `'Days' of rule ${id} must be a positive integer`);
}
