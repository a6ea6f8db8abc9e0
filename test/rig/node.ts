import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";

import type { Rehearsal } from "../../operate/rehearsal";
import { RELEASE } from "./images/debian";
import { type Log, run } from "./images/run";
import { aptFiles, startProxy } from "./vps/apt";

/** Arguments of image/Dockerfile: stand-ins of its bases, in the rehearsal's registry. */
export interface Bases extends Record<string, string> {
    BUILD_BASE: string;
    RUN_BASE: string;
}

/** Makes the bases, with the npm of the machine, and lets builds on the host reach the registries of npm and Debian as the machine does. */
export async function nodeBases({ host, directory }: Rehearsal, log: Log): Promise<Bases> {
    const proxy = await startProxy(host, directory);
    const docker = (argv: string[]) => run("docker", argv, { env: { DOCKER_HOST: host.dockerHost, DOCKER_BUILDKIT: "0" } });
    log("stand-in of node: images");
    const context = mkdtempSync(path.join(tmpdir(), "rig-node-"));
    try {
        cpSync(path.join(__dirname, "node"), context, { recursive: true });
        await writeFiles(path.join(context, "files"), await aptFiles(host, RELEASE));
        const registry = (await run("npm", ["config", "get", "registry"])).trim();
        const make = async (tag: string, tools: string) => {
            const image = `${host.registry}/library/node:${tag}`;
            const values = { REGISTRY: registry, PROXY: proxy, TOOLS: tools };
            const args = Object.entries(values).flatMap(([name, value]) => ["--build-arg", `${name}=${value}`]);
            await docker(["build", "--quiet", "--network", "none", "--tag", image, ...args, context]);
            await docker(["push", image]);
            return image;
        };
        return { BUILD_BASE: await make("25-bookworm", "yes"), RUN_BASE: await make("25-bookworm-slim", "") };
    } finally {
        rmSync(context, { recursive: true });
    }
}

async function writeFiles(root: string, files: Record<string, string>): Promise<void> {
    const npm = path.join(root, "usr/local/lib/node_modules/npm");
    mkdirSync(path.dirname(npm), { recursive: true });
    await run("cp", ["-a", path.join((await run("npm", ["root", "--global"])).trim(), "npm"), npm]);
    const certificates = "etc/ssl/certs/ca-certificates.crt"; // whom the machine trusts
    mkdirSync(path.dirname(path.join(root, certificates)), { recursive: true });
    cpSync(`/${certificates}`, path.join(root, certificates));
    for (const [name, text] of Object.entries(files)) {
        mkdirSync(path.dirname(path.join(root, name)), { recursive: true });
        writeFileSync(path.join(root, name), text);
    }
}
