import { beforeAll, expect, test } from "vitest";
import { METRICS_NAMES, PROGRAMS } from "../../components/metrics/programs";
import { Planned, planStack } from "../../operate/planned";

const LOCK = { "forwardemail:images": { lockFile: "test/fixtures/images.lock.json" } };
const ON = { ...LOCK, "forwardemail:metrics": { server: "main", retention: "8w" } };
const SERVER = { "forwardemail:servers": [{ name: "main", kind: "ssh", address: "203.0.113.7", hostKey: `ssh-ed25519 ${"A".repeat(68)}` }] };

let without: Planned[];
let all: Planned[];
const nameOf = (program: string) => `forwardemail-dev-${program.replaceAll("_", "-")}`;
const find = (plan: Planned[], name: string) => plan.find((one) => one.name === name) as Planned & { inputs: Record<string, never> };
beforeAll(async () => {
    without = await planStack("dev", LOCK);
    all = await planStack("dev", ON);
}, 60_000);

test("nothing that is there without them is another with them", () => {
    const more = all.filter((one) => !without.some(({ type, name }) => type === one.type && name === one.name));
    expect(all.filter((one) => !more.includes(one))).toEqual(without);
    expect(more.map(({ type, name }) => `${type.split(":").at(-1)} ${name}`).sort()).toEqual(
        [
            "Command forwardemail-dev-metrics-files",
            "Metrics forwardemail-dev-metrics",
            "Volume forwardemail-dev-metrics",
            "Volume forwardemail-dev-prometheus",
            ...METRICS_NAMES.flatMap((name) => [`Container ${nameOf(name)}`, `RemoteImage forwardemail-dev-${name}`]),
        ].sort(),
    );
    expect(more.filter(({ options }) => options.protect)).toEqual([]);
});

test.each(METRICS_NAMES)("%s is hardened, pinned, on the stack's network, and starts after what it watches", (program) => {
    const { inputs, options } = find(all, nameOf(program));
    expect(inputs).toMatchObject({
        user: "nobody",
        readOnly: true,
        wait: true,
        memory: PROGRAMS[program].memoryMb,
        memorySwap: PROGRAMS[program].memoryMb,
        capabilities: { drops: ["ALL"] },
        securityOpts: ["no-new-privileges:true"],
        logOpts: { "max-size": "10m", "max-file": "3" },
        networksAdvanced: [{ name: "forwardemail-dev-id", aliases: [program] }],
    });
    expect(inputs["image"]).toMatch(/@sha256:[0-9a-f]{64}$/);
    expect(options).toMatchObject({ deleteBeforeReplace: true, provider: "forwardemail-dev-main" });
    expect(options.dependsOn).toEqual(
        expect.arrayContaining(["forwardemail-dev-metrics-files", "forwardemail-dev-smtp-bree", "forwardemail-dev-router"]),
    );
    for (const { readOnly, target } of (inputs["mounts"] ?? []) as { readOnly: boolean; target: string }[])
        expect(readOnly, target).toBe(target !== "/prometheus");
});

test("only Prometheus is published, on the loopback alone, whatever the services are published on", async () => {
    const publicly = await planStack("dev", { ...ON, "forwardemail:network": { ipv6: true } });
    for (const program of METRICS_NAMES) {
        const wanted = program === "prometheus" ? [{ internal: 9090, external: 9090, ip: "127.0.0.1", protocol: "tcp" }] : undefined;
        expect(find(publicly, nameOf(program)).inputs["ports"], program).toEqual(wanted);
    }
    expect(find(all, nameOf("prometheus")).inputs["ports"]).toMatchObject([{ external: 19090 }]); // the dev stack's offset
    expect(find(all, nameOf("prometheus")).inputs["command"]).toContain("--storage.tsdb.retention.time=8w");
});

test("no firewall opens its port", async () => {
    const [on, off] = await Promise.all([ON, LOCK].map((config) => planStack("dev", { ...config, ...SERVER, "forwardemail:network": {} })));
    expect(find(on, "forwardemail-dev-main-firewall")).toBeDefined();
    expect(find(on, "forwardemail-dev-main-firewall")).toEqual(find(off, "forwardemail-dev-main-firewall"));
});

test("the password of Redis is in the environment of its exporter, as a secret, and nowhere else", () => {
    const withSecret = all.filter(({ name, inputs }) => METRICS_NAMES.map(nameOf).includes(name) && JSON.stringify(inputs).includes("[secret]"));
    expect(withSecret.map(({ name }) => name)).toEqual([nameOf("redis_exporter")]);
    expect(find(all, nameOf("redis_exporter")).inputs["envs"]).toEqual(["REDIS_ADDR=redis://redis:6379", "[secret]"]);
});

test("another configuration is another container, of what reads it alone", async () => {
    const labels = (plan: Planned[], program: string) => JSON.stringify(find(plan, nameOf(program)).inputs["labels"]);
    const told = await planStack("dev", { ...LOCK, "forwardemail:metrics": { server: "main", alertmanager: "http://192.0.2.9:9093" } });
    expect(METRICS_NAMES.filter((program) => labels(told, program) !== labels(all, program))).toEqual(["prometheus"]);
});

test("files are in the data directory where there is one; history is not", async () => {
    const plan = await planStack("dev", { ...ON, "forwardemail:data": { directory: "/srv/mail" } });
    expect(find(plan, nameOf("prometheus")).inputs["mounts"]).toMatchObject([
        { type: "bind", source: "/srv/mail/metrics", target: "/etc/metrics" },
        { type: "volume", source: "forwardemail-dev-prometheus", target: "/prometheus" },
    ]);
});
