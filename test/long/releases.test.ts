import { afterAll, beforeAll, expect, test } from "vitest";
import { SERVICE_NAMES } from "../../components/services/catalogue";
import { poll } from "../e2e/clients";
import { World } from "../e2e/world";

// Broken releases that take minutes each, on a stack of their own: what `npm test` tries with one, these try with the others.

let world: World;
beforeAll(async () => {
    world = await World.start({ "forwardemail:version": "v2.15.1" });
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

test("a release whose worker crashes fails the up and names it; the old release brings everything back", async () => {
    const broken = await world.up({ "forwardemail:version": "v2.16.2-workercrash" });
    expect(broken.ok).toBe(false);
    expect(broken.text).toMatch(/Service bree is (unhealthy|starting|restarting|exited).*\n(.*\n)*.* {2}\| /);
    expect((await world.up({ "forwardemail:version": "v2.15.1" })).ok).toBe(true);
});
