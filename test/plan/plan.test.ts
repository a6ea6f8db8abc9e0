import { beforeAll, describe, expect, test } from "vitest";
import { CATALOGUE, SERVICE_NAMES, ServiceName } from "../../components/services/catalogue";
import { Planned, planStack } from "../../operate/planned";

const LOCK = { "forwardemail:images": { lockFile: "test/fixtures/images.lock.json" } };
const CONTAINER = "docker:index/container:Container";

describe("the plan of each kind of stack, as a reviewer sees it", () => {
    test.each<[string, Record<string, unknown>]>([
        ["dev", {}],
        [
            "server",
            {
                "forwardemail:host": "mail.example.com",
                "forwardemail:version": "v2.15.0",
                "forwardemail:network": { ipv6: true, subnet: "10.88.0.0/24" },
                "forwardemail:data": { directory: "/srv/forwardemail" },
                "forwardemail:servers": [
                    { name: "vps", kind: "ssh", address: "203.0.113.7", user: "debian", hostKey: `ssh-ed25519 ${"A".repeat(68)}` },
                ],
                "forwardemail:environment": { SMTP_MAX_THREADS: "2" },
            },
        ],
        ["forwarding", { "forwardemail:profile": "forwarding" }],
    ])("%s", async (name, overlay) => {
        const plan = await planStack("dev", { ...LOCK, ...overlay });
        await expect(`${JSON.stringify(plan, null, 2)}\n`).toMatchFileSnapshot(`golden/${name}.json`);
    });
});

test("what Docker holds is made anew on another machine, and scripts run again there; volumes are data and stay", async () => {
    const hostKey = `ssh-ed25519 ${"A".repeat(68)}`;
    const servers = { "forwardemail:servers": [{ name: "vps", kind: "ssh", address: "203.0.113.7", hostKey }] };
    const plan = await planStack("dev", { ...LOCK, ...servers });
    const onDocker = plan.filter((r) => r.type.startsWith("docker:"));
    const [volumes, rest] = [true, false].map((is) => onDocker.filter((r) => (r.type === "docker:index/volume:Volume") === is));
    expect(rest.filter((r) => r.options.replacementTrigger !== hostKey).map((r) => r.name)).toEqual([]);
    expect(volumes.map((r) => r.options.replacementTrigger)).toEqual(volumes.map(() => undefined));
    const scripts = plan.filter((r) => r.type === "command:local:Command").map((r) => r.inputs as { environment: Record<string, string> });
    expect(scripts.filter(({ environment }) => environment.SERVER !== hostKey)).toEqual([]);
});

describe("what keeps data and service safe", () => {
    let plan: Planned[];
    const of = (type: string) => plan.filter((r) => r.type === type);
    const container = (service: ServiceName) => of(CONTAINER).find((r) => r.name === `forwardemail-dev-${service.replaceAll("_", "-")}`)!;
    const inputs = (service: ServiceName) => container(service).inputs as Record<string, never>;
    beforeAll(async () => {
        plan = await planStack("dev", LOCK);
    });

    test("data volumes, generated secrets and keys are protected; components are not", () => {
        const shielded = plan.filter((r) => r.options.protect).map((r) => `${r.type.split(":").at(-1)} ${r.name}`);
        expect(shielded).toEqual([
            "Volume forwardemail-dev-mailboxes",
            "Volume forwardemail-dev-mongodb",
            "Volume forwardemail-dev-redis",
            ...[
                "adminPassword",
                "apiSecret",
                "helperEncryptionKey",
                "mongodbPassword",
                "redisPassword",
                "smtpTransportPassword",
                "srsSecret",
                "txtEncryptionKey",
                "webhookSignatureKey",
            ].map((key) => `RandomPassword forwardemail-dev-${key}`),
            "PrivateKey forwardemail-dev-authority-key",
            "PrivateKey forwardemail-dev-dkim",
            "SelfSignedCert forwardemail-dev-authority-cert",
        ]);
    });

    test.each(SERVICE_NAMES)("%s says how it is replaced, stops in time, and is hardened", (service) => {
        expect(container(service).options.deleteBeforeReplace).toBe(!CATALOGUE[service].routed);
        expect(container(service).options.replaceOnChanges).toEqual(["healthcheck", "tmpfs"]);
        expect(inputs(service)).toMatchObject({
            wait: true,
            destroyGraceSeconds: CATALOGUE[service].stopSeconds,
            memorySwap: inputs(service)["memory"],
            capabilities: { drops: ["ALL"] },
            securityOpts: ["no-new-privileges:true"],
            logOpts: { "max-size": "10m", "max-file": "3" },
        });
        expect(inputs(service)["image"]).toMatch(/@sha256:[0-9a-f]{64}$/);
        expect(inputs(service)["user"]).not.toMatch(/^(0|root)?$/);
    });

    test("a routed service has no fixed name and no alias, so that two can overlap unseen", () => {
        for (const service of SERVICE_NAMES.filter((s) => CATALOGUE[s].routed)) {
            expect(inputs(service)).not.toHaveProperty("name");
            expect(inputs(service)["networksAdvanced"][0]["aliases"]).toEqual([]);
        }
    });

    test("no container starts before all data is claimed", () => {
        for (const service of SERVICE_NAMES.filter((s) => s !== "router"))
            for (const store of ["mailboxes", "mongodb", "redis"])
                expect(container(service).options.dependsOn).toContain(`forwardemail-dev-${store}-claim`);
    });

    test("what is secret in an environment is marked so, and appears nowhere else", () => {
        const secrets = (service: ServiceName) => (inputs(service)["envs"] as string[]).filter((line) => line === "[secret]").length;
        expect([secrets("web"), secrets("mongodb"), secrets("redis")]).toEqual([24, 1, 1]);
        expect(JSON.stringify(plan)).not.toContain("Planned0");
        expect(JSON.stringify(plan)).not.toContain("BEGIN PRIVATE KEY");
    });

    test("images stay on the host, and nothing uses a default provider", () => {
        expect(of("docker:index/remoteImage:RemoteImage")).toHaveLength(4);
        for (const image of of("docker:index/remoteImage:RemoteImage")) expect(image.inputs).toMatchObject({ keepLocally: true });
        const onDocker = plan.filter((r) => r.type.startsWith("docker:"));
        expect(onDocker.filter((r) => r.options.provider !== "forwardemail-dev-main").map((r) => r.name)).toEqual([]);
    });
});

test("the first preview, when nothing is known yet, declares the same resources", async () => {
    const known = await planStack("dev", LOCK);
    const unknown = await planStack("dev", LOCK, true);
    expect(unknown.map((r) => `${r.type} ${r.name}`)).toEqual(known.map((r) => `${r.type} ${r.name}`));
});
