import { readFileSync } from "node:fs";
import * as path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parse } from "yaml";
import { afterAll, beforeAll, expect, test } from "vitest";
import { alertRules } from "../../components/metrics/alerts";
import { METRICS_NAMES, PROGRAMS } from "../../components/metrics/programs";
import { SERVICE_NAMES } from "../../components/services/catalogue";
import { askScript } from "../../operate/backupHost";
import { withMetrics } from "../../operate/rehearsal";
import { PROJECT } from "../../operate/stackFile";
import { type Bucket, startBucket } from "../e2e/bucket";
import { openPorts } from "../e2e/clients";
import { tellFailures } from "../e2e/failures";
import { World } from "../e2e/world";
import { expressions, namesIn } from "../rig/promql";

// The real programs of Debian beside a stack that runs: they see all of it, tell when something breaks, and leave nothing behind.

let world: World;
tellFailures(() => world);
let bucket: Bucket;
/** Containers of the services before there were metrics. */
let before: string[];

beforeAll(async () => {
    world = await World.start({ "forwardemail:version": "v2.15.0" });
    await withMetrics(world.rehearsal, console.log);
    bucket = await startBucket(world.rehearsal.host, path.join(world.rehearsal.directory, "s3"), "forwardemail-e2e");
    await world.secret("backupSecretKey", bucket.server.secretAccessKey);
    await world.secret("backupPruneSecretKey", bucket.pruner.secretAccessKey);
    const { ok, text } = await world.up({ "forwardemail:backups": bucket.config });
    expect(text).not.toContain("error");
    expect(ok).toBe(true);
    before = services();
});
afterAll(async () => {
    await bucket?.s3.stop();
    await world?.stop();
});

const services = () => {
    const ours = world.running().filter(({ service }) => (SERVICE_NAMES as readonly string[]).includes(service));
    return ours.map(({ id }) => id).sort();
};

/** Asks Prometheus as who is on the host does. */
function ask<T>(what: string): T {
    const answer = world.onHost(["curl", "-sS", "--fail", "-g", `http://127.0.0.1:${PROGRAMS.prometheus.port}/api/v1/${what}`]);
    return (JSON.parse(answer) as { data: T }).data;
}
interface Series {
    metric: Record<string, string>;
    value: [number, string];
}
const query = (text: string) => ask<{ result: Series[] }>(`query?query=${encodeURIComponent(text)}`).result;
const alerts = () => ask<{ alerts: { labels: Record<string, string>; state: string }[] }>("alerts").alerts;

async function until<T>(seconds: number, look: () => T, wanted: (found: T) => boolean): Promise<T> {
    for (const deadline = Date.now() + seconds * 1000; ; await sleep(3000)) {
        const found = look();
        if (wanted(found)) return found;
        if (Date.now() > deadline) throw new Error(`after ${seconds} s still ${JSON.stringify(found)}`);
    }
}

test("they come to a stack that runs, and no container of it is replaced; a second up changes nothing", async () => {
    const { ok, text } = await world.up({ "forwardemail:metrics": { server: "main" } });
    expect(text).not.toContain("error");
    expect(ok).toBe(true);
    expect(services()).toEqual(before);
    expect(world.running().map(({ service }) => service)).toEqual(expect.arrayContaining([...METRICS_NAMES]));
    const again = await world.up();
    expect([again.ok, Object.keys(again.changes)]).toEqual([true, ["same"]]);
});

test("they have no privilege, and no one outside reaches them", async () => {
    for (const name of METRICS_NAMES) {
        const [{ HostConfig, Config }] = JSON.parse(world.docker("inspect", world.container(name)));
        expect(HostConfig, name).toMatchObject({ CapDrop: ["ALL"], ReadonlyRootfs: true });
        expect(HostConfig.Memory, name).toBeGreaterThan(0);
        expect(Config.User, name).toBe("nobody");
        expect(JSON.stringify(Config.Cmd) + JSON.stringify(Config.Entrypoint), name).not.toContain("pass");
    }
    const ports = METRICS_NAMES.map((name) => PROGRAMS[name].port);
    expect(await openPorts(world.rehearsal.host.address4, ports)).toEqual([]);
});

