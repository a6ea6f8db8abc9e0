import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";

import { CreateBucketCommand, PutBucketPolicyCommand, PutBucketVersioningCommand, type S3Client } from "@aws-sdk/client-s3";

import { build } from "./engine/build";
import type { RigHost } from "./host";
import { serves } from "./host/daemons";
import { type Log, run } from "./images/run";
import { named, runDirOf, startOutside, stopOutside } from "./outside";
import { clientOf, type Keys, type Objects, objectsOf } from "./s3/client";
import type { Disturbance, ProxyConfig } from "./s3/proxy";

/** An S3 server on the internet: Versity's gateway, behind a proxy that can make trouble. */
export interface S3Server extends Objects {
    /** `http://…`, by address; reachable from containers of the host, not from the machine. */
    endpoint: string;
    region: string;
    /** Owns every bucket. */
    admin: Keys;
    createBucket(name: string, options?: { versioning?: boolean }): Promise<void>;
    /** Adds a user who may do nothing until a policy says so. Policies name it by its access key id, which is `name`. */
    createUser(name: string): Promise<Keys>;
    /** Replaces a bucket's policy. What the server would silently leave out of account is refused here. */
    setPolicy(bucket: string, policy: object): Promise<void>;
    /** Makes trouble for whoever uses the endpoint, at once and also for requests under way, until the next call: `{}` ends it. */
    disturb(how: Disturbance): Promise<void>;
    /** For requests that are not offered here, with any user's keys; past what disturbs. */
    client(keys: Keys): S3Client;
    stop(): Promise<void>;
}

export interface S3Args {
    /** Keeps what is stored, and logs. */
    dir: string;
    /** Keeps what an earlier start with the same `dir` stored, its users and the admin's keys. @default false */
    keep?: boolean;
    log: Log;
}

const PORT = 9000;
/** Not us-east-1, which clients take for granted. */
const REGION = "eu-central-1";

/** Starts the server in place of one that runs, undisturbed. */
export async function startS3(host: RigHost, { dir, keep = false, log }: S3Args): Promise<S3Server> {
    const program = await versitygw(dir, log);
    const files = filesOf(host, dir);
    await stopS3(host);
    if (!keep) fs.rmSync(files.store, { recursive: true, force: true });
    const admin = { accessKeyId: "admin", secretAccessKey: keptSecret(files.store) };
    const endpoint = `http://${host.outside4}:${PORT}`;
    const client = (keys: Keys) => clientOf({ endpoint, region: REGION, socketPath: files.socket }, keys);
    const own = client(admin);
    log("internet: starting the S3 server");
    await startServer(host, program, files, admin);
    await startProxy(host, files);
    return {
        ...objectsOf(own),
        endpoint,
        region: REGION,
        admin,
        async createBucket(Bucket, { versioning = false } = {}) {
            await own.send(new CreateBucketCommand({ Bucket }));
            const VersioningConfiguration = { Status: "Enabled" } as const;
            if (versioning) await own.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration }));
        },
        async createUser(name) {
            const keys = { accessKeyId: name, secretAccessKey: newSecret() };
            const user = ["--access", keys.accessKeyId, "--secret", keys.secretAccessKey, "--role", "user"];
            const [tool, ...argv] = host.outside([program, "admin", "--endpoint-url", endpoint, "--region", REGION, "create-user", ...user]);
            await run(tool, argv, { env: rootOf(admin) });
            return keys;
        },
        async setPolicy(Bucket, policy) {
            checkPolicy(policy);
            await own.send(new PutBucketPolicyCommand({ Bucket, Policy: JSON.stringify(policy) }));
        },
        disturb: async (how) => disturb(files, how),
        client,
        stop: () => stopS3(host),
    };
}

function filesOf(host: RigHost, dir: string) {
    const [socket, config, disturbance] = ["s3.sock", "s3-proxy.json", "s3-disturbance.json"].map((name) => path.join(runDirOf(host), name));
    return { dir: path.resolve(dir), store: path.resolve(dir, "store"), socket, config, disturbance };
}

