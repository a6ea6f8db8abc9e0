import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import type { OutputMap } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, expect, test } from "vitest";
import { removeKeys, writeKeys } from "../../components/server/keyFiles";
import { SERVICE_NAMES } from "../../components/services/catalogue";
import { Converged, converge } from "../../operate/converge";
import { remove } from "../../operate/down";
import { inspectStack } from "../../operate/health";
import { located } from "../../operate/machines";
import { Rehearsal, hostName, startRehearsal, stopRehearsal } from "../../operate/rehearsal";
import { Session, openStack } from "../../operate/session";
import { WORK } from "../../operate/workspace";
import { type Console, awsConsole } from "../rig/aws/console";
import { deliver, eventually, makeMailbox, openPorts, readImap, request, startSink, submit } from "./clients";
import { wipe } from "./world";

// A stack on an instance of AWS, which a stand-in provider makes: a server of the rig behind a public address, a security group and
// with a volume, each as on AWS. One story, told in order.

const STACK = "e2e-aws";
const NAME = `forwardemail-${STACK}`;
const HOST = "mail.cloud.test";
const DIRECTORY = path.join(WORK, "rehearsal-e2e");
const LOGIN = { user: "alice@cloud.test", pass: "a-mailbox-password" };
const ADMIN = { email: `root@${HOST}`, password: "an-admin-password" };
const PORTS = [25, 80, 443, 465, 993, 995];

let folder: string;
let rehearsal: Rehearsal;
let console_: Console;
let key: string;
let sink: Awaited<ReturnType<typeof startSink>>;
let session: Session;
let outputs: OutputMap = {};
let instance: Record<string, unknown> = {};

beforeAll(async () => {
    rehearsal = await startRehearsal(hostName("e2e"), DIRECTORY, console.log);
    wipe(rehearsal);
    console_ = awsConsole(rehearsal, console.log);
    await console_.reset();
    folder = mkdtempSync(path.join(tmpdir(), "aws-"));
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "operator", "-f", path.join(folder, "key")]);
    key = readFileSync(path.join(folder, "key"), "utf8");
    sink = await startSink("0.0.0.0");
    instance = {
        region: "eu-central-1",
        instanceType: "t3.medium",
        authorizedKeys: [readFileSync(path.join(folder, "key.pub"), "utf8").trim()],
        dataGb: 20,
    };
    await open();
    await session.stack.workspace.removeStack(STACK, { force: true }); // of an earlier run
});
afterAll(async () => {
    sink?.close();
    if (session) removeKeys(session.settings.servers);
    await console_?.reset();
    if (folder) rmSync(folder, { recursive: true });
    if (rehearsal) await stopRehearsal(rehearsal.name, DIRECTORY);
});

/** Opens the stack with changes to its instance, as a new config file would. */
async function open(changes: Record<string, unknown> = {}): Promise<void> {
    instance = { ...instance, ...changes };
    const { machine4, servers, registry } = rehearsal.host;
    const reach = [`${servers.gateway4}:${registry.split(":")[1]}`];
    const overlay = {
        ...rehearsal.overlay,
        "forwardemail:servers": [{ name: "main", kind: "aws", aws: instance, reach, blockLists: ["list.test"] }],
    };
    const config = {
        "forwardemail:host": HOST,
        "forwardemail:version": "v2.15.0",
        "forwardemail:startTimeout": 90,
        "forwardemail:sshKey": key,
        "forwardemail:firewall": { sshFrom: [`${machine4}/32`] },
        "forwardemail:environment": { RIG_OUTBOUND_RELAY: `${machine4}:${sink.port}` },
    };
    session = await openStack(STACK, config, { ...rehearsal, overlay });
    writeKeys(session.settings.servers, key);
}

/** `npm run up`. */
async function up(changes?: Record<string, unknown>): Promise<Converged & { text: string }> {
    await open(changes);
    const lines: string[] = [];
    const converged = await converge(session, (line) => void lines.push(line));
    if (converged.ok) outputs = converged.outputs;
    return { ...converged, text: lines.join("\n") };
}

const address = () => outputs.address.value as string;
const target = () => ({ address: address(), host: HOST, ca: outputs.authority.value as string });
const running = async () => inspectStack(NAME, (await located(session.stack, session.settings)).servers[0]);
const inbox = async (subject: string) => (await readImap(target(), LOGIN)).find((source) => source.includes(`Subject: ${subject}`));
const instances = () => Object.entries(console_.account().instances).flatMap(([id, { state }]) => (state === "running" ? [id] : []));

test("an instance is made, looked at, set up, and every service on it is healthy", async () => {
    const { ok, text } = await up();
    expect(text).not.toMatch(/^ *error/m);
    expect(ok).toBe(true);
    expect((await running()).map((c) => c.service).sort()).toEqual([...SERVICE_NAMES].sort());
    expect(text).toMatch(/warning: .*AWS closes outbound port 25/);
    expect(text).toMatch(/warning: list list\.test: cannot be asked/);
    const server = await console_.machine(instances()[0]);
    expect(server.run("findmnt -n -o FSTYPE,OPTIONS /srv/forwardemail")).toMatch(/^xfs .*noatime/);
    expect(server.run("ls /srv/forwardemail").split("\n").filter(Boolean).sort()).toEqual(["keys", "mailboxes", "mongodb", "redis", "router"]);
});

