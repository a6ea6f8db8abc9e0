import { beforeAll, describe, expect, test } from "vitest";
import { CATALOGUE, SERVICE_NAMES, ServiceName } from "../../components/services/catalogue";
import { SECRETS } from "../../components/services/secrets";
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

/** What Pulumi puts in the place of a value that a preview does not know. */
const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

/** A stack with a company's domain, whose records and certificate the program sees to. */
function mailStack(provider: string, more: Record<string, unknown> = {}) {
    const id = { cloudflare: "0123456789abcdef0123456789abcdef", route53: "Z0123456789ABC" }[provider];
    const key = { selector: "fe-1", publicKey: "A".repeat(392), verification: "abc" };
    return {
        "forwardemail:host": "mail.example.com",
        "forwardemail:domains": ["example.com"],
        "forwardemail:network": {},
        "forwardemail:data": { directory: "/srv/forwardemail" },
        "forwardemail:servers": [{ name: "vps", kind: "ssh", address: "203.0.113.7", hostKey: `ssh-ed25519 ${"A".repeat(68)}` }],
        "forwardemail:certificates": { issuer: "acme", email: "hostmaster@example.com" },
        "forwardemail:dns": { provider, zones: [{ name: "example.com", id, dnssec: true }], ...more },
        "forwardemail:dkim": { default: "active", s2: "next" },
        "forwardemail:domainRecords": { "example.com": key },
        ...(provider === "cloudflare" ? { "forwardemail:cloudflareToken": { secure: "x" } } : {}),
    };
}

