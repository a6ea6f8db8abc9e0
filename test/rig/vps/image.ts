import * as fs from "node:fs";
import * as path from "node:path";

import { hashOf } from "../images/cache";
import { debianRoot, Release } from "../images/debian";
import { type Log, run } from "../images/run";

const packages = [
    ...["apt", "ca-certificates", "dbus", "iproute2", "iptables", "nftables", "openssh-server", "procps"],
    ...["sudo", "systemd", "systemd-sysv"],
];

/** The tag of an image that boots like a small Debian server; made once for an engine. */
export async function serverImage(dockerHost: string, release: Release, withDocker: boolean, log: Log): Promise<string> {
    const root = await debianRoot(log, withDocker ? [...packages, "docker.io"] : packages, release);
    const tag = `forwardemail-rig/server:${path.basename(root, ".tar")}-${hashOf(path.join(__dirname, "Dockerfile"))}`;
    const docker = (argv: string[]) => run("docker", argv, { env: { DOCKER_HOST: dockerHost, DOCKER_BUILDKIT: "0" } });
    if ((await docker(["image", "ls", "--quiet", tag])).trim()) return tag;
    log("vps: image (30 s)");
    const context = fs.mkdtempSync("/tmp/rig-vps-");
    try {
        for (const file of ["Dockerfile", "fstab.service", "ssh.conf"]) fs.copyFileSync(path.join(__dirname, file), path.join(context, file));
        fs.copyFileSync(root, path.join(context, "rootfs.tar"));
        await docker(["build", "--quiet", "--network", "none", "--tag", tag, context]);
    } finally {
        fs.rmSync(context, { recursive: true });
    }
    return tag;
}
