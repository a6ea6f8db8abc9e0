/**
 * What buckets are made of, as far as the account must ask for it. A real S3 server takes its place here: it finds buckets, who may do what
 * (the users' and the buckets' policies), keys with their secrets, and versioning in the account itself.
 */
export interface ObjectStore {
    makeBucket(name: string): Promise<void>;
    deleteBucket(name: string): Promise<void>;
    /** Number of objects, old versions and delete markers in a bucket: S3 deletes it only if there is none. */
    count(name: string): Promise<number>;
}