type Files = ReturnType<typeof filesOf>;

function startServer(host: RigHost, program: string, { dir, store, socket }: Files, admin: Keys): Promise<void> {
    const [objects, versions, metadata, users] = ["objects", "versions", "metadata", "users"].map((name) => path.join(store, name));
    return startOutside(host, {
        program,
        argv: [
            ...["--port", socket, "--region", REGION, "--health", "/health", "--iam-dir", users, "--iam-cache-disable", "--keep-alive"],
            // Beside the objects, not in their extended attributes: not every file system has them, and ext4 has room for 4 KiB.
            ...["posix", "--versioning-dir", versions, "--sidecar", metadata, objects],
        ],
        env: rootOf(admin),
        logFile: path.join(dir, "versitygw.log"),
        prepare: () => [objects, versions, metadata, users].forEach((folder) => fs.mkdirSync(folder, { recursive: true })),
        ready: () => serves(socket, "/health"),
    });
}

const rootOf = ({ accessKeyId, secretAccessKey }: Keys) => ({ ROOT_ACCESS_KEY: accessKeyId, ROOT_SECRET_KEY: secretAccessKey });

function startProxy(host: RigHost, files: Files): Promise<void> {
    const config: ProxyConfig = { port: PORT, server: files.socket, disturbance: files.disturbance };
    const [bash, ...connect] = host.outside(["bash", "-c", `exec 3<>/dev/tcp/127.0.0.1/${PORT}`]);
    return startOutside(host, {
        program: named(files.dir, "s3-proxy", process.execPath),
        argv: ["--import", require.resolve("tsx"), path.join(__dirname, "s3", "proxy.ts"), files.config],
        logFile: path.join(files.dir, "s3-proxy.log"),
        prepare() {
            fs.writeFileSync(files.config, JSON.stringify(config));
            disturb(files, {});
        },
        ready: () =>
            run(bash, connect).then(
                () => true,
                () => false,
            ),
    });
}

/** The proxy may read it at any time: it is replaced whole. */
function disturb({ disturbance }: Files, how: Disturbance): void {
    fs.writeFileSync(`${disturbance}.new`, JSON.stringify(how));
    fs.renameSync(`${disturbance}.new`, disturbance);
}

async function stopS3(host: RigHost): Promise<void> {
    for (const name of ["s3-proxy", "versitygw"]) await stopOutside(host, name);
}

/** What a statement may have: the server passes over `Condition`, `NotAction` and the like, and would allow or deny something else. */
const KNOWN = ["Sid", "Effect", "Principal", "Action", "Resource"];

function checkPolicy(policy: object): void {
    const { Statement = [] } = policy as { Statement?: object[] };
    const unknown = Statement.flatMap(Object.keys).filter((key) => !KNOWN.includes(key));
    if (unknown.length > 0)
        throw new Error(`The rig's S3 server knows no ${[...new Set(unknown)].join(", ")} in a policy, only ${KNOWN.join(", ")}.`);
}

async function versitygw(dir: string, log: Log): Promise<string> {
    fs.mkdirSync(dir, { recursive: true });
    const folder = path.join(__dirname, "s3", "server");
    const built = await build({ file: "versitygw", folder, package: "github.com/versity/versitygw/cmd/versitygw", takes: "1-2 minutes" }, log);
    return named(dir, "versitygw", built);
}

/** Of the form that AWS gives out: with the characters that scripts forget to quote. */
const newSecret = () => randomBytes(30).toString("base64");

function keptSecret(store: string): string {
    const file = path.join(store, "secret");
    fs.mkdirSync(store, { recursive: true });
    if (!fs.existsSync(file)) fs.writeFileSync(file, newSecret(), { mode: 0o600 });
    return fs.readFileSync(file, "utf8");
}