describe("DNS", () => {
    const planned = async (provider: string, more?: Record<string, unknown>) => {
        const plan = await planStack("dev", { ...LOCK, ...mailStack(provider, more) });
        return { plan, inputs: (type: string) => plan.filter((r) => r.type === type).map((r) => r.inputs as Record<string, unknown>) };
    };

    test("on Cloudflare: a resource a record, in the form that its API takes, never through the proxy", async () => {
        const { plan, inputs } = await planned("cloudflare");
        const all = inputs("cloudflare:index/dnsRecord:DnsRecord");
        const of = (name: string, type: string) => all.filter((one) => one.name === name && one.type === type);
        expect(all.length).toBeGreaterThan(60);
        for (const one of all) {
            expect(one).toMatchObject({ zoneId: "0123456789abcdef0123456789abcdef", proxied: false, ttl: 300 });
            expect(one.name).toMatch(/(^|\.)example\.com$/);
            expect("content" in one, JSON.stringify(one)).toBe(!("data" in one));
            if (one.type === "TXT") for (const text of (one.content as string).match(/"[^"]*"/g)!) expect(text.length).toBeLessThanOrEqual(257);
        }
        expect(of("fe-1._domainkey.example.com", "TXT")[0].content).toMatch(/^"v=DKIM1; k=rsa; p=A{200,}" "A+"$/);
        expect(of("example.com", "MX")).toMatchObject([{ content: "mx.mail.example.com", priority: 10 }]);
        expect(of("_imaps._tcp.example.com", "SRV")).toMatchObject([
            { data: { priority: 0, weight: 1, port: 993, target: "imap.mail.example.com" }, priority: 0 },
        ]);
        expect(of("mail.example.com", "CAA").find((one) => (one.data as { tag: string }).tag === "issue")!.data).toMatchObject({
            flags: 0,
            tag: "issue",
            value: expect.stringContaining("accounturi=https://authority.invalid/acct/1"),
        });
        expect(of("_25._tcp.mx.mail.example.com", "TLSA")).toHaveLength(2);
        expect(JSON.stringify(plan)).not.toContain('"apiToken":"x"');
    });

    test("on Route 53: a record set a name and type, which others' values do not leave", async () => {
        const sets = (await planned("route53")).inputs("aws:route53/record:Record");
        const of = (all: Record<string, unknown>[], name: string, type: string) => all.find((one) => one.name === name && one.type === type)!;
        expect(new Set(sets.map(({ name, type }) => `${name} ${type}`)).size).toBe(sets.length);
        expect(of(sets, "example.com", "TXT")).toMatchObject({
            records: ["v=spf1 mx ~all", "forward-email-site-verification=abc"],
            allowOverwrite: false,
        });
        expect((of(sets, "fe-1._domainkey.example.com", "TXT").records as string[])[0]).toMatch(/^v=DKIM1; k=rsa; p=A+""A+$/);
        expect(of(sets, "mail.example.com", "CAA").records).toHaveLength(4);
        const keep = { "example.com TXT": ["google-site-verification=x"] };
        const kept = of((await planned("route53", { keep })).inputs("aws:route53/record:Record"), "example.com", "TXT");
        expect(kept).toMatchObject({
            records: ["v=spf1 mx ~all", "forward-email-site-verification=abc", "google-site-verification=x"],
            allowOverwrite: true,
        });
    });

    test("the certificate is asked for when the names are written and the router answers; the key that signs is protected, the next is not", async () => {
        const { plan } = await planned("cloudflare");
        const one = (name: string) => plan.find((r) => r.name === name)!;
        const depends = one("forwardemail-dev-certificate").options.dependsOn as string[];
        expect(depends.some((name) => name === "forwardemail-dev-mail.example.com-A")).toBe(true);
        expect(depends.some((name) => name === "forwardemail-dev-router")).toBe(true);
        // Another issuer may take its place: what is protected could not be left out.
        expect(one("forwardemail-dev-acme-account-key").options.protect ?? false).toBe(false);
        expect([one("forwardemail-dev-dkim").options.protect, one("forwardemail-dev-dkim-s2").options.protect ?? false]).toEqual([true, false]);
    });

    test("a key that was replaced stays in TLSA records until the next change; what serves first has the key that they name", async () => {
        const { plan, inputs } = await planned("cloudflare");
        const tlsa = (all: Record<string, unknown>[]) => all.filter(({ type }) => type === "TLSA");
        expect(tlsa(inputs("cloudflare:index/dnsRecord:DnsRecord"))).toHaveLength(2);
        const next = { ...mailStack("cloudflare"), "forwardemail:certificates": { issuer: "acme", email: "hostmaster@example.com", key: 2 } };
        const after = await planStack("dev", { ...LOCK, ...next });
        const names = (all: typeof plan) => all.map(({ name }) => name).filter((name) => /TLSA|certificate-key/.test(name));
        expect(names(after).filter((name) => !names(plan).includes(name))).toEqual([
            "forwardemail-dev-_25._tcp.mx.mail.example.com-TLSA-key-3",
            "forwardemail-dev-certificate-key-3",
        ]);
        expect(names(after)).toEqual(expect.arrayContaining(names(plan)));
        const request = plan.find(({ name }) => name === "forwardemail-dev-request")!;
        expect(request.options.dependsOn).toContain("forwardemail-dev-certificate-key-1");
    });

    test("the policy is served before its record says so", async () => {
        for (const provider of ["cloudflare", "route53"]) {
            const { plan } = await planned(provider);
            const record = (name: string) => plan.find((r) => r.name.startsWith(`forwardemail-dev-${name}-TXT`))!;
            expect(record("_mta-sts.example.com").options.dependsOn).toContain("forwardemail-dev-router");
            expect(record("_dmarc.example.com").options.dependsOn ?? []).not.toContain("forwardemail-dev-router");
        }
    });

    test("before anything is made, a preview shows what is in every record but those with a key or the account", async () => {
        const plan = await planStack("dev", { ...LOCK, ...mailStack("cloudflare") }, true);
        const open = plan.filter(({ type, inputs }) => type === "cloudflare:index/dnsRecord:DnsRecord" && JSON.stringify(inputs).includes(UNKNOWN));
        expect(open.length).toBeGreaterThan(0);
        expect(open.map(({ name }) => name).filter((name) => !/_domainkey\.mail|-CAA-issue$|-TLSA-/.test(name))).toEqual([]);
    });
});

describe("the certificate that the server asks for", () => {
    /** Values of its certificate.conf with these keys of `certificates`. */
    const asked = async (certificates: Record<string, unknown>) => {
        const stack = mailStack("cloudflare");
        const overlay = { ...stack, "forwardemail:certificates": { ...stack["forwardemail:certificates"], ...certificates } };
        const plan = await planStack("dev", { ...LOCK, ...overlay, "forwardemail:acmeDnsCredential": { secure: "x" } });
        const { environment } = plan.find((r) => r.name === "forwardemail-dev-certificate")!.inputs as { environment: { CONFIG: string } };
        return Object.fromEntries([...environment.CONFIG.matchAll(/^(\w+)='(.*)'$/gm)].map(([, name, value]) => [name, value]));
    };

    test("is another one with another key, and of another authority", async () => {
        const several = [await asked({}), await asked({ key: 2 }), await asked({ staging: true })].map(({ CERTIFICATE }) => CERTIFICATE);
        expect(several).toEqual([1, 2, 1].map((key) => expect.stringMatching(`^forwardemail-dev-${key}-[0-9a-f]{8}$`) as string));
        expect(new Set(several).size).toBe(3);
    });

    test("has no name beside a wildcard that covers it: authorities refuse both together", async () => {
        const extraNames = ["*.mail.example.com", "a.b.mail.example.com", "*.apps.example.com", "one.apps.example.com"];
        const { NAMES } = await asked({ challenge: "dns-01", extraNames });
        expect(NAMES.split(" ").sort()).toEqual([
            "*.apps.example.com",
            "*.mail.example.com",
            "a.b.mail.example.com", // two labels
            "autoconfig.example.com",
            "autodiscover.example.com",
            "mail.example.com",
            "mta-sts.example.com",
        ]);
    });
});

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
        ["acme", mailStack("zone-file")],
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

    test("a volume of it is gone with it too, and no reason to make anything anew", async () => {
        const plan = await planStack("dev", { ...LOCK, ...awsStack({}), "forwardemail:metrics": { server: "main" } });
        const volumes = plan.filter((r) => r.type.endsWith(":Volume") && r.type.startsWith("docker:"));
        expect(volumes.map(({ name, options }) => [name, options.deletedWith, options.replacementTrigger])).toEqual([
            ["forwardemail-dev-prometheus", `${NAME}-instance`, undefined],
        ]);
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

    test("the default VPC brings no network of the stack's own", async () => {
        const { of, one } = await planned({ vpc: "default", zone: "eu-central-1b" });
        expect(of("aws:ec2/vpc:Vpc")).toEqual([]);
        expect(one("aws:ec2/instance:Instance").inputs).toMatchObject({ subnetId: "subnet-of-the-zone" });
        expect(one("aws:ebs/volume:Volume").inputs).toMatchObject({ availabilityZone: "eu-central-1b" });
    });

    test("the reverse name waits for the record that AWS looks for", async () => {
        const dns = {
            ...mailStack("route53"),
            ...awsStack({ reverseDns: true }),
            "forwardemail:domains": [],
            "forwardemail:certificates": { issuer: "self-signed" },
        };
        const plan = await planStack("dev", { ...LOCK, ...dns });
        const { dependsOn } = plan.find(({ type }) => type === "aws:ec2/eipDomainName:EipDomainName")!.options;
        expect(dependsOn).toContain("forwardemail-dev-mx.mail.example.com-A");
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

    test("a secret that is given leaves the generated one where it is: protected, it cannot go", async () => {
        const given = Object.fromEntries(Object.keys(SECRETS).map((key) => [`forwardemail:${key}`, { secure: "x" }]));
        const declared = (all: typeof plan) => all.filter((r) => r.options.protect).map((r) => r.name);
        expect(declared(await planStack("dev", { ...LOCK, ...given }))).toEqual(declared(plan));
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
