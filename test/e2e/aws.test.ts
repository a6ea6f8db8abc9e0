import { execFileSync } from "node:child_process";
import { afterAll, beforeAll, expect, test } from "vitest";
import { SERVICE_NAMES } from "../../components/services/catalogue";
import { remove } from "../../operate/down";
import { AwsWorld, LOGIN } from "./awsWorld";
import { eventually, openPorts, submit } from "./clients";

// One story, told in order: from an empty account to mail, to another instance, to an empty account.

let world: AwsWorld;
beforeAll(async () => {
    world = await AwsWorld.start();
});
afterAll(() => world?.stop());

test("an instance is made, looked at, set up, and every service on it is healthy", async () => {
    const { text } = await world.up();
    expect((await world.running()).map((c) => c.service).sort()).toEqual([...SERVICE_NAMES].sort());
    expect(text).toMatch(/warning: .*AWS closes outbound port 25/);
    expect(text).toMatch(/warning: list list\.test: cannot be asked/);
    const server = await world.server();
    expect(server.run("findmnt -n -o FSTYPE,OPTIONS /srv/forwardemail")).toMatch(/^xfs .*noatime/);
    expect(server.run("ls /srv/forwardemail").split("\n").filter(Boolean).sort()).toEqual(["keys", "mailboxes", "mongodb", "redis", "router"]);
});

test("mail goes in and out through the public address, with the sender's real address", async () => {
    expect(await world.firstMail("in")).toContain(`X-Seen-Client: ${world.rehearsal.host.machine4}`);
    await submit(world.target, LOGIN, { to: "bob@elsewhere.test", subject: "out", text: "hello" });
    await eventually("mail at the sink", 30, async () => world.sink.received.find((text) => text.includes("Subject: out")));
});

test("the security group lets in the published ports, and SSH from where it may come", async () => {
    const published = [25, 80, 443, 465, 993, 995];
    const { address } = world.target;
    const server = await world.server();
    server.run("nft delete table inet forwardemail"); // the host's own firewall would hide what the cloud's does
    expect(await openPorts(address, [...published, 22, 111, 2375, 3456, 4000, 8080, 27017])).toEqual([22, ...published].sort((a, b) => a - b));
    const [program, ...args] = world.rehearsal.host.outside([
        "bash",
        "-c",
        `timeout 3 bash -c '</dev/tcp/${address}/22' && echo open || echo closed`,
    ]);
    expect(execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] })).toBe("closed\n");
    server.run("systemctl restart forwardemail-firewall");
});

// A second up; and another instance, terminated or replaced, that gets address, volume, host key and mail: test/long.
test("down terminates the instance and keeps address, volume and host key", async () => {
    const { volumes } = world.aws.account();
    const lines: string[] = [];
    await remove(world.session, false, (line) => void lines.push(line));
    expect(world.instances()).toEqual([]);
    expect(world.aws.account().volumes).toEqual(volumes);
    for (const kept of [/Eip .*-address/, /Volume .*-data/, /PrivateKey .*-host-key/]) expect(lines.at(-1)).toMatch(kept);
});

test("removing the data names the volume, and leaves nothing in the account", async () => {
    const lines: string[] = [];
    await remove(world.session, true, (line) => void lines.push(line));
    expect(lines[0]).toMatch(/^Destroying for good: .*Volume .*-data/);
    const { vpcs, ...account } = world.aws.account();
    expect(Object.values(vpcs).filter(({ isDefault }) => !isDefault)).toEqual([]);
    for (const kind of ["instances", "volumes", "addresses", "addressDomainNames", "securityGroups"] as const)
        expect(account[kind], kind).toEqual({});
});
