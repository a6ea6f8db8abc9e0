import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";

/**
 * What the instance may do with the bucket of its backups: add and read, and delete no version. In a versioned bucket `DeleteObject`
 * hides an object and destroys nothing; restic needs it for its locks only.
 */
export function createInstanceProfile(name: string, bucket: string, opts: pulumi.CustomResourceOptions): aws.iam.InstanceProfile {
    const role = new aws.iam.Role(
        name,
        { assumeRolePolicy: policy([{ Action: "sts:AssumeRole", Principal: { Service: "ec2.amazonaws.com" } }]) },
        opts,
    );
    new aws.iam.RolePolicy(
        `${name}-backup`,
        {
            role: role.name,
            policy: policy([
                { Action: ["s3:ListBucket", "s3:GetBucketLocation"], Resource: `arn:aws:s3:::${bucket}` },
                { Action: ["s3:GetObject", "s3:PutObject"], Resource: `arn:aws:s3:::${bucket}/*` },
                { Action: "s3:DeleteObject", Resource: `arn:aws:s3:::${bucket}/*/locks/*` },
                { Action: "s3:DeleteObject", Resource: `arn:aws:s3:::${bucket}/locks/*` },
            ]),
        },
        opts,
    );
    return new aws.iam.InstanceProfile(`${name}-backup`, { role: role.name }, opts);
}

const policy = (statements: object[]) =>
    JSON.stringify({ Version: "2012-10-17", Statement: statements.map((statement) => ({ Effect: "Allow", ...statement })) });
