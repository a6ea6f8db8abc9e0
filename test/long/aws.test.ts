import { afterAll, beforeAll, expect, test } from "vitest";
import { remove } from "../../operate/down";
import { SERVICE_NAMES } from "../../components/services/catalogue";
import { AwsWorld, DEBIAN, HOST } from "../e2e/awsWorld";

let world: AwsWorld;
beforeAll(async () => {
    world = await AwsWorld.start();
    await world.up();
    await world.firstMail("in");
});
afterAll(() => world?.stop());

test("a refresh finds no drift, and a preview no change", async () => {
    await world.session.stack.refresh({ expectNoChanges: true });
    await world.session.stack.preview({ expectNoChanges: true });
});

test("a second up changes nothing, though there is a newer image", async () => {
    await world.aws.publishImage(DEBIAN);
    expect(Object.keys((await world.up()).changes)).toEqual(["same"]);
});

test("the reverse name is refused until the name leads to the address", async () => {
    expect((await world.tryUp({ reverseDns: true })).ok).toBe(false);
    await world.aws.setForward(`mx.${HOST}`, world.target.address);
    expect((await world.up()).changes).toEqual({ create: 1, same: expect.any(Number) });
});

test("another instance gets address, volume and host key; everything on it is made anew, and the mail is there", async () => {
    const before = { address: world.target.address, instances: world.instances(), containers: (await world.running()).map((c) => c.id) };
    await world.aws.publishImage(DEBIAN);
    await world.up({ ami: world.aws.account().parameters[DEBIAN] });
    expect(world.target.address).toBe(before.address);
    expect(world.instances()).toHaveLength(1);
    expect(world.instances()).not.toEqual(before.instances);
    const now = await world.running();
    expect(now).toHaveLength(SERVICE_NAMES.length);
    expect(now.filter((c) => before.containers.includes(c.id))).toEqual([]);
    expect(await world.inbox("in")).toBeDefined();
});

test("an instance that was terminated beside Pulumi is noticed, and made again around its data", async () => {
    await world.aws.terminate(world.instances()[0]);
    const { text } = await world.up();
    expect(text).toContain("asking AWS for it");
    expect(await world.inbox("in")).toBeDefined();
    expect(Object.keys((await world.up()).changes)).toEqual(["same"]);
});

test("who was locked out by a change of address is let in again by the next up", async () => {
    await world.tryUp({ sshFrom: "192.0.2.0/24" });
    const { text } = await world.up();
    expect(text).toContain("bringing its security group to firewall.sshFrom");
    expect(Object.keys((await world.up()).changes)).toEqual(["same"]);
});

test("a larger volume grows with its file system, without a new container", async () => {
    const size = async () => Number((await world.server()).run("df --output=size -BG /srv/forwardemail | tail -1").replace(/\D/g, ""));
    const before = { size: await size(), containers: (await world.running()).map((c) => c.id).sort() };
    await world.up({ dataGb: 30 });
    expect([before.size, await size()]).toEqual([20, 30]);
    expect((await world.running()).map((c) => c.id).sort()).toEqual(before.containers);
});

test("down and up again: another instance, the same address, the mail", async () => {
    const { address } = world.target;
    await remove(world.session, false, () => undefined);
    await world.up();
    expect(world.target.address).toBe(address);
    expect(await world.inbox("in")).toBeDefined();
});
