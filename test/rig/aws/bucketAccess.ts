import type { BucketOwnershipControlsArgs, BucketOwnershipControlsState } from "@pulumi/aws/s3/bucketOwnershipControls";
import type { BucketPolicyArgs, BucketPolicyState } from "@pulumi/aws/s3/bucketPolicy";
import type { BucketPublicAccessBlockArgs, BucketPublicAccessBlockState } from "@pulumi/aws/s3/bucketPublicAccessBlock";
import type {
    BucketServerSideEncryptionConfigurationArgs,
    BucketServerSideEncryptionConfigurationState,
} from "@pulumi/aws/s3/bucketServerSideEncryptionConfiguration";
import type { Unwrap } from "@pulumi/pulumi";
import type { Account } from "./account";
import { configuration } from "./bucketConfiguration";
import { ApiError, must } from "./errors";
import type { Cloud } from "./resource";

type EncryptionArgs = Unwrap<BucketServerSideEncryptionConfigurationArgs>;

export const bucketEncryption = (cloud: Cloud) =>
    configuration<"bucketEncryptions", EncryptionArgs, Unwrap<BucketServerSideEncryptionConfigurationState>>(cloud, "bucketEncryptions", {
        inputs: ["rules"],
        required: ["rules"],
        refuse({ rules: [{ applyServerSideEncryptionByDefault, blockedEncryptionTypes = [] }] }) {
            const { sseAlgorithm = "" } = applyServerSideEncryptionByDefault ?? {};
            const blocked = blockedEncryptionTypes.every((type) => ["NONE", "SSE-C"].includes(type));
            if (!blocked) return `expected blockedEncryptionTypes to be of ["NONE" "SSE-C"], got ${blockedEncryptionTypes.join(", ")}`;
            const algorithms = ["AES256", "aws:kms", "aws:kms:dsse"];
            return algorithms.includes(sseAlgorithm) ? undefined : `expected sseAlgorithm to be one of ${algorithms.join(", ")}, got ${sseAlgorithm}`;
        },
        accept(_account, { rules }) {
            const { sseAlgorithm, kmsMasterKeyId } = rules[0].applyServerSideEncryptionByDefault!;
            const why = "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse";
            must(!kmsMasterKeyId || sseAlgorithm !== "AES256", "InvalidArgument", why);
            return { rules };
        },
    });

export const bucketOwnership = (cloud: Cloud) =>
    configuration<"bucketOwnerships", Unwrap<BucketOwnershipControlsArgs>, Unwrap<BucketOwnershipControlsState>>(cloud, "bucketOwnerships", {
        inputs: ["rule"],
        required: ["rule"],
        refuse({ rule: { objectOwnership } }) {
            const known = ["BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"];
            return known.includes(objectOwnership) ? undefined : `expected objectOwnership to be one of ${known.join(", ")}, got ${objectOwnership}`;
        },
        accept: (_account, { rule }) => ({ rule }),
    });

const SWITCHES = ["blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"] as const;

export const publicAccessBlock = (cloud: Cloud) =>
    configuration<"bucketAccessBlocks", Unwrap<BucketPublicAccessBlockArgs>, Unwrap<BucketPublicAccessBlockState>>(cloud, "bucketAccessBlocks", {
        inputs: [...SWITCHES],
        defaults: Object.fromEntries(SWITCHES.map((key) => [key, false])),
        accept: (_account, args) => Object.fromEntries(SWITCHES.map((key) => [key, args[key]])),
    });

export const bucketPolicy = (cloud: Cloud) =>
    configuration<"bucketPolicies", Unwrap<BucketPolicyArgs>, Unwrap<BucketPolicyState>>(cloud, "bucketPolicies", {
        inputs: ["policy"],
        required: ["policy"],
        accept(account, { bucket, policy }) {
            const text = typeof policy === "string" ? policy : JSON.stringify(policy);
            const statements = parsed(text);
            for (const statement of statements) mustFit(account, bucket, statement);
            const block = account.bucketAccessBlocks[bucket]?.blockPublicPolicy && statements.some(isPublic);
            const why = "because public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.";
            must(!block, "AccessDenied", `User is not authorized to perform: s3:PutBucketPolicy on resource: "arn:aws:s3:::${bucket}" ${why}`);
            return { policy: text };
        },
    });

interface Statement {
    Effect?: string;
    Principal?: string | Record<string, string | string[]>;
    Action?: string | string[];
    Resource?: string | string[];
    Condition?: object;
}

const malformed = (why: string) => new ApiError("MalformedPolicy", why);

function parsed(text: string): Statement[] {
    if (Buffer.byteLength(text) > 20 * 1024) throw new ApiError("PolicyTooLarge", "Policy exceeds the maximum allowed document size");
    try {
        const { Statement: statements = [] } = JSON.parse(text) as { Statement?: Statement | Statement[] };
        return [statements].flat();
    } catch {
        throw malformed("Policies must be valid JSON and the first byte must be '{'");
    }
}

/** Principals that exist: everybody, an account, a service, and users of the account. */
function mustFit(account: Account, bucket: string, { Effect, Principal, Action, Resource }: Statement): void {
    if (Effect !== "Allow" && Effect !== "Deny") throw malformed(`Invalid effect : ${Effect}`);
    if (!Principal) throw malformed("Missing required field Principal");
    if (!Action) throw malformed("Missing required field Action");
    if (!Resource) throw malformed("Missing required field Resource");
    const named = typeof Principal === "string" ? [Principal] : [Principal.AWS ?? []].flat();
    const exists = (name: string) => {
        const [, own] = /^arn:aws:iam::\d{12}:user\/(.+)$/.exec(name) ?? [];
        return name === "*" || /^\d{12}$|^arn:aws:iam::\d{12}:root$/.test(name) || (own && account.users[own]);
    };
    if (!named.every(exists)) throw malformed(`Invalid principal in policy: ${named.join(", ")}`);
    const arn = `arn:aws:s3:::${bucket}`;
    const inBucket = [Resource].flat().every((resource) => resource === arn || resource.startsWith(`${arn}/`));
    if (!inBucket) throw malformed(`Policy has invalid resource: ${[Resource].flat().join(", ")}`);
    const objectsOnly = [Action].flat().every((action) => /^s3:(Get|Put|Delete)Object/.test(action));
    if (objectsOnly && ![Resource].flat().some((resource) => resource.startsWith(`${arn}/`)))
        throw malformed("Action does not apply to any resource(s) in statement");
}

/** Whoever may do something without being named, and without a condition that narrows it. */
function isPublic({ Effect, Principal, Condition }: Statement): boolean {
    const named = typeof Principal === "string" ? [Principal] : [Principal?.AWS ?? []].flat();
    return Effect === "Allow" && named.includes("*") && !Condition;
}
