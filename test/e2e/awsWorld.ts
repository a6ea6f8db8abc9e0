import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import type { OutputMap } from "@pulumi/pulumi/automation";
import { expect } from "vitest";
import { Converged, converge } from "../../operate/converge";
import { type Running, inspectStack } from "../../operate/health";
import { located } from "../../operate/machines";
import { Rehearsal, hostName, startRehearsal, stopRehearsal } from "../../operate/rehearsal";
import { Session, openStack } from "../../operate/session";
import { WORK } from "../../operate/workspace";
import { startAgent } from "../rig/agent";
import { type Console, awsConsole } from "../rig/aws/console";
import { type Target, deliver, eventually, makeMailbox, readImap, request, startSink } from "./clients";
import { wipe } from "./world";

const STACK = "e2e-aws";
export const HOST = "mail.cloud.test";
const DIRECTORY = path.join(WORK, "rehearsal-e2e");
export const LOGIN = { user: "alice@cloud.test", pass: "a-mailbox-password" };
const ADMIN = { email: `root@${HOST}`, password: "an-admin-password" };
export const DEBIAN = "/aws/service/debian/release/12/latest/amd64";

/**
 * A stack on an instance of AWS, which a stand-in provider makes: a server of the rig behind a public address and a security group,
 * with a volume, each as on AWS. The operator's key is in an agent, so that neither the stack nor this machine has a file of it.
 */
export class AwsWorld {
    session!: Session;
    outputs: OutputMap = {};
    private instance: Record<string, unknown>;

    private constructor(
        readonly rehearsal: Rehearsal,
        readonly aws: Console,
        readonly sink: Awaited<ReturnType<typeof startSink>>,
        private readonly folder: string,
        private readonly stopAgent: () => void,
    ) {
        const authorizedKeys = [readFileSync(path.join(folder, "key.pub"), "utf8").trim()];
        this.instance = { region: "eu-central-1", instanceType: "t3.medium", authorizedKeys, dataGb: 20 };
    }

    /** Starts with an empty account and no state. */
    static async start(): Promise<AwsWorld> {
        const rehearsal = await startRehearsal(hostName("e2e"), DIRECTORY, console.log);
        await wipe(rehearsal);
        const aws = awsConsole(rehearsal, console.log);
        const folder = mkdtempSync(path.join(tmpdir(), "aws-"));
        const key = path.join(folder, "key");
        execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "operator", "-f", key]);
        const world = new AwsWorld(rehearsal, aws, await startSink("0.0.0.0"), folder, await startAgent(key));
        await world.open();
        await world.session.stack.cancel(); // a run that was killed left its lock
        await world.session.stack.workspace.removeStack(STACK, { force: true });
        return world;
    }

    /** Opens the stack with changes to its instance, as a new config file would; `sshFrom` is where SSH may come from this time. */
    async open(changes: Record<string, unknown> = {}): Promise<void> {
        const { machine4, servers, registry } = this.rehearsal.host;
        const { sshFrom = `${machine4}/32`, ...rest } = changes;
        this.instance = { ...this.instance, ...rest };
        const reach = [`${servers.gateway4}:${registry.split(":")[1]}`];
        const server = { name: "main", kind: "aws", aws: this.instance, reach, blockLists: ["list.test"] };
        const config = {
            "forwardemail:host": HOST,
            "forwardemail:version": "v2.15.0",
            "forwardemail:startTimeout": 90,
            "forwardemail:firewall": { sshFrom: [sshFrom] },
            "forwardemail:environment": { RIG_OUTBOUND_RELAY: `${machine4}:${this.sink.port}` },
        };
        const overlay = { ...this.rehearsal.overlay, "forwardemail:servers": [server] };
        this.session = await openStack(STACK, config, { ...this.rehearsal, overlay });
    }

    /** `npm run up`, whether it succeeds or not. */
    async tryUp(changes?: Record<string, unknown>): Promise<Converged & { text: string }> {
        await this.open(changes);
        const lines: string[] = [];
        const converged = await converge(this.session, (line) => void lines.push(line));
        if (converged.ok) this.outputs = converged.outputs;
        return { ...converged, text: lines.join("\n") };
    }

    async up(changes?: Record<string, unknown>): Promise<Converged & { text: string }> {
        const converged = await this.tryUp(changes);
        expect(converged.ok, converged.text).toBe(true);
        expect(converged.text).not.toMatch(/^ *error/m);
        return converged;
    }

    get target(): Target {
        return { address: this.outputs.address.value as string, host: HOST, ca: this.outputs.authority.value as string };
    }

    async running(): Promise<Running[]> {
        const { settings, stack } = this.session;
        return inspectStack(settings.name, (await located(stack, settings)).servers[0]);
    }

    /** Ids of the instances that run. */
    instances(): string[] {
        return Object.entries(this.aws.account().instances).flatMap(([id, { state }]) => (state === "running" ? [id] : []));
    }

    /** The server that the one instance is. */
    server() {
        return this.aws.machine(this.instances()[0]);
    }

    /** From the first-run page to a mail in the inbox; answers its source. */
    async firstMail(subject: string): Promise<string> {
        const { username, password } = this.outputs.firstRun.value as { username: string; password: string };
        const first = { method: "POST", auth: `${username}:${password}`, json: ADMIN };
        expect((await request(this.target, "", "/setup", first)).status).toBe(303);
        expect(await makeMailbox(this.target, ADMIN, LOGIN)).toEqual([200, 200, 200]);
        await deliver(this.target, { from: "sender@example.net", to: LOGIN.user, subject, text: "hello" });
        return eventually("mail in the inbox", 20, () => this.inbox(subject));
    }

    async inbox(subject: string): Promise<string | undefined> {
        return (await readImap(this.target, LOGIN)).find((source) => source.includes(`Subject: ${subject}`));
    }

    async stop(): Promise<void> {
        this.sink.close();
        this.stopAgent();
        await this.aws.reset();
        rmSync(this.folder, { recursive: true });
        await stopRehearsal(this.rehearsal.name, DIRECTORY);
    }
}
