import * as http from "node:http";
import * as net from "node:net";

import {
    DeleteObjectCommand,
    GetObjectCommand,
    ListObjectVersionsCommand,
    type ListObjectVersionsCommandOutput,
    paginateListObjectsV2,
    PutObjectCommand,
    S3Client,
} from "@aws-sdk/client-s3";

/** Of a user. */
export interface Keys {
    accessKeyId: string;
    secretAccessKey: string;
}

export interface StoredObject {
    key: string;
    /** Bytes. */
    size: number;
}

/** What a key had from some time on. */
export interface Version extends StoredObject {
    versionId: string;
    /** What the key has now. */
    latest: boolean;
    /** A delete marker: from then on the key had nothing. */
    deleted: boolean;
}

/** Objects, read and changed with the admin's keys. */
export interface Objects {
    /** What is there now, below a prefix; in the whole bucket where it is left out. */
    list(bucket: string, prefix?: string): Promise<StoredObject[]>;
    /** All that ever was there and is not removed for good: by key, the newest first. */
    versions(bucket: string, prefix?: string): Promise<Version[]>;
    /** The bytes; of the newest version, where none is named. */
    get(bucket: string, key: string, versionId?: string): Promise<Buffer>;
    put(bucket: string, key: string, body: Buffer | string): Promise<void>;
    /** Leaves a delete marker where the bucket keeps versions; a version that is named is removed for good. */
    remove(bucket: string, key: string, versionId?: string): Promise<void>;
}

export interface ClientArgs {
    /** What requests are signed for. */
    endpoint: string;
    region: string;
    /** Where they go: a socket, because the endpoint is in a network namespace that this process is not in. */
    socketPath: string;
}

// It would announce when it stops to support this Node.js, in every test.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = "true";

/** A client that signs with these keys. */
export function clientOf({ endpoint, region, socketPath }: ClientArgs, credentials: Keys): S3Client {
    const httpAgent = Object.assign(new http.Agent(), { createConnection: () => net.connect(socketPath) });
    return new S3Client({ endpoint, region, credentials, forcePathStyle: true, requestHandler: { httpAgent } });
}

export function objectsOf(client: S3Client): Objects {
    return {
        async list(Bucket, Prefix) {
            const objects: StoredObject[] = [];
            for await (const { Contents = [] } of paginateListObjectsV2({ client }, { Bucket, Prefix })) {
                objects.push(...Contents.map(({ Key, Size }) => ({ key: Key!, size: Size! })));
            }
            return objects;
        },
        async versions(Bucket, Prefix) {
            const versions: Version[] = [];
            let page: Partial<ListObjectVersionsCommandOutput> = {};
            do {
                const from = { KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker };
                page = await client.send(new ListObjectVersionsCommand({ Bucket, Prefix, ...from }));
                versions.push(...versionsOf(page));
            } while (page.IsTruncated);
            return versions.sort((a, b) => compare(a.key, b.key) || compare(ageOf(b), ageOf(a)));
        },
        async get(Bucket, Key, VersionId) {
            const { Body } = await client.send(new GetObjectCommand({ Bucket, Key, VersionId }));
            return Buffer.from(await Body!.transformToByteArray());
        },
        put: (Bucket, Key, Body) => client.send(new PutObjectCommand({ Bucket, Key, Body })).then(() => undefined),
        remove: (Bucket, Key, VersionId) => client.send(new DeleteObjectCommand({ Bucket, Key, VersionId })).then(() => undefined),
    };
}

function versionsOf({ Versions = [], DeleteMarkers = [] }: Partial<ListObjectVersionsCommandOutput>): Version[] {
    return [
        ...Versions.map((version) => ({ ...version, deleted: false })),
        ...DeleteMarkers.map((marker) => ({ ...marker, Size: 0, deleted: true })),
    ].map(({ Key, Size, VersionId, IsLatest, deleted }) => ({ key: Key!, size: Size!, versionId: VersionId!, latest: IsLatest!, deleted }));
}

/** This server's ids of versions are ULIDs, which are in the order of their time; what is older than versioning has the id "null". */
const ageOf = ({ versionId }: Version) => (versionId === "null" ? "" : versionId);

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
