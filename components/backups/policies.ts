/** A statement of an IAM policy, or of a bucket's. */
export interface Statement {
    Sid: string;
    Effect: "Allow" | "Deny";
    /** Only in a bucket's policy. */
    Principal?: "*";
    Action: string[];
    Resource: string[];
    /** Values by condition key, by operator. */
    Condition?: Record<string, Record<string, string | string[]>>;
}

export interface Policy {
    Version: "2012-10-17";
    Statement: Statement[];
}

const policy = (...statements: Statement[]): Policy => ({ Version: "2012-10-17", Statement: statements });

/**
 * What the server may do with restic's repository: add and read. In a versioned bucket `s3:DeleteObject` hides an object and destroys
 * nothing, and the server has it for restic's locks only, which every run makes and removes. `s3:PutObject` can overwrite an object: the
 * version that was there before stays until the lifecycle takes it. So a server in other hands can spoil the newest versions and no other.
 *
 * @param bucketArn - ARN of the bucket
 * @param prefix - folder of the repository, without a slash at either end
 */
export const writerPolicy = (bucketArn: string, prefix: string): Policy => policy(...access(bucketArn, prefix, `${prefix}/locks/*`));

/** What pruning needs beside: to hide any object of the repository. No version is destroyed but by the lifecycle, in its time. */
export const prunerPolicy = (bucketArn: string, prefix: string): Policy => policy(...access(bucketArn, prefix, `${prefix}/*`));

function access(bucketArn: string, prefix: string, removable: string): Statement[] {
    const allow = (Sid: string, Action: string[], resource: string, Condition?: Statement["Condition"]): Statement => ({
        ...{ Sid, Effect: "Allow", Action, Resource: [resource] },
        ...(Condition && { Condition }),
    });
    return [
        allow("Locate", ["s3:GetBucketLocation"], bucketArn),
        // Also without a prefix: S3 asks for this right, without one, when a bucket is looked for (HeadBucket), and when it is to say that an
        // object is not there (else 403 in place of 404, and `restic init` gives up: restic/restic#1477, #4085, its Repository.Init).
        allow("List", ["s3:ListBucket"], bucketArn, { StringLikeIfExists: { "s3:prefix": [`${prefix}/*`] } }),
        allow(
            "AddAndRead",
            // Files over 200 MB come in parts (restic's S3 backend), which PutObject allows to begin and to complete.
            ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
            `${bucketArn}/${prefix}/*`,
        ),
        allow("Remove", ["s3:DeleteObject"], `${bucketArn}/${removable}`),
    ];
}

/** What nobody may do with the bucket, whatever their own policy says: talk to it in the clear, or have something encrypted otherwise. */
export function bucketPolicy(bucketArn: string): Policy {
    const deny = (Sid: string, Action: string, Resource: string[], Condition: Statement["Condition"]): Statement => ({
        ...{ Sid, Effect: "Deny", Principal: "*", Action: [Action], Resource, Condition },
    });
    const all = [bucketArn, `${bucketArn}/*`];
    const encryption = "s3:x-amz-server-side-encryption";
    return policy(
        deny("DenyWithoutTls", "s3:*", all, { Bool: { "aws:SecureTransport": "false" } }),
        deny("DenyOldTls", "s3:*", all, { NumericLessThan: { "s3:TlsVersion": "1.2" } }),
        // restic asks for no encryption, and the bucket's default then applies. A header that is missing is not equal to AES256 either: so only
        // one that is there may be refused. Keys of the client's own (SSE-C) are refused by the bucket's encryption configuration.
        deny("DenyOtherEncryption", "s3:PutObject", [`${bucketArn}/*`], {
            StringNotEquals: { [encryption]: "AES256" },
            Null: { [encryption]: "false" },
        }),
    );
}