test("every target is up, and every service is seen to work by its own protocol", async () => {
    const down = () => query("up == 0 or probe_success == 0").map(({ metric }) => metric);
    const seen = () => query("probe_success == 1").map(({ metric }) => metric.service);
    await until(120, seen, (found) => found.length === SERVICE_NAMES.length).catch((error: Error) => {
        throw new Error(`${error.message}; down: ${JSON.stringify(down())}`);
    });
    expect(seen().sort()).toEqual([...SERVICE_NAMES].sort());
    expect(down()).toEqual([]);
    expect(query("redis_up").map(({ value }) => value[1])).toEqual(["1"]);
    const days = query("(probe_ssl_earliest_cert_expiry - time()) / 86400").map(({ value }) => Math.round(Number(value[1])));
    expect(days.length).toBeGreaterThan(5);
    expect(days.filter((left) => left !== 365)).toEqual([]);
});

test("a backup tells how it went", async () => {
    const { session } = world;
    expect(query("forwardemail_backup_exit_status")).toEqual([]);
    askScript({ session, server: session.settings.servers[0], backups: session.settings.backups! }, ["run"]);
    const [{ value }] = await until(
        90,
        () => query("forwardemail_backup_last_success_timestamp_seconds"),
        (found) => found.length > 0,
    );
    expect(Number(value[0]) - Number(value[1])).toBeLessThan(200);
    expect(query("forwardemail_backup_exit_status")[0].value[1]).toBe("0");
    expect(services()).toEqual(before);
});

test("every metric of the alerts and of the dashboard is one that the programs export", () => {
    const exported = ask<string[]>("label/__name__/values");
    const { settings } = world.session;
    const dashboard = JSON.parse(readFileSync(path.join(PROJECT, "docs/metrics-dashboard.json"), "utf8")) as unknown;
    const all = [...expressions(parse(alertRules(settings))), ...expressions(dashboard)];
    expect(all.length).toBeGreaterThan(20);
    // Prometheus makes this one when the first alert is pending.
    expect(all.flatMap(namesIn).filter((name) => name !== "ALERTS" && !exported.includes(name))).toEqual([]);
    for (const disk of ["/etc/metrics", "/etc/hosts"]) expect(query(`node_filesystem_avail_bytes{mountpoint="${disk}"}`), disk).toHaveLength(1);
});

test("what breaks becomes an alert: a server, and a worker that listens nowhere", async () => {
    expect(alerts().filter(({ labels }) => labels.alertname === "ServiceDown")).toEqual([]);
    world.docker("stop", world.container("smtp_bree"), world.container("imap"));
    const down = () => alerts().flatMap(({ labels, state }) => (labels.alertname === "ServiceDown" ? [`${labels.service} ${state}`] : []));
    await until(420, down, (found) => found.includes("imap firing") && found.includes("smtp_bree firing"));
    expect(down().sort()).toEqual(["imap firing", "smtp_bree firing"]);
    expect((await world.up()).ok).toBe(true); // starts what was stopped
});

test("without them all of it is gone, and no other container was replaced", async () => {
    before = services();
    expect((await world.up({ "forwardemail:metrics": undefined })).ok).toBe(true);
    expect(services()).toEqual(before);
    expect(world.running()).toHaveLength(SERVICE_NAMES.length);
    const volumes = world.docker("volume", "ls", "-q").split("\n");
    expect(volumes.filter((name) => /metrics|prometheus/.test(name))).toEqual([]);
    const { session } = world;
    askScript({ session, server: session.settings.servers[0], backups: session.settings.backups! }, ["run"]);
});
