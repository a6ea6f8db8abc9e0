import type { Account, Tables } from "./account";

/** How the API calls an object of a kind, and what it answers where there is none. */
const notFound: Record<keyof Tables, [code: string, what: string]> = {
    vpcs: ["InvalidVpcID.NotFound", "vpc ID"],
    internetGateways: ["InvalidInternetGatewayID.NotFound", "internetGateway ID"],
    subnets: ["InvalidSubnetID.NotFound", "subnet ID"],
    routeTables: ["InvalidRouteTableID.NotFound", "routeTable ID"],
    routes: ["InvalidRoute.NotFound", "route"],
    routeTableAssociations: ["InvalidAssociationID.NotFound", "association ID"],
    securityGroups: ["InvalidGroup.NotFound", "security group"],
    securityGroupRules: ["InvalidSecurityGroupRuleId.NotFound", "security group rule ID"],
    addresses: ["InvalidAllocationID.NotFound", "allocation ID"],
    addressDomainNames: ["InvalidAllocationID.NotFound", "allocation ID"],
    addressAssociations: ["InvalidAssociationID.NotFound", "association ID"],
    volumes: ["InvalidVolume.NotFound", "volume"],
    volumeAttachments: ["InvalidAttachment.NotFound", "attachment"],
    instances: ["InvalidInstanceID.NotFound", "instance ID"],
    users: ["NoSuchEntity", "user with name"],
    userPolicies: ["NoSuchEntity", "user policy with name"],
    accessKeys: ["NoSuchEntity", "Access Key with id"],
    buckets: ["NoSuchBucket", "specified bucket"],
    bucketVersionings: ["NoSuchBucket", "specified bucket"],
    bucketObjectLocks: ["ObjectLockConfigurationNotFoundError", "Object Lock configuration of bucket"],
    bucketLifecycles: ["NoSuchLifecycleConfiguration", "lifecycle configuration of bucket"],
    bucketEncryptions: ["ServerSideEncryptionConfigurationNotFoundError", "server side encryption configuration of bucket"],
    bucketOwnerships: ["OwnershipControlsNotFoundError", "bucket ownership controls of bucket"],
    bucketAccessBlocks: ["NoSuchPublicAccessBlockConfiguration", "public access block configuration of bucket"],
    bucketPolicies: ["NoSuchBucketPolicy", "bucket policy of bucket"],
    hostedZones: ["NoSuchHostedZone", "hosted zone"],
    recordSets: ["InvalidChangeBatch", "resource record set"],
};

/** An answer of the API that says no. */
export class ApiError extends Error {
    constructor(
        readonly code: string,
        message: string,
    ) {
        super(`api error ${code}: ${message}`);
    }
}

/** Refuses a value as the API does. */
export function must(condition: unknown, code: string, message: string): asserts condition {
    if (!condition) throw new ApiError(code, message);
}

/** An object of the account, which must exist by now. */
export function find<Kind extends keyof Tables>(account: Account, kind: Kind, id: string | undefined): Tables[Kind][string] {
    const [code, what] = notFound[kind];
    const row = (account[kind] as Record<string, Tables[Kind][string]>)[id ?? ""];
    must(row, code, `The ${what} '${id}' does not exist`);
    return row;
}

/** Entries of a table whose row has these values. */
export function having<Row extends object>(table: Record<string, Row>, values: Partial<NoInfer<Row>>): [string, Row][] {
    const wanted = Object.entries(values) as [keyof Row, unknown][];
    return Object.entries(table).filter(([, row]) => wanted.every(([key, value]) => row[key] === value));
}
