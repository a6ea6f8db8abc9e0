import { randomBytes } from "node:crypto";
import type { BucketLifecycleConfigurationArgs } from "@pulumi/aws/s3/bucketLifecycleConfiguration";
import type { BucketObjectLockConfigurationArgs } from "@pulumi/aws/s3/bucketObjectLockConfiguration";
import type { BucketOwnershipControlsArgs } from "@pulumi/aws/s3/bucketOwnershipControls";
import type { BucketPublicAccessBlockArgs } from "@pulumi/aws/s3/bucketPublicAccessBlock";
import type { BucketServerSideEncryptionConfigurationArgs } from "@pulumi/aws/s3/bucketServerSideEncryptionConfiguration";
import type { BucketVersioningArgs } from "@pulumi/aws/s3/bucketVersioning";
import type { Unwrap } from "@pulumi/pulumi";
import { inFile, readFile, type WithAccount as With } from "../providers/account";

/** Objects of one kind by id. */
type Table<Row> = Record<string, Row>;

/** What exists in the account: what the real API would find, beside what Pulumi's state says. */
export interface Tables {
    vpcs: Table<{ cidrBlock: string; isDefault?: boolean }>;
    internetGateways: Table<{ vpcId: string }>;
    subnets: Table<{ vpcId: string; cidrBlock: string; availabilityZone: string; isDefault?: boolean }>;
    routeTables: Table<{ vpcId: string }>;
    routes: Table<{ routeTableId: string; destinationCidrBlock: string; gatewayId: string }>;
    routeTableAssociations: Table<{ subnetId: string; routeTableId: string }>;
    securityGroups: Table<{ vpcId: string; name: string }>;
    securityGroupRules: Table<SecurityGroupRule>;
    /** `number` is what the address ends with on the rig. */
    addresses: Table<{ number: number }>;
    /** Reverse names, by the id of the address. */
    addressDomainNames: Table<{ domainName: string }>;
    addressAssociations: Table<{ allocationId: string; instanceId: string }>;
    volumes: Table<{ availabilityZone: string; size: number }>;
    volumeAttachments: Table<{ volumeId: string; instanceId: string; deviceName: string }>;
    instances: Table<Instance>;
    users: Table<object>;
    userPolicies: Table<{ user: string; policy: string }>;
    accessKeys: Table<{ user: string; secret: string }>;
    buckets: Table<{ objectLock?: boolean }>;
    // What a bucket is configured with, as the provider has it, by the bucket's name.
    bucketVersionings: Table<Pick<Unwrap<BucketVersioningArgs>, "versioningConfiguration">>;
    bucketObjectLocks: Table<Pick<Unwrap<BucketObjectLockConfigurationArgs>, "rule">>;
    bucketLifecycles: Table<Pick<Unwrap<BucketLifecycleConfigurationArgs>, "rules">>;
    bucketEncryptions: Table<Pick<Unwrap<BucketServerSideEncryptionConfigurationArgs>, "rules">>;
    bucketOwnerships: Table<Pick<Unwrap<BucketOwnershipControlsArgs>, "rule">>;
    bucketAccessBlocks: Table<Omit<Unwrap<BucketPublicAccessBlockArgs>, "bucket">>;
    bucketPolicies: Table<{ policy: string }>;
    /** Without their own SOA and NS, which every zone has. */
    hostedZones: Table<{ name: string }>;
    recordSets: Table<RecordSet>;
}

/** Records of one name and type. Texts are quoted, as the API has them. */
export interface RecordSet {
    zoneId: string;
    /** In lower case, without a final dot. */
    name: string;
    type: string;
    ttl: number;
    records: string[];
}

export interface SecurityGroupRule {
    direction: "ingress" | "egress";
    securityGroupId: string;
    ipProtocol: string;
    fromPort?: number;
    toPort?: number;
    cidrIpv4?: string;
    cidrIpv6?: string;
}

export interface Instance {
    subnetId: string;
    securityGroupIds: string[];
    /** What its private address ends with on the rig. */
    number: number;
    state: "running" | "stopped";
}

export interface Account extends Tables {
    region: string;
    /** The architecture of images by their id. */
    images: Record<string, string>;
    /** Public parameters of SSM, by name: the ids of images. */
    parameters: Record<string, string>;
    /** The address that a name resolves to in public DNS. */
    forward: Record<string, string>;
}

/** The first AMIs of the public parameters; a test may put another in the place of one. */
const architectures = { amd64: "x86_64", arm64: "arm64" };
const parametersOf = (architecture: string) => [
    `/aws/service/debian/release/12/latest/${architecture}`,
    ...["ebs-gp3", "ebs-gp2"].map((disk) => `/aws/service/canonical/ubuntu/server/24.04/stable/current/${architecture}/hvm/${disk}/ami-id`),
];

/** An id as AWS makes them. */
export const newId = (prefix: string): string => `${prefix}-0${randomBytes(8).toString("hex")}`;

/** An account as AWS hands it out: with a default VPC, and nothing else. */
export function newAccount(region = "eu-central-1"): Account {
    const vpcId = newId("vpc");
    const zones = ["a", "b", "c"].map((letter, at) => ({ availabilityZone: region + letter, cidrBlock: `172.31.${at * 16}.0/20` }));
    const images = Object.entries(architectures).flatMap(([name, architecture]) =>
        parametersOf(name).map((parameter) => ({ parameter, architecture, id: newId("ami") })),
    );
    return {
        region,
        vpcs: { [vpcId]: { cidrBlock: "172.31.0.0/16", isDefault: true } },
        internetGateways: { [newId("igw")]: { vpcId } },
        subnets: Object.fromEntries(zones.map((zone) => [newId("subnet"), { vpcId, ...zone, isDefault: true }])),
        ...{
            routeTables: {},
            routes: {},
            routeTableAssociations: {},
            securityGroups: {},
            securityGroupRules: {},
            addresses: {},
            addressDomainNames: {},
        },
        ...noZones(),
        ...noBuckets(),
        ...{ addressAssociations: {}, volumes: {}, volumeAttachments: {}, instances: {} },
        images: Object.fromEntries(images.map(({ id, architecture }) => [id, architecture])),
        parameters: Object.fromEntries(images.map(({ id, parameter }) => [parameter, id])),
        forward: {},
    };
}

const noZones = () => ({ hostedZones: {}, recordSets: {} });
const noBuckets = () => ({
    ...{ users: {}, userPolicies: {}, accessKeys: {}, buckets: {}, bucketVersionings: {}, bucketObjectLocks: {}, bucketLifecycles: {} },
    ...{ bucketEncryptions: {}, bucketOwnerships: {}, bucketAccessBlocks: {}, bucketPolicies: {} },
});

/** Does one thing with the account, of which no other is in the midst. It is kept only if the thing does not fail. */
export type WithAccount = With<Account>;

/** The account in a file. Other processes may use it too, but not at the same time. */
export const accountIn = (file: string): WithAccount => inFile(file, readAccount);

/** The account in a file, also one of a time before Route 53 or S3, or a new one. */
export function readAccount(file: string): Account {
    const kept = readFile<Account>(file);
    return kept ? { ...noZones(), ...noBuckets(), ...kept } : newAccount();
}
