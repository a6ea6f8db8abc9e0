import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { Settings } from "../components/settings/settings";
import { docker, dockerAnswers } from "./health";
import { hasPulumi } from "./pulumi";
import { hostOf } from "./registry";

const DEFAULT_SOCKET = "unix:///var/run/docker.sock";

/** Hosts that an `up` on this machine would have to ask and that do not answer. What is here already needs no host. */
export async function unreachable(
    settings: Pick<Settings, "images" | "servers">,
    here: { hasPulumi(): Promise<boolean>; hasImage(reference: string, dockerHost: string): boolean } = { hasPulumi, hasImage },
): Promise<string[]> {
    const hosts = new Set<string>();
    if (!(await here.hasPulumi())) hosts.add("get.pulumi.com");
    const [{ kind }] = settings.servers; // another machine pulls by itself
    for (const { reference } of kind === "local" ? Object.values(settings.images) : [])
        if (!here.hasImage(reference, settings.servers[0].dockerHost)) hosts.add(hostOf(reference));
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

/** What `needDocker` finds on a machine and does to it. */
export interface Machine {
    answers(dockerHost: string): boolean;
    /** Docker's client and its daemon, running or not. */
    has(part: "client" | "daemon"): boolean;
    isDebian(): boolean;
    isRoot(): boolean;
    hasSystemd(): boolean;
    /** Throws with what the program said when it fails. */
    run(program: string, args: string[], env?: Record<string, string>): void;
    /** Half a second. */
    wait(): void;
}

export const THIS_MACHINE: Machine = {
    answers: dockerAnswers,
    has: (part) =>
        part === "client"
            ? spawnSync("docker", ["--version"]).status === 0
            : ["/usr/bin/dockerd", "/usr/sbin/dockerd"].some((file) => existsSync(file)), // Docker's own package; Debian's, outside a user's PATH
    isDebian: () => existsSync("/etc/os-release") && /^ID(_LIKE)?=.*(debian|ubuntu)/m.test(readFileSync("/etc/os-release", "utf8")),
    isRoot: () => process.getuid?.() === 0,
    hasSystemd: () => existsSync("/run/systemd/system"),
    run(program, args, env = {}) {
        const { status, stderr, error } = spawnSync(program, args, { encoding: "utf8", env: { ...process.env, ...env } });
        if (status !== 0) throw new Error(`${[program, ...args].join(" ")} failed: ${error?.message ?? stderr.trim()}`);
    },
    wait: () => void spawnSync("sleep", ["0.5"]),
};

/**
 * Makes sure that Docker answers: on Debian and Ubuntu as root it is installed and started, elsewhere the error says how.
 * Only the machine's own socket is served; another one is the operator's.
 */
export function needDocker(dockerHost: string, log: (line: string) => void, machine: Machine = THIS_MACHINE): void {
    if (machine.answers(dockerHost)) return;
    const installed = machine.has("client") && machine.has("daemon");
    if (dockerHost !== DEFAULT_SOCKET || !machine.isDebian() || !machine.isRoot())
        throw new Error(`Docker does not answer at ${dockerHost}. Fix: ${dockerAdvice(dockerHost, installed, machine.isDebian())}.`);
    if (!installed) installDocker(log, machine);
    log("Starting Docker ...");
    const journal = machine.hasSystemd() ? "journalctl -u docker" : "/var/log/docker.log";
    try {
        if (machine.hasSystemd()) machine.run("systemctl", ["enable", "--now", "docker"]);
        else machine.run("service", ["docker", "start"]);
    } catch (error) {
        throw new Error(`Docker could not be started: ${(error as Error).message}. Fix: see its log, ${journal}.`, { cause: error });
    }
    for (let tries = 0; tries < 20 && !machine.answers(dockerHost); tries++) machine.wait();
    if (!machine.answers(dockerHost)) throw new Error(`Docker was started, but does not answer at ${dockerHost}. Fix: see its log, ${journal}.`);
}

function dockerAdvice(dockerHost: string, installed: boolean, debian: boolean): string {
    // What is installed here says nothing about another socket or machine.
    if (dockerHost !== DEFAULT_SOCKET) return `see why with \`docker --host ${dockerHost} version\`; servers[].dockerHost names this address`;
    if (installed) return "start it (systemctl start docker), and see that this user may use it (group docker)";
    return `install it, https://docs.docker.com/engine/install${debian ? ", or run this as root, which installs it" : ""}`;
}

function installDocker(log: (line: string) => void, machine: Machine): void {
    log("Installing Docker (package docker.io) ...");
    const install = (name: string) =>
        machine.run("apt-get", ["install", "--yes", "-qq", "--no-install-recommends", name], { DEBIAN_FRONTEND: "noninteractive" });
    try {
        machine.run("apt-get", ["update", "-qq"]);
        install("docker.io");
        if (!machine.has("client")) install("docker-cli"); // a package of its own since Debian 13, and only recommended
    } catch (error) {
        const fix = "mend that, or install Docker yourself, https://docs.docker.com/engine/install";
        throw new Error(`Docker could not be installed: ${(error as Error).message}. Fix: ${fix}.`, { cause: error });
    }
}
