import { beforeAll, describe, expect, test } from "vitest";
import { CATALOGUE, SERVICE_NAMES, ServiceName } from "../../components/services/catalogue";
import { Planned, planStack } from "../../operate/planned";

const LOCK = { "forwardemail:images": { lockFile: "test/fixtures/images.lock.json" } };
const CONTAINER = "docker:index/container:Container";

/** A stack on an instance of AWS, with these keys of `servers[].aws`. */
function awsStack(keys: Record<string, unknown> = {}) {
    const aws = { region: "eu-central-1", authorizedKeys: [`ssh-ed25519 ${"B".repeat(68)} me`], ...keys };
    return {
        "forwardemail:host": "mail.example.com",
        "forwardemail:profile": "forwarding",
        "forwardemail:network": {},
        "forwardemail:firewall": { sshFrom: ["198.51.100.0/24", "2001:db8::/32"], allow: [8080] },
        "forwardemail:servers": [{ name: "main", kind: "aws", aws }],
    };
}

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
        ["aws", awsStack()],
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

describe("on AWS", () => {
    const NAME = "forwardemail-dev-main";
    let usual: Planned[];
    beforeAll(async () => {
        usual = await planStack("dev", { ...LOCK, ...awsStack() });
    });
    const planned = async (keys?: Record<string, unknown>) => {
        const plan = keys ? await planStack("dev", { ...LOCK, ...awsStack(keys) }) : usual;
        const of = (type: string) => plan.filter((r) => r.type === type);
        const one = (type: string) => {
            expect(of(type)).toHaveLength(1);
            return { inputs: of(type)[0].inputs as Record<string, never>, options: of(type)[0].options };
        };
        return { plan, of, one };
    };

    test("what outlives the instance is protected: address, data volume, host key; nothing else of the machine is", async () => {
        const { plan } = await planned();
        const kept = plan.filter((r) => r.options.protect && (r.type.startsWith("aws:") || r.name.startsWith(NAME))).map((r) => r.name);
        expect(kept.sort()).toEqual([`${NAME}-address`, `${NAME}-data`, `${NAME}-host-key`]);
    });

    test("the instance takes no newer image by itself, its disks are encrypted, its metadata wants a token", async () => {
        const { one } = await planned();
        const { inputs, options } = one("aws:ec2/instance:Instance");
        expect(options).toMatchObject({ ignoreChanges: ["ami", "userData"], deleteBeforeReplace: false, replacementTrigger: "debian-12" });
        expect(inputs).toMatchObject({
            instanceType: "t4g.medium",
            metadataOptions: { httpTokens: "required", httpPutResponseHopLimit: 1 },
            rootBlockDevice: { encrypted: true },
            userData: "[secret]", // it carries the host key
            subnetId: `${NAME}-subnet-id`,
            vpcSecurityGroupIds: [`${NAME}-ports-id`],
        });
        expect(inputs).not.toHaveProperty("iamInstanceProfile");
        expect(one("aws:ebs/volume:Volume").inputs).toMatchObject({ encrypted: true, size: 50 });
    });

    test("an ami that is named replaces the instance", async () => {
        const { inputs, options } = (await planned({ ami: "ami-0123456789abcdef0" })).one("aws:ec2/instance:Instance");
        expect(inputs).toMatchObject({ ami: "ami-0123456789abcdef0" });
        expect(options.ignoreChanges).toEqual(["userData"]);
    });

    test("the volume goes from one instance to the next only after the first has stopped", async () => {
        const { inputs, options } = (await planned()).one("aws:ec2/volumeAttachment:VolumeAttachment");
        expect(inputs).toMatchObject({ stopInstanceBeforeDetaching: true });
        expect(options).toMatchObject({ deleteBeforeReplace: true });
    });

    test("the security group lets in the published ports, those of firewall.allow, and SSH from where it may come, over IPv4", async () => {
        const { of } = await planned();
        const rules = of("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule").map((r) => r.inputs as Record<string, string>);
        expect(rules.map((r) => `${r.ipProtocol} ${r.fromPort}-${r.toPort} ${r.cidrIpv4}`).sort()).toEqual([
            "icmp 3-4 0.0.0.0/0",
            "tcp 22-22 198.51.100.0/24",
            ...[25, 443, 465, 80, 8080].map((port) => `tcp ${port}-${port} 0.0.0.0/0`),
        ]);
    });

    test("everything on the instance is made anew with it, and gone with it", async () => {
        const { plan } = await planned();
        const onIt = plan.filter((r) => r.type === "command:local:Command" || (r.type.startsWith("docker:") && !r.type.endsWith(":Volume")));
        expect(onIt.length).toBeGreaterThan(20);
        expect(onIt.filter((r) => r.options.deletedWith !== `${NAME}-instance`).map((r) => r.name)).toEqual([]);
        const containers = onIt.filter((r) => r.type.startsWith("docker:"));
        expect(containers.filter((r) => r.options.replacementTrigger !== `${NAME}-instance-id`).map((r) => r.name)).toEqual([]);
        const scripts = onIt.filter((r) => r.type === "command:local:Command").map((r) => r.inputs as { environment: Record<string, string> });
        expect(scripts.filter(({ environment }) => environment.SERVER !== `${NAME}-instance-id`)).toEqual([]);
    });

    test("it is connected to by its own address and pinned key, once both address and disk are attached", async () => {
        const { plan } = await planned();
        const preflight = plan.find((r) => r.name === `${NAME}-preflight`)!;
        expect(preflight.options.dependsOn).toEqual(expect.arrayContaining([`${NAME}-address`, `${NAME}-data`]));
        const { interpreter, environment } = preflight.inputs as { interpreter: string[]; environment: Record<string, string> };
        expect(interpreter[2]).toContain(`'KnownHostsCommand=/usr/bin/env echo ${NAME} ssh-ed25519 ${NAME}-host-key'`);
        expect(interpreter[2]).toContain("'admin@203.0.113.7'");
        expect(environment).toMatchObject({ ELASTIC_ADDRESS: "203.0.113.7", OUTBOUND_25: "" });
        const disk = plan.find((r) => r.name === `${NAME}-disk`)!.inputs as { environment: Record<string, string> };
        expect(disk.environment).toMatchObject({ DIRECTORY: "/srv/forwardemail", SIZE: "50" });
        expect(disk.environment.DEVICE).toMatch(/^\/dev\/disk\/by-id\/nvme-Amazon_Elastic_Block_Store_/);
    });

    test("a bucket for backups comes with a role that adds and reads, and deletes locks only", async () => {
        const { one } = await planned({ backupBucket: "mail-backups" });
        expect(one("aws:ec2/instance:Instance").inputs).toHaveProperty("iamInstanceProfile");
        const { Statement } = JSON.parse(one("aws:iam/rolePolicy:RolePolicy").inputs["policy"]) as {
            Statement: Array<{ Action: string | string[]; Resource: string }>;
        };
        const may = (action: RegExp) => Statement.filter(({ Action }) => [Action].flat().some((a) => action.test(a))).map(({ Resource }) => Resource);
        expect(may(/Delete|\*/)).toEqual(["arn:aws:s3:::mail-backups/*/locks/*", "arn:aws:s3:::mail-backups/locks/*"]);
        expect(may(/PutObject$/)).toEqual(["arn:aws:s3:::mail-backups/*"]);
    });

    test("the default VPC brings no network of the stack's own", async () => {
        const { of, one } = await planned({ vpc: "default", zone: "eu-central-1b" });
        expect(of("aws:ec2/vpc:Vpc")).toEqual([]);
        expect(one("aws:ec2/instance:Instance").inputs).toMatchObject({ subnetId: "subnet-of-the-zone" });
        expect(one("aws:ebs/volume:Volume").inputs).toMatchObject({ availabilityZone: "eu-central-1b" });
    });

    test("the reverse name is made only when asked for, and leads to MX", async () => {
        expect((await planned()).of("aws:ec2/eipDomainName:EipDomainName")).toEqual([]);
        expect((await planned({ reverseDns: true })).one("aws:ec2/eipDomainName:EipDomainName").inputs).toMatchObject({
            domainName: "mx.mail.example.com",
        });
    });

    test("the first preview, when nothing is known yet, declares the same resources", async () => {
        const names = (plan: Planned[]) => plan.map((r) => `${r.type} ${r.name}`);
        expect(names(await planStack("dev", { ...LOCK, ...awsStack() }, true))).toEqual(names((await planned()).plan));
    });
});

test.each(["prod.example", "aws.example"])("the example %s can be planned as it is", async (stack) => {
    expect((await planStack(stack)).length).toBeGreaterThan(50);
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
