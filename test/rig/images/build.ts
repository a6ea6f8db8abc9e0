import { createHash } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";

import { cached, hashOf } from "./cache";
import { debianRoot } from "./debian";
import { buildLego } from "./lego";
import { buildRestic } from "./restic";
import { type Log, run } from "./run";

export interface BuildArgs {
    /** The Docker engine that builds, and pushes to the registry as it sees it. */
    dockerHost: string;
    /** `host:port` of the registry, as that engine sees it. */
    registry: string;
    /** Path of the MongoDB stand-in's binary. */
    mongod: string;
    log: Log;
}

export interface LockedImage {
    repository: string;
    releases: Record<string, { digest: string }>;
}

export type ImagesLock = Record<"forwardemail" | "mongodb" | "redis" | "nginx" | "lego" | "restic", LockedImage>;

/** Releases of the application double, and what each one breaks. */
const applications: Record<string, string> = {
    "v2.15.0": "",
    "v2.15.1": "",
    "v2.16.0-web500": "web-500",
    "v2.16.1-smtpcrash": "smtp-crash",
    "v2.16.2-workercrash": "worker-crash",
    "v2.16.3-hang": "hang",
    "v2.16.4-openrelay": "open-relay",
};
/** Releases of everything else: the newest known ones of the real images; of MongoDB also the next major one, of Redis one to go back from. */
const others: Record<Exclude<keyof ImagesLock, "forwardemail">, [repository: string, ...tags: string[]]> = {
    mongodb: ["library/mongo", "7.0.28", "8.0.15"],
    redis: ["library/redis", "7.4.7", "7.4.6"],
    nginx: ["library/nginx", "1.28.0"],
    lego: ["goacme/lego", "v5.6.0"],
    restic: ["restic/restic", "0.18.1"],
};

const services = ["web", "api", "bree", "smtp", "smtp-bree", "mx", "imap", "pop3", "sqlite", "sqlite-bree", "caldav", "carddav"];

export const tagOf = (name: string) => `forwardemail-rig/${name}`;

/** Fetches what the stand-ins are made of, where it is not here yet. */
export async function fetchParts(log: Log): Promise<void> {
    await debianRoot(log);
    for (const folder of ["base", "mongodb", "app"]) await npmInstall(folder, log);
}

/** Builds every stand-in and pushes it; does nothing when sources are unchanged and the registry still has them all. */
export async function buildImages(args: BuildArgs): Promise<ImagesLock> {
    const programs = { lego: await buildLego(args.log), restic: await buildRestic(args.log) };
    const names = Object.values(programs).map((program) => path.basename(program));
    const key = [args.dockerHost, args.registry, hashOf(__dirname), hashOf(args.mongod), ...names].join(" ");
    let isFresh = false;
    const lockFile = await cached(`images-${createHash("sha256").update(key).digest("hex").slice(0, 16)}.json`, async (file) => {
        isFresh = true;
        fs.writeFileSync(file, JSON.stringify(await buildAndPush(args, programs), null, 4));
    });
    const lock = JSON.parse(fs.readFileSync(lockFile, "utf8")) as ImagesLock;
    if (isFresh || (await isPushed(args, lock))) return lock;
    fs.rmSync(lockFile);
    return buildImages(args);
}

const docker = (args: Pick<BuildArgs, "dockerHost">, argv: string[]) =>
    run("docker", argv, { env: { DOCKER_HOST: args.dockerHost, DOCKER_BUILDKIT: "0" } });

/** The registry may only be reachable for the engine, so the engine is asked. */
async function isPushed(args: BuildArgs, lock: ImagesLock): Promise<boolean> {
    const references = Object.values(lock).flatMap(({ repository, releases }) => Object.values(releases).map((r) => `${repository}@${r.digest}`));
    try {
        await Promise.all(references.map((reference) => docker(args, ["pull", "--quiet", reference])));
        return true;
    } catch {
        return false;
    }
}

