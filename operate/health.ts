import { destination, overSsh, quote, sshOptions } from "../components/server/connection";
import { ServerSettings } from "../components/settings/settings";
import { execFile, spawnSync } from "node:child_process";
import { promisify } from "node:util";
import { SERVICE_LABEL, STACK_LABEL } from "../components/services/container";
import { CATALOGUE, ServiceName } from "../components/services/catalogue";
import { knownFix } from "./progress";

/** A container of the stack as Docker sees it now. */
export interface Running {
    service: ServiceName;
    /** Name on the Docker host. */
    container: string;
    id: string;
    /** `healthy`, `unhealthy`, `starting`, or the state of a container that does not run: `exited`, `restarting` … */
    health: string;
    restarts: number;
    image: string;
}

/** What only watches the deployment is none of its services, though it has their label. */
export const isService = ({ service }: Pick<Running, "service">): boolean => service in CATALOGUE;

/** Every container of a stack, by its label. Throws with Docker's own message when Docker does not answer. */
export function inspectStack(name: string, host?: DockerAddress): Running[] {
    const ids = linesOf(docker(listOf(name), host));
    return ids.length === 0 ? [] : runningIn(docker(["inspect", ...ids], host));
}

/** The same without holding up what else goes on. */
export async function inspectStackAside(name: string, host?: DockerAddress): Promise<Running[]> {
    const ids = linesOf(await dockerAside(listOf(name), host));
    return ids.length === 0 ? [] : runningIn(await dockerAside(["inspect", ...ids], host));
}

const listOf = (name: string) => ["ps", "-aq", "--no-trunc", "--filter", `label=${STACK_LABEL}=${name}`];
const linesOf = (text: string) => text.split("\n").filter(Boolean);

/** What `docker inspect` says of containers. */
function runningIn(text: string): Running[] {
    return (JSON.parse(text) as Inspected[]).map((c) => ({
        service: c.Config.Labels[SERVICE_LABEL] as ServiceName,
        container: c.Name.replace(/^\//, ""),
        id: c.Id,
        health: c.State.Status === "running" ? (c.State.Health?.Status ?? "running") : c.State.Status,
        restarts: c.RestartCount,
        image: c.Config.Image,
    }));
}

interface Inspected {
    Id: string;
    Name: string;
    RestartCount: number;
    State: { Status: string; Health?: { Status: string; Log: Array<{ ExitCode: number; Output: string }> } };
    Config: { Image: string; Labels: Record<string, string>; Env: string[] };
}

/** Why a container is not healthy: what its probe said last and its last log lines, without any secret of its environment. */
export function explain(container: string, host?: DockerAddress): { probe: string; log: string[]; fix?: string } {
    const [inspected] = JSON.parse(docker(["inspect", container], host)) as Inspected[];
    const hide = redactor(inspected.Config.Env);
    const probe = inspected.State.Health?.Log.at(-1)?.Output.trim() ?? "";
    const log = linesOf(docker(["logs", "--tail", "15", container], host, "merge"));
    const lines = log.map(hide);
    return { probe: hide(probe), log: lines, fix: KNOWN.find(({ sign }) => sign.test(lines.join("\n")))?.fix };
}

/** Removes the values of secret-looking variables from a line. */
export function redactor(env: string[]): (line: string) => string {
    const secrets = env
        .map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)])
        .filter(
            ([key, value]) =>
                /KEY|SECRET|PASS|PWD|AUTH|URI|TOKEN|CREDENTIAL|DSN/.test(key) && !/PATH|ENABLED|USERNAME|SELECTOR/.test(key) && value.length >= 8,
        )
        .flatMap(([, value]) => [value, value.replace(/,$/, ""), ...(/:\/\/[^:]+:([^@]+)@/.exec(value)?.slice(1) ?? [])]);
    return (line) => secrets.reduce((text, secret) => text.replaceAll(secret, "[secret]"), line);
}

/** Signs of a cause in a service's log. */
const KNOWN = [
    {
        sign: /EACCES.*(ssl|\.pem|\.key)|\.(pem|key).*EACCES/s,
        fix: "the key files are not readable by the application's user: run `npm run up` again, it restores their owner",
    },
    { sign: /EACCES.*(:25|:465|:993|:995)|listen EACCES/s, fix: "the container may not bind a low port: Docker 20.10 or newer is needed" },
    {
        sign: /Authentication failed|AuthenticationFailed|WRONGPASS|NOAUTH/,
        fix: "a database refuses the password: `npm run up` reconciles it when it restarts the database",
    },
    { sign: /ECONNREFUSED|EAI_AGAIN|ENOTFOUND (mongodb|redis)/, fix: "a service it needs does not answer: look at mongodb, redis and sqlite first" },
    { sign: /MISSING CONFIG VALUES/, fix: "the release wants a variable that is not set: give it under `environment:`" },
    { sign: /AVX|Illegal instruction/, fix: "this processor lacks AVX, which MongoDB 5 and newer need" },
    { sign: /No space left|ENOSPC/, fix: "the disk is full: free space, then run `npm run up` again" },
    { sign: /OOM command not allowed/, fix: "Redis is full: raise services.redis.memory" },
    { sign: /featureCompatibilityVersion|Wrong mongod version/, fix: "the data is of another MongoDB major release: name its tag in images.mongodb" },
    { sign: /heap out of memory|OOM/i, fix: "it ran out of memory: raise services.NAME.memory" },
];

/** Docker's socket, or a server that may be elsewhere. */
export type DockerAddress = string | Pick<ServerSettings, "dockerHost" | "ssh">;

