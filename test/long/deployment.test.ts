import { spawn } from "node:child_process";
import { afterAll, beforeAll, expect, test } from "vitest";
import { SERVICE_NAMES } from "../../components/services/catalogue";
import { openPorts, poll } from "../e2e/clients";
import { World } from "../e2e/world";

// What takes minutes, on a stack of its own: more broken releases than the one of `npm test`, a taken port, and a change of every port.

let world: World;
beforeAll(async () => {
    world = await World.start({ "forwardemail:version": "v2.15.1", "forwardemail:network": { ipv6: true } });
    expect((await world.up()).ok).toBe(true);
});
afterAll(() => world?.stop());

test("a release that answers 5xx fails the up, names the service, and costs no request: not then, not on a second try, not when it is repaired", async () => {
    const watch = poll(world.target, ["", "api", "caldav", "carddav"]);
    const first = await world.up({ "forwardemail:version": "v2.16.0-web500" });
    expect(first.ok).toBe(false);
    expect(first.text).toMatch(/Service (web|api) is (unhealthy|starting)/);
    const second = await world.up();
    expect(second.ok).toBe(false);
    const { ok } = await world.up({ "forwardemail:version": "v2.15.1" });
    expect(ok).toBe(true);
    const { failures, requests } = await watch.stop();
    expect(failures).toEqual([]);
    expect(requests).toBeGreaterThan(100);
    expect(world.running().filter((c) => c.image.includes("web500"))).toEqual([]);
    expect(world.running()).toHaveLength(SERVICE_NAMES.length);
});

test("a release that crashes fails the up, names the service and shows what it said; the next one replaces every application container", async () => {
    const broken = await world.up({ "forwardemail:version": "v2.16.1-smtpcrash" });
    expect(broken.ok).toBe(false);
    expect(broken.text).toMatch(/Service smtp is (unhealthy|starting|restarting|exited).*\n(.*\n)*.* {2}\| /);
    expect((await world.up({ "forwardemail:version": "v2.15.1" })).ok).toBe(true);
    expect(world.running().filter((c) => /:v2\.16/.test(c.image))).toEqual([]);
});

test("a release whose worker crashes fails the up and names it; the old release brings everything back", async () => {
    const broken = await world.up({ "forwardemail:version": "v2.16.2-workercrash" });
    expect(broken.ok).toBe(false);
    expect(broken.text).toMatch(/Service bree is (unhealthy|starting|restarting|exited).*\n(.*\n)*.* {2}\| /);
    expect((await world.up({ "forwardemail:version": "v2.15.1" })).ok).toBe(true);
});

test("a volume that was lost is made anew and filled again", async () => {
    for (const { container } of world.running()) world.docker("rm", "-f", "-v", container);
    world.docker("volume", "rm", "forwardemail-e2e-keys", "forwardemail-e2e-router");
    expect((await world.up()).ok).toBe(true);
    expect(world.running()).toHaveLength(SERVICE_NAMES.length);
});

test("a change of the network moves the published ports, on IPv4 and IPv6", async () => {
    const ports = [25, 80, 443, 465, 993, 995];
    const moved = ports.map((port) => port + 2000);
    expect((await world.up({ "forwardemail:network": { ipv6: true, portOffset: 2000 } })).ok).toBe(true);
    for (const address of [world.rehearsal.host.address4, world.rehearsal.host.address6])
        expect(await openPorts(address, [...ports, ...moved])).toEqual(moved);
    expect((await world.up({ "forwardemail:network": { ipv6: true } })).ok).toBe(true);
    expect(await openPorts(world.rehearsal.host.address4, [...ports, ...moved])).toEqual(ports);
});

test("a taken port is named with its fix, and the next up repairs", async () => {
    world.docker("rm", "-f", "-v", world.container("mx"));
    const [program, ...args] = world.rehearsal.host.inside([
        process.execPath,
        "-e",
        "require('net').createServer().listen(25, '0.0.0.0', () => console.log('up'))",
    ]);
    const squatter = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
    await new Promise((resolve) => squatter.stdout.once("data", resolve));
    try {
        const { ok, text } = await world.up();
        expect(ok).toBe(false);
        expect(text).toMatch(/another program has this port/);
        expect(text).toMatch(/mx/);
    } finally {
        squatter.kill();
    }
    expect((await world.up()).ok).toBe(true);
});

test("an image that the registry lost is named with its fix, and what runs goes on", async () => {
    const before = world.running().map((c) => c.id);
    const broken = await world.withLock(
        (lock) => (lock.forwardemail.releases["v2.15.0"].digest = `sha256:${"0".repeat(64)}`),
        () => world.up({ "forwardemail:version": "v2.15.0" }),
    );
    expect(broken.ok).toBe(false);
    expect(broken.text).toMatch(/fix: the registry does not have this image/);
    expect(world.running().map((c) => c.id)).toEqual(before);
    expect((await world.up({ "forwardemail:version": "v2.15.1" })).ok).toBe(true);
});

test("other keys over existing data are refused before any container is touched", async () => {
    const ids = () =>
        world
            .running()
            .map((c) => c.id)
            .sort();
    const before = ids();
    const { stack } = world.session;
    await stack.setConfig("forwardemail:helperEncryptionKey", { value: "0therKey0therKey0therKey0therKey", secret: true });
    const refused = await stack.up().catch((error: Error) => error);
    expect(refused).toBeInstanceOf(Error);
    expect((refused as Error).message).toMatch(/REFUSED: the (mailboxes|mongodb|redis) data \(it was written with other keys/);
    expect(ids()).toEqual(before);
    expect((await world.up()).ok).toBe(true); // world.up writes the config anew, without the key
});