async function buildAndPush(args: BuildArgs, { lego, restic }: { lego: string; restic: string }): Promise<ImagesLock> {
    args.log("stand-in images: building (20 s, the first time 2 minutes)");
    const base = await npmInstall("base", args.log);
    const node = path.join(base, "node_modules", `node-linux-${process.arch}`, "bin", "node");
    await build(args, "base", { "rootfs.tar": await debianRoot(args.log), node });
    await build(args, "nginx", {}, { BASE: tagOf("base") });
    await build(args, "redis", {}, { BASE: tagOf("base") });
    await build(args, "lego", { lego }, { BASE: tagOf("base") });
    await build(args, "restic", { restic }, { BASE: tagOf("base") });
    const mongodb = await npmInstall("mongodb", args.log);
    const database = { mongod: args.mongod, node_modules: path.join(mongodb, "node_modules") };
    await build(args, "app", { "": `${await bundle(args.log)}/.` }, { BASE: tagOf("base") });

    const lock: Partial<ImagesLock> = {};
    for (const [name, [repository, ...tags]] of Object.entries(others) as Array<[keyof typeof others, [string, ...string[]]]>) {
        const full = `${args.registry}/${repository}`;
        const releases: LockedImage["releases"] = {};
        for (const tag of tags) {
            if (name === "mongodb") await build(args, name, database, { BASE: tagOf("base"), VERSION: tag });
            releases[tag] = await push(args, tagOf(name), `${full}:${tag}`);
        }
        lock[name] = { repository: full, releases };
    }
    return { ...lock, forwardemail: await pushApplications(args) } as ImagesLock;
}

async function pushApplications(args: BuildArgs): Promise<LockedImage> {
    const repository = `${args.registry}/forwardemail/forwardemail.net-selfhosted`;
    const releases: LockedImage["releases"] = {};
    for (const [version, breaks] of Object.entries(applications)) {
        await build(args, "release", {}, { APP: tagOf("app"), VERSION: version, BREAK: breaks });
        releases[version] = await push(args, tagOf("release"), `${repository}:${version}`);
    }
    return { repository, releases };
}

/** Builds a folder with the files of `extra` (name in the context: path) beside its own. */
export async function build(
    args: Omit<BuildArgs, "mongod">,
    folder: string,
    extra: Record<string, string>,
    buildArgs: Record<string, string> = {},
): Promise<void> {
    args.log(`stand-in images: ${folder}${buildArgs.VERSION ? ` ${buildArgs.VERSION}` : ""}`);
    const context = fs.mkdtempSync("/tmp/rig-image-");
    try {
        if (folder !== "app") fs.cpSync(path.join(__dirname, folder), context, { recursive: true });
        for (const [name, source] of Object.entries(extra)) await run("cp", ["-a", source, path.join(context, name)]);
        const values = Object.entries(buildArgs).flatMap(([name, value]) => ["--build-arg", `${name}=${value}`]);
        await docker(args, ["build", "--quiet", "--network", "none", "--tag", tagOf(folder), ...values, context]);
    } finally {
        fs.rmSync(context, { recursive: true });
    }
}

export async function push(args: Omit<BuildArgs, "mongod">, image: string, reference: string): Promise<{ digest: string }> {
    await docker(args, ["tag", image, reference]);
    const digest = /digest: (sha256:[0-9a-f]{64})/.exec(await docker(args, ["push", reference]))?.[1];
    if (!digest) throw new Error(`${reference}: the registry named no digest`);
    return { digest };
}

/** Packages of a folder's lock file, without running any of their scripts. */
function npmInstall(folder: string, log: Log): Promise<string> {
    const source = path.join(__dirname, folder);
    return cached(`npm-${folder}-${hashOf(path.join(source, "package-lock.json"))}`, async (directory) => {
        fs.mkdirSync(directory);
        for (const file of ["package.json", "package-lock.json"]) fs.copyFileSync(path.join(source, file), path.join(directory, file));
        log(`stand-in images: npm packages of ${folder} (30 s)`);
        await run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], { cwd: directory });
    });
}

/** One file a service: twelve processes start at once, and reading thousands of small files is what would be slow. */
async function bundle(log: Log): Promise<string> {
    const packages = await npmInstall("app", log);
    const source = path.join(__dirname, "app");
    return cached(`app-${hashOf(source)}`, async (directory) => {
        fs.mkdirSync(directory);
        for (const file of ["Dockerfile", ".env.defaults", ".env.schema"]) fs.copyFileSync(path.join(source, file), path.join(directory, file));
        const entries = services.map((service) => path.join(source, `${service}.js`));
        const options = ["--bundle", "--platform=node", "--target=node24", "--log-level=warning", `--outdir=${directory}`];
        const env = { NODE_PATH: path.join(packages, "node_modules") };
        await run(path.join(packages, "node_modules", ".bin", "esbuild"), [...entries, ...options], { env });
    });
}
