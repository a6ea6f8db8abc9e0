import type * as pulumi from "@pulumi/pulumi";
import { ArgsError } from "../errors";

/** A key of an S3 API, as restic takes it: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. */
export interface BucketKey {
    accessKeyId: pulumi.Input<string>;
    /** Secret. */
    secretAccessKey: pulumi.Input<string>;
}

/** A bucket for backups at a store that speaks S3, given or made by this program: restic's repository is `s3:ENDPOINT/NAME/PREFIX`. */
export interface BackupBucket {
    name: pulumi.Input<string>;
    /** What requests are signed for; restic asks the API for it where it is not told. */
    region?: pulumi.Input<string>;
    /** Where the S3 API is, a URL without a path: restic puts the bucket's name behind it. */
    endpoint: pulumi.Input<string>;
    /** For the server: adds and reads, and need not be able to destroy history. */
    writer: BucketKey;
    /** For whoever thins the backups out. It belongs on another machine than the server. */
    pruner: BucketKey;
}

/** What every bucket for backups is told. */
export interface BucketArgs {
    /** Name of the deployment, of which the bucket's name is made. Another name is another bucket. */
    deployment: string;
    /**
     * Folder of restic's repository in the bucket, without a slash at either end: `restic`. Another one is another repository: the
     * old one stays where it is, on S3 out of the server's reach, on R2 without its lock.
     */
    prefix: string;
}

/** Most characters of a bucket's name (S3 and R2). */
const LONGEST = 63;
/** What the AWS provider puts behind a prefix. */
const UNIQUE = 26;

/** Name of a deployment's bucket: lower case, digits and hyphens are what S3 and R2 have in common. */
export function bucketName(deployment: string, room = LONGEST): string {
    const end = "-backups";
    const clean = deployment
        .toLowerCase()
        .replace(/[^a-z0-9]+/g, "-")
        .replace(/^-/, "");
    return `${clean.slice(0, room - end.length).replace(/-$/, "")}${end}`;
}

/** Start of a name that the AWS provider makes unique: those of S3 are everybody's. */
export const bucketPrefix = (deployment: string): string => `${bucketName(deployment, LONGEST - UNIQUE - 1)}-`;

/** A prefix without a sign that has a meaning in a policy (`*`, `?`, `$`), so that it opens no other folder. */
const PREFIX = /^[A-Za-z0-9_-][A-Za-z0-9._-]*(\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$/;

/**
 * Refuses bad arguments before anything is registered.
 * @throws ArgsError with all that is wrong.
 */
export function checkArgs(component: string, name: string, { deployment, prefix }: BucketArgs, others: (string | undefined)[]): void {
    const problems = [
        /[a-z0-9]/i.test(deployment) ? undefined : `deployment must have a letter or digit, got "${deployment}"`,
        PREFIX.test(prefix) ? undefined : `prefix must be a folder such as restic or mail/restic, got "${prefix}"`,
        ...others,
    ].filter((problem) => problem !== undefined);
    if (problems.length > 0) throw new ArgsError(component, name, problems);
}

/** What is wrong with a number of days; left out is fine. S3 takes a hundred years at most. */
export function badDays(key: string, days: number | undefined): string | undefined {
    if (days === undefined || (Number.isInteger(days) && days >= 1 && days <= 36500)) return undefined;
    return `${key} must be a whole number of days from 1 to 36500, got ${days}`;
}