/** What is asked of a Docker host about a stack. */
export interface Observer {
    isBare(host: ServerSettings): boolean;
    whyNot(host?: DockerAddress): string | undefined;
    inspectStack(name: string, host?: DockerAddress): Running[];
    /** Names of all volumes. */
    volumes(host?: DockerAddress): string[];
    /** Whether a file is there; where nobody can tell, it is. */
    exists(file: string, host: ServerSettings): boolean;
    explain(container: string, host?: DockerAddress): { probe: string; log: string[]; fix?: string };
    remove(container: string, host?: DockerAddress): void;
}

export const DOCKER: Observer = {
    isBare,
    whyNot,
    inspectStack,
    volumes: (host) => linesOf(docker(["volume", "ls", "-q"], host)),
    exists,
    explain,
    remove: (container, host) => void docker(["rm", "-f", container], host),
};

/** Whether it is a host that the program sets up, and on which Docker cannot be used yet, or an instance that is still to be made. */
export function isBare({ ssh, aws, engine }: ServerSettings): boolean {
    if (aws && !ssh) return true;
    if (!ssh || !engine) return false;
    const { status } = spawnSync("ssh", [...sshOptions(ssh), ...destination(ssh), "docker version >/dev/null 2>&1 || exit 97"], { encoding: "utf8" });
    return status === 97;
}

/** The command that runs a script on the server, as root over SSH, with these variables and DOCKER_HOST. */
export function scriptOn({ ssh, dockerHost }: ServerSettings, script: string, more: Record<string, string>) {
    const variables: Record<string, string> = { ...more, DOCKER_HOST: ssh ? `unix://${ssh.socket}` : dockerHost };
    const [program, ...args] = ssh ? overSsh(ssh, { variables: Object.keys(variables) }) : ["/bin/sh", "-c"];
    return { program, args: [...args, script], env: { ...process.env, ...variables } };
}

/** On this machine the operator may not be allowed to look. */
function exists(file: string, server: ServerSettings): boolean {
    if (!server.ssh) return true;
    const { program, args, env } = scriptOn(server, '[ -e "$FILE" ] || exit 96', { FILE: file });
    return spawnSync(program, args, { env, encoding: "utf8" }).status !== 96;
}

/** Why Docker does not answer there, in the words of its client or of ssh; undefined when it does. */
export function whyNot(host?: DockerAddress): string | undefined {
    try {
        docker(["version"], host);
        return undefined;
    } catch (error) {
        return (error as Error).message;
    }
}

export const dockerAnswers = (host?: DockerAddress) => whyNot(host) === undefined;

/** The command that runs Docker's client for a host. Over SSH it is the server's own: this machine may have none. */
export function dockerCommand(args: string[], host?: DockerAddress): { program: string; words: string[]; env: NodeJS.ProcessEnv } {
    const { dockerHost, ssh } = typeof host === "string" ? { dockerHost: host } : { ...host };
    if (!ssh) return { program: "docker", words: args, env: { ...process.env, ...(dockerHost ? { DOCKER_HOST: dockerHost } : {}) } };
    const remote = ["docker", "--host", `unix://${ssh.socket}`, ...args].map(quote).join(" ");
    return { program: "ssh", words: [...sshOptions(ssh), ...destination(ssh), remote], env: process.env };
}

/** Runs Docker's client; its own words become the error. `merge` adds standard error to the output, where `docker logs` puts half of it. */
export function docker(args: string[], host?: DockerAddress, output: "stdout" | "merge" = "stdout"): string {
    const { program, words, env } = dockerCommand(args, host);
    const { status, stdout, stderr, error } = spawnSync(program, words, { env, encoding: "utf8", maxBuffer: 64 << 20 });
    if (error) throw new Error(`${program} cannot be run (${error.message}). Fix: ${installOf(program)}`);
    if (status !== 0) throw new Error(`docker ${args[0]}: ${stderr.trim()} ${stdout.trim()}`);
    return output === "merge" ? stdout + stderr : stdout;
}

const PACKAGES: Record<string, string> = { ssh: "an OpenSSH client", docker: "it, https://docs.docker.com/engine/install" };
const installOf = (program: string) => `install ${PACKAGES[program] ?? "it"}`;

/** The same without holding up what else goes on. */
export function dockerAside(args: string[], host?: DockerAddress): Promise<string> {
    const { program, words, env } = dockerCommand(args, host);
    return runAside(program, words, env);
}

/** Below the patience of the most patient check, which then tells who was silent. */
export const SILENCE = 110_000;

/** Runs a program, and ends one that hangs. Rejects with its own words: Node's would be the whole script that it was given. */
export function runAside(program: string, args: string[], env: NodeJS.ProcessEnv, timeout = SILENCE): Promise<string> {
    const work = promisify(execFile)(program, args, { env, timeout, killSignal: "SIGKILL", maxBuffer: 64 << 20 });
    work.child.stdin?.end(); // nobody types anything
    return work.then(
        ({ stdout }) => stdout,
        ({ code, syscall, killed, stderr }: NodeJS.ErrnoException & { killed?: boolean; stderr?: string }) => {
            if (syscall) throw new Error(`${program} cannot be run (${code}). Fix: ${installOf(program)}`);
            const said = stderr?.trim() ?? "";
            const reason = killed ? `${program} gave no answer within ${timeout / 1000} s` : said || `${program} ended with ${code}`;
            const fix = knownFix(said);
            throw new Error(`${reason}${fix ? ` Fix: ${fix}` : ""}`);
        },
    );
}
