import type { RigHost } from "../rig/host";
import { type S3Server, startS3 } from "../rig/s3";
import type { Keys } from "../rig/s3/client";

const NAME = "mail-backups";

/** A bucket on the rig's internet. */
export interface Bucket {
    s3: S3Server;
    name: string;
    server: Keys;
    pruner: Keys;
    /** `backups` of the stack's config; its secrets are those of the keys. */
    config: Record<string, unknown>;
}

/** Makes it with the two keys that docs/backups.md asks for. */
export async function startBucket(host: RigHost, dir: string, prefix: string): Promise<Bucket> {
    const s3 = await startS3(host, { dir, log: console.log });
    await s3.createBucket(NAME, { versioning: true });
    const [server, pruner] = [await s3.createUser("server"), await s3.createUser("pruner")];
    await s3.setPolicy(NAME, policy(prefix));
    const { endpoint, region } = s3;
    const config = { provider: "s3", bucket: NAME, endpoint, region, accessKeyId: "server", pruneAccessKeyId: "pruner" };
    return { s3, name: NAME, server, pruner, config };
}

/** The server may add, read, and remove locks; who prunes may delete, but no old version. */
function policy(prefix: string): object {
    const bucket = `arn:aws:s3:::${NAME}`;
    const allow = (users: string[], actions: string[], resource: string) => ({
        Effect: "Allow",
        Principal: { AWS: users },
        Action: actions.map((action) => `s3:${action}`),
        Resource: resource,
    });
    return {
        Version: "2012-10-17",
        Statement: [
            allow(["server", "pruner"], ["ListBucket", "GetBucketLocation", "GetBucketVersioning"], bucket),
            allow(["server", "pruner"], ["GetObject", "PutObject"], `${bucket}/${prefix}/*`),
            allow(["server"], ["DeleteObject"], `${bucket}/${prefix}/locks/*`),
            allow(["pruner"], ["DeleteObject"], `${bucket}/${prefix}/*`),
        ],
    };
}
