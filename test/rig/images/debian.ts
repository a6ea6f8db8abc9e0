import { createHash } from "node:crypto";
import * as fs from "node:fs";

import { cached } from "./cache";
import { type Log, run } from "./run";

/** Debian 12 and 13. */
export type Release = "bookworm" | "trixie";
/** What the stand-in images are made of, and servers where nothing else is asked for. */
export const RELEASE: Release = "bookworm";
/** What the stand-in images share. */
const shared = ["bash", "ca-certificates", "curl", "libnginx-mod-stream", "netcat-openbsd", "nginx-light", "openssl", "procps", "redis-server"];
/** What only an installation needs, and device nodes: Docker brings its own. */
const left = [
    "./dev/*",
    "./proc/*",
    "./sys/*",
    "./var/cache/apt/*",
    "./var/lib/apt/lists/*",
    "./usr/share/doc/*",
    "./usr/share/locale/*",
    "./usr/share/man/*",
];

/** The path of a tar with a root file system that has these packages. */
export function debianRoot(log: Log, packages = shared, release = RELEASE): Promise<string> {
    const hash = createHash("sha256")
        .update(JSON.stringify([release, packages, left]))
        .digest("hex")
        .slice(0, 16);
    return cached(`debian-${hash}.tar`, async (file) => {
        await needDebootstrap(log);
        log("stand-in images: Debian root file system (40 s to 2 minutes)");
        const root = `${file}.root`;
        try {
            await run("debootstrap", ["--variant=minbase", `--include=${packages.join(",")}`, release, root]);
            await run("tar", ["--create", "--numeric-owner", `--file=${file}`, `--directory=${root}`, ...left.map((p) => `--exclude=${p}`), "."]);
        } finally {
            fs.rmSync(root, { recursive: true, force: true });
        }
    });
}

async function needDebootstrap(log: Log): Promise<void> {
    if (process.getuid?.() !== 0)
        throw new Error("The stand-in images are made from a Debian root file system, which only root can make: run as root.");
    if (fs.existsSync("/usr/sbin/debootstrap")) return;
    log("stand-in images: installing debootstrap");
    try {
        await run("apt-get", ["update"]);
        await run("apt-get", ["install", "--yes", "--no-install-recommends", "debootstrap", "debian-archive-keyring"]);
    } catch (error) {
        throw new Error("debootstrap is missing and could not be installed. Install the package `debootstrap`.", { cause: error });
    }
}
