import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { parse } from "yaml";
import type { OutputMap } from "@pulumi/pulumi/automation";
import { Lock, parseLock } from "../../components/settings/images";
import { Converged, converge } from "../../operate/converge";
import { Running, docker, inspectStack } from "../../operate/health";
import { Rehearsal, hostName, startRehearsal, stopRehearsal } from "../../operate/rehearsal";
import { Session, openStack } from "../../operate/session";
import { WORK } from "../../operate/workspace";
import { awsConsole } from "../rig/aws/console";
import { networkOf } from "../rig/host/network";
import { Target } from "./clients";

const STACK = "e2e";
export const HOST_NAME = hostName("e2e");
export const HOST = "mail.example.test";
export const DIRECTORY = path.join(WORK, "rehearsal-e2e");

/** One deployment on a Docker host of its own, as the tests see it. */
export class World {
    session!: Session & { rehearsal: Rehearsal };
    outputs: OutputMap = {};
    /** Everything that was ever printed, to look for secrets in. */
    readonly log: string[] = [];

    private constructor(
        readonly rehearsal: Rehearsal,
        private config: Record<string, unknown>,
    ) {}

    /** Addresses of the Docker host and of this machine, known before it starts. */
    static addresses = () => networkOf(HOST_NAME);

    /** Starts the host and leaves nothing of an earlier run on it but images. */
    static async start(config: Record<string, unknown>): Promise<World> {
        const rehearsal = await startRehearsal(HOST_NAME, DIRECTORY, console.log);
        const world = new World(rehearsal, { "forwardemail:host": HOST, "forwardemail:startTimeout": 45, ...config });
        try {
            await wipe(rehearsal);
            await world.open({});
            await world.forget();
            await world.open({});
            return world;
        } catch (error) {
            await world.stop();
            throw error;
        }
    }

    /** Opens the stack with changes to its config, which later calls keep; undefined takes a key out. */
    async open(changes: Record<string, unknown>): Promise<void> {
        const config = Object.fromEntries(Object.entries({ ...this.config, ...changes }).filter(([, value]) => value !== undefined));
        this.session = await openStack(STACK, config, this.rehearsal);
        this.config = config; // one that is refused does not stay
    }

    /** `pulumi config set --secret`: later calls keep it. The passphrase of the stack encrypts it, and a new stack needs it again. */
    async secret(key: string, value: string): Promise<void> {
        const { stack } = this.session;
        await stack.setConfig(`forwardemail:${key}`, { value, secret: true });
        const file = parse(readFileSync(path.join(stack.workspace.workDir, `Pulumi.${STACK}.yaml`), "utf8")) as { config: Record<string, unknown> };
        this.config = { ...this.config, [`forwardemail:${key}`]: file.config[`forwardemail:${key}`] };
    }

    /** `npm run up` with changes to the config. */
    async up(changes: Record<string, unknown> = {}): Promise<Converged & { text: string }> {
        await this.open(changes);
        const from = this.log.length;
        const converged = await converge(this.session, (line) => this.log.push(line));
        if (converged.ok) this.outputs = converged.outputs;
        return { ...converged, text: this.log.slice(from).join("\n") };
    }

    /** Runs `action` with a changed lock file. */
    async withLock<T>(change: (lock: Lock) => void, action: () => Promise<T>): Promise<T> {
        const { lockFile } = this.rehearsal.overlay["forwardemail:images"] as { lockFile: string };
        const text = readFileSync(lockFile, "utf8");
        const lock = parseLock(text);
        change(lock);
        writeFileSync(lockFile, JSON.stringify(lock));
        try {
            return await action();
        } finally {
            writeFileSync(lockFile, text);
        }
    }

    /** Loses the state of the stack, as a broken disk would; the containers and data stay. */
    async forget(): Promise<void> {
        await this.session.stack.cancel(); // a run that was killed left its lock
        await this.session.stack.workspace.removeStack(STACK, { force: true });
    }

    get target(): Target {
        return { address: this.rehearsal.host.address4, host: HOST, ca: this.outputs.authority?.value as string };
    }

    running(): Running[] {
        return inspectStack(this.session.settings.name, this.rehearsal.host.dockerHost);
    }

    docker(...args: string[]): string {
        return docker(args, this.rehearsal.host.dockerHost, "merge");
    }

    container(service: string): string {
        const found = this.running().find((c) => c.service === service);
        if (!found) throw new Error(`${service} does not run`);
        return found.container;
    }

    /** Runs a command on the Docker host itself; answers its output, also when it fails. */
    onHost(argv: string[]): string {
        const [program, ...args] = this.rehearsal.host.inside(argv);
        return execFileSync(program, args, { encoding: "utf8" });
    }

    /** Prints what was said last. */
    tell(): void {
        console.log(this.log.slice(-40).join("\n"));
        for (const container of this.docker("ps", "-aq", "--filter", "label=forwardemail.stack").split("\n").filter(Boolean)) {
            const state = this.docker("inspect", "-f", "{{.Name}} {{.State.Status}}", container).trim();
            console.log(`${state}\n${this.docker("logs", "--tail", "8", container)}`);
        }
    }

    stateFile(): string {
        return readFileSync(path.join(WORK, "state", ".pulumi", "stacks", "forwardemail", `${STACK}.json`), "utf8");
    }

    async stop(): Promise<void> {
        await stopRehearsal(this.rehearsal.name, DIRECTORY);
    }
}

/** Removes what an earlier run left on the host, all but images; what a killed one left in AWS's account, too. */
export async function wipe(rehearsal: Rehearsal): Promise<void> {
    await awsConsole(rehearsal, console.log).reset();
    const { host } = rehearsal;
    const list = (...args: string[]) => docker(args, host.dockerHost).split("\n").filter(Boolean);
    const containers = list("ps", "-aq");
    if (containers.length > 0) docker(["rm", "-f", "-v", ...containers], host.dockerHost);
    const volumes = list("volume", "ls", "-q");
    if (volumes.length > 0) docker(["volume", "rm", ...volumes], host.dockerHost);
    docker(["network", "prune", "-f"], host.dockerHost);
}