test("a second up changes nothing, and neither does a refresh or a newer image", async () => {
    const published = await console_.publishImage("/aws/service/debian/release/12/latest/amd64");
    const { ok, changes } = await up();
    expect([ok, Object.keys(changes)]).toEqual([true, ["same"]]);
    await session.stack.refresh({ expectNoChanges: true });
    await session.stack.preview({ expectNoChanges: true });
    expect(published).toMatch(/^ami-/);
});

test("mail goes in and out through the public address, with the sender's real address", async () => {
    const { username, password } = outputs.firstRun.value as { username: string; password: string };
    const first = { method: "POST", auth: `${username}:${password}`, json: ADMIN };
    expect((await request(target(), "", "/setup", first)).status).toBe(303);
    expect(await makeMailbox(target(), ADMIN, LOGIN)).toEqual([200, 200, 200]);
    await deliver(target(), { from: "sender@example.net", to: LOGIN.user, subject: "in", text: "hello" });
    const source = await eventually("mail in the inbox", 20, () => inbox("in"));
    expect(source).toContain(`X-Seen-Client: ${rehearsal.host.machine4}`);
    await submit(target(), LOGIN, { to: "bob@elsewhere.test", subject: "out", text: "hello" });
    await eventually("mail at the sink", 30, async () => sink.received.find((text) => text.includes("Subject: out")));
});

test("the security group lets in the published ports, and SSH from where it may come", async () => {
    const server = await console_.machine(instances()[0]);
    server.run("nft delete table inet forwardemail"); // the host's own firewall would hide what the cloud's does
    const candidates = [...PORTS, 22, 111, 2375, 3456, 4000, 8080, 27017];
    expect(await openPorts(address(), candidates)).toEqual([...PORTS, 22].sort((a, b) => a - b));
    const [program, ...args] = rehearsal.host.outside(["bash", "-c", `timeout 3 bash -c '</dev/tcp/${address()}/22' && echo open || echo closed`]);
    expect(execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] })).toBe("closed\n");
    server.run("systemctl restart forwardemail-firewall");
});

test("the reverse name is refused until the name leads to the address", async () => {
    const refused = await up({ reverseDns: true });
    expect(refused.ok).toBe(false);
    await console_.setForward(`mx.${HOST}`, address());
    const { ok, changes } = await up();
    expect([ok, changes]).toEqual([true, { create: 1, same: expect.any(Number) }]);
});

test("another instance gets address, volume and host key; everything on it is made anew, and the mail is there", async () => {
    const before = { address: address(), instances: instances(), containers: (await running()).map((c) => c.id) };
    const ami = console_.account().parameters["/aws/service/debian/release/12/latest/amd64"];
    const { ok, text } = await up({ ami });
    expect(text).not.toMatch(/^ *error/m);
    expect([ok, address()]).toEqual([true, before.address]);
    expect(instances()).toHaveLength(1);
    expect(instances()).not.toEqual(before.instances);
    const now = await running();
    expect(now).toHaveLength(SERVICE_NAMES.length);
    expect(now.filter((c) => before.containers.includes(c.id))).toEqual([]);
    expect(await inbox("in")).toBeDefined();
    expect(Object.keys((await up()).changes)).toEqual(["same"]);
});

test("an instance that was terminated beside Pulumi is noticed, and made again around its data", async () => {
    await console_.terminate(instances()[0]);
    const { ok, text } = await up();
    expect(text).toContain("asking AWS for it");
    expect(ok).toBe(true);
    expect(await inbox("in")).toBeDefined();
});

test("down terminates the instance and keeps address, volume and host key", async () => {
    const [volume] = Object.keys(console_.account().volumes);
    const lines: string[] = [];
    await remove(session, false, (line) => void lines.push(line));
    expect(instances()).toEqual([]);
    expect(Object.keys(console_.account().volumes)).toEqual([volume]);
    expect(lines.at(-1)).toMatch(/^Kept: .*Volume .*-data/);
    expect(lines.at(-1)).toMatch(/Eip .*-address/);
});

test("removing the data names the volume, and leaves nothing in the account", async () => {
    const lines: string[] = [];
    await remove(session, true, (line) => void lines.push(line));
    expect(lines[0]).toMatch(/^Destroying for good: .*Volume .*-data/);
    const { vpcs, ...account } = console_.account();
    expect(Object.values(vpcs).filter(({ isDefault }) => !isDefault)).toEqual([]);
    for (const kind of ["instances", "volumes", "addresses", "addressDomainNames", "securityGroups"] as const) expect(account[kind], kind).toEqual({});
});
