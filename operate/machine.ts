import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { Settings } from "../components/settings/settings";
import { docker, dockerAnswers } from "./health";
import { hasPulumi } from "./pulumi";
import { hostOf } from "./registry";

const DEFAULT_SOCKET = "unix:///var/run/docker.sock";

/** Hosts that an `up` on this machine would have to ask and that do not answer. What is here already needs no host. */
export async function unreachable(settings: Settings): Promise<string[]> {
    const hosts = new Set<string>();
    if (!(await hasPulumi())) hosts.add("get.pulumi.com");
    for (const { reference } of Object.values(settings.images))
        if (!hasImage(reference, settings.servers[0].dockerHost)) hosts.add(hostOf(reference));
    const answers = await Promise.all([...hosts].map(async (host) => ({ host, up: await answersHttp(host) })));
    return answers.filter(({ up }) => !up).map(({ host }) => host);
}

function hasImage(reference: string, dockerHost: string): boolean {
    try {
        return docker(["image", "inspect", "-f", "{{.Id}}", reference], dockerHost) !== "";
    } catch {
        return false; // also where Docker is not there yet
    }
}

/** Any answer will do: a registry says 401 to who has no token. */
async function answersHttp(host: string): Promise<boolean> {
    const scheme = /^(127\.|localhost)/.test(host) ? "http" : "https";
    const path = host === "get.pulumi.com" ? "/" : "/v2/";
    const asked = fetch(`${scheme}://${host}${path}`, { method: "HEAD", redirect: "manual", signal: AbortSignal.timeout(8000) });
    return asked.then(
        () => true,
        () => false,
    );
}

/**
 * Makes sure that Docker answers: on Debian and Ubuntu as root it is installed and started, elsewhere the error says how.
 * Only the machine's own socket is served; another one is the operator's.
 */
export function needDocker(dockerHost: string, log: (line: string) => void): void {
    if (dockerAnswers(dockerHost)) return;
    const installed = spawnSync("docker", ["--version"]).status === 0 && existsSync("/usr/bin/dockerd");
    const how = installed
        ? "start it (systemctl start docker), and see that this user may use it (group docker)"
        : "install it, https://docs.docker.com/engine/install";
    if (dockerHost !== DEFAULT_SOCKET || !isDebian() || process.getuid?.() !== 0)
        throw new Error(`Docker does not answer at ${dockerHost}. Fix: ${how}.`);
    if (!installed) {
        log("Installing Docker (package docker.io) ...");
        command("apt-get", ["update", "-qq"]);
        command("apt-get", ["install", "--yes", "-qq", "--no-install-recommends", "docker.io"], { DEBIAN_FRONTEND: "noninteractive" });
    }
    log("Starting Docker ...");
    if (existsSync("/run/systemd/system")) command("systemctl", ["enable", "--now", "docker"]);
    else command("service", ["docker", "start"]);
    for (let tries = 0; tries < 20 && !dockerAnswers(dockerHost); tries++) spawnSync("sleep", ["0.5"]);
    if (!dockerAnswers(dockerHost))
        throw new Error(`Docker was started, but does not answer at ${dockerHost}. Fix: see its log, journalctl -u docker.`);
}

function isDebian(): boolean {
    return existsSync("/etc/os-release") && /^ID(_LIKE)?=.*(debian|ubuntu)/m.test(readFileSync("/etc/os-release", "utf8"));
}

function command(program: string, args: string[], env: Record<string, string> = {}): void {
    const { status, stderr, error } = spawnSync(program, args, { encoding: "utf8", env: { ...process.env, ...env } });
    if (status !== 0) throw new Error(`${[program, ...args].join(" ")} failed: ${error?.message ?? stderr.trim()}`);
}
