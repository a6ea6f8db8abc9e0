import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import fc from "fast-check";
import * as pulumi from "@pulumi/pulumi";
import { describe, expect, test } from "vitest";
import { parse as parseYaml } from "yaml";
import { SettingsError } from "../../components/errors";
import { Lock, newest } from "../../components/settings/images";
import { buildSettings, loadSettings } from "../../components/settings/load";
import { schema } from "../../components/settings/schema";
import { ENCRYPTED, SECRET_KEYS } from "../../components/settings/parse";
import { EXAMPLES, listsAndMaps } from "../../components/settings/shape";
import { PROJECT, parseStackFile, readProject, refusePlaceholders, settingsFrom } from "../../operate/stackFile";
import { prepareWorkspace } from "../../operate/workspace";

const context = { project: "forwardemail", stack: "test", directory: PROJECT, encrypted: new Set(SECRET_KEYS) };
const LOCK = JSON.stringify({ lockFile: "test/fixtures/images.lock.json" });
const build = (raw: Record<string, unknown>) =>
    buildSettings(
        Object.fromEntries(
            Object.entries({ host: "mail.example.com", images: LOCK, ...raw }).map(([k, v]) => [k, typeof v === "string" ? v : JSON.stringify(v)]),
        ),
        context,
    );

/** Problems as `key: message`. */
function problems(raw: Record<string, unknown>): string[] {
    try {
        build(raw);
    } catch (error) {
        if (error instanceof SettingsError) return error.problems.map((p) => `${p.key}: ${p.message}`);
        throw error;
    }
    return [];
}

/** The fix of each problem, by key. */
function fixes(raw: Record<string, unknown>): Record<string, string> {
    try {
        build(raw);
    } catch (error) {
        if (error instanceof SettingsError) return Object.fromEntries(error.problems.map((p) => [p.key, p.fix]));
        throw error;
    }
    return {};
}

const HOST_KEY = `ssh-ed25519 ${"A".repeat(68)}`;

const AWS = { region: "eu-central-1", authorizedKeys: [`ssh-ed25519 ${"B".repeat(68)} me@laptop`] };
const onAws = (keys: object = {}, server: object = {}) => ({ servers: [{ name: "a", kind: "aws", aws: { ...AWS, ...keys }, ...server }] });

const BACKUPS = { provider: "s3", bucket: "sets", endpoint: "https://s3.example.com", accessKeyId: "KEY" };
const backup = (keys: object = {}, more: object = {}) => ({ backups: { ...BACKUPS, ...keys }, backupSecretKey: "x", ...more });

describe("a good config", () => {
    test("metrics are off, and a server's name is all that they need", () => {
        expect(build({}).metrics).toBeUndefined();
        expect(build({ metrics: { server: "main" }, network: { portOffset: 100 } }).metrics).toEqual({
            server: "main",
            retention: "30d",
            port: 9190,
        });
    });

    test("a bucket and its key are all that backups need", () => {
        const { backups } = build(backup());
        expect(backups).toMatchObject({ prefix: "forwardemail-test", hours: 6, rpoHours: 12, pathStyle: true, keep: { daily: "14d" } });
        expect(build({}).backups).toBeUndefined();
        expect(problems({ restoredSecrets: ENCRYPTED })).toEqual([]); // a plan has no passphrase
    });

    test("addresses are in the form that DNS tools print, mail addresses in lower case", () => {
        const server = { name: "a", kind: "ssh", address: "192.0.2.1", ipv6: "2001:0DB8:0::0007", hostKey: HOST_KEY };
        const settings = build({ servers: [server], network: { ipv6: true }, dns: { dmarc: { reports: "Dmarc@Example.com" } } });
        expect([settings.servers[0].ipv6, settings.dns?.dmarc.reports]).toEqual(["2001:db8::7", "dmarc@example.com"]);
    });

    test("the host alone is enough", () => {
        const settings = build({});
        expect(settings).toMatchObject({
            name: "forwardemail-test",
            host: "mail.example.com",
            domains: ["mail.example.com"],
            profile: "full",
            network: { ipv6: false, portOffset: 0, bindAddress: "0.0.0.0" },
            servers: [{ name: "main", kind: "local" }],
        });
        expect(settings.images.forwardemail).toEqual({
            tag: "v2.15.0",
            reference: expect.stringMatching(/^ghcr\.io\/.*:v2\.15\.0@sha256:[0-9a-f]{64}$/),
        });
    });

    test("a database stays in its major release, and with its digest where the config names one", () => {
        const lock = JSON.parse(readFileSync("test/fixtures/images.lock.json", "utf8")) as Lock;
        for (const tag of ["6.0.1", "7.3.4", "8.0.15"]) lock.mongodb.releases[tag] = { digest: `sha256:${"8".repeat(64)}` };
        const file = path.join(mkdtempSync(path.join(tmpdir(), "lock-")), "images.lock.json");
        writeFileSync(file, JSON.stringify(lock));
        const tagOf = (mongodb?: string) => build({ images: { lockFile: file, mongodb } }).images.mongodb;
        expect(tagOf().tag).toBe("7.0.28");
        expect(tagOf("8.0.15")).toEqual({ tag: "8.0.15", reference: `docker.io/library/mongo:8.0.15@sha256:${"8".repeat(64)}` });
        const held = `7.0.20@sha256:${"7".repeat(64)}`;
        const { reference } = tagOf();
        expect(tagOf(held)).toEqual({ tag: "7.0.20", reference: `docker.io/library/mongo:${held}`, better: reference });
        const moved = `7.0.28@sha256:${"7".repeat(64)}`;
        expect(tagOf(moved)).toMatchObject({ tag: "7.0.28", better: reference });
        // What the lock file has is held to no one's harm, and another major release than ours has nothing better here.
        expect([reference.replace(/^.*mongo:/, ""), `8.0.15@sha256:${"8".repeat(64)}`].map((one) => tagOf(one).better)).toEqual([
            undefined,
            undefined,
        ]);
        rmSync(path.dirname(file), { recursive: true });
    });

    test("memory takes a unit and is in MiB", () => {
        expect(build({ services: { imap: { memory: "2g" }, web: { memory: "640m" } } }).memoryMb).toMatchObject({ imap: 2048, web: 640, api: 768 });
    });

    test("on aws the data has a directory for its volume, and the user is the image's", () => {
        const { data, servers } = build(onAws({ image: "ubuntu-24.04" }));
        expect(data.directory).toBe("/srv/forwardemail");
        expect(servers[0].login).toMatchObject({ user: "ubuntu", alias: "forwardemail-test-a" });
        expect(build({ ...onAws(), data: { directory: "/srv/mail" } }).data.directory).toBe("/srv/mail");
        expect(build({}).data.directory).toBeUndefined();
    });

    test("subnets differ between stacks and stay the same for one", () => {
        const other = buildSettings({ host: "mail.example.com", images: LOCK }, { ...context, stack: "other" });
        expect(other.network.subnet4).not.toBe(build({}).network.subnet4);
        expect(build({}).network).toEqual(build({}).network);
    });
});

describe("bad input, each with one clear message", () => {
    test.each<[string, Record<string, unknown>, string]>([
        [
            "a wrong domain",
            { host: "Mail.Example.Com" },
            'host: got "Mail.Example.Com", wanted a DNS name such as mail.example.com: lower case, no scheme, no trailing dot',
        ],
        [
            "a service's name for the host",
            { host: "mx.firma.example" },
            "host: got mx.firma.example, whose services would be mx.mx.firma.example and so on; wanted the name above them, such as mail.firma.example",
        ],
        ["no host", { host: "" }, 'host: got "", wanted a DNS name such as mail.example.com: lower case, no scheme, no trailing dot'],
        ["a URL", { host: "https://mail.example.com" }, 'host: got "https://mail.example.com", wanted a DNS name'],
        ["an unknown key", { hots: "x" }, "hots: this key does not exist"],
        ["an unknown key inside", { network: { ipv4: true } }, "network.ipv4: this key does not exist"],
        ["a string for a list", { domains: "example.com" }, 'domains: got "example.com", wanted a list of DNS names'],
        ["a list item", { domains: ["example.com", "x"] }, 'domains[1]: got "x", wanted a DNS name'],
        ["a domain twice", { domains: ["a.com", "a.com"] }, 'domains: "a.com" stands there twice'],
        [
            "two servers with one name",
            {
                servers: [
                    { name: "a", kind: "local" },
                    { name: "a", kind: "local" },
                ],
            },
            'servers: "a" stands there twice',
        ],
        [
            "two servers",
            {
                servers: [
                    { name: "a", kind: "local" },
                    { name: "b", kind: "local" },
                ],
            },
            "servers: got 2 servers; several servers: not available yet",
        ],
        [
            "an address on kind local",
            { servers: [{ name: "a", kind: "local", address: "192.0.2.1" }] },
            "servers[0].address: means nothing on kind: local",
        ],
        ["no address over SSH", { servers: [{ name: "a", kind: "ssh", hostKey: HOST_KEY }] }, "servers[0].address: is missing"],
        [
            "no host key over SSH",
            { servers: [{ name: "a", kind: "ssh", address: "192.0.2.1", port: 2222 }] },
            "servers[0].hostKey: is missing, wanted the host's public key",
        ],
        [
            "a host key that is none",
            { servers: [{ name: "a", kind: "ssh", address: "192.0.2.1", hostKey: "SHA256:abc" }] },
            'servers[0].hostKey: got "SHA256:abc", wanted a public host key',
        ],
        [
            "a jump host without a key",
            { servers: [{ name: "a", kind: "ssh", address: "192.0.2.1", hostKey: HOST_KEY, jump: { address: "jump.example.com" } }] },
            "servers[0].jump.hostKey: is missing",
        ],
        ["aws without its map", { servers: [{ name: "a", kind: "aws" }] }, "servers[0].aws: is missing, wanted a map with region and authorizedKeys"],
        ["aws without a key to log in with", onAws({ authorizedKeys: undefined }), "servers[0].aws.authorizedKeys: is missing"],
        [
            "a private key for a public one",
            onAws({ authorizedKeys: ["-----BEGIN OPENSSH PRIVATE KEY-----"] }),
            "servers[0].aws.authorizedKeys[0]: got a private key, wanted",
        ],
        ["an instance type whose disks have other names", onAws({ instanceType: "t2.medium" }), 'servers[0].aws.instanceType: got "t2.medium"'],
        ["a zone elsewhere", onAws({ zone: "eu-west-1a" }), "servers[0].aws.zone: got eu-west-1a, which is not in eu-central-1"],
        ["the default VPC without a zone", onAws({ vpc: "default" }), "servers[0].aws.zone: is missing"],
        ["an address on aws", onAws({}, { address: "192.0.2.1" }), "servers[0].address: means nothing on kind: aws"],
        ["an aws map elsewhere", { servers: [{ name: "a", kind: "local", aws: AWS }] }, "servers[0].aws: means nothing on kind: local"],
        ["IPv6 on aws", { ...onAws(), network: { ipv6: true } }, "network.ipv6: got true on kind: aws"],
        ["SSH over IPv6 only on aws", { ...onAws(), firewall: { sshFrom: ["2001:db8::/32"] } }, "firewall.sshFrom: names only IPv6 networks"],
        ["a port on aws", onAws({}, { port: 2222 }), "servers[0].port: got 2222 on kind: aws"],
        ["a region that needs other ARNs", onAws({ region: "us-gov-west-1" }), 'servers[0].aws.region: got "us-gov-west-1"'],
        [
            "a network with host bits",
            { firewall: { sshFrom: ["203.0.113.7/24"] } },
            'firewall.sshFrom[0]: got "203.0.113.7/24", wanted the first address',
        ],
        ["no set-up on aws", onAws({}, { setUp: false }), "servers[0].setUp: got false on kind: aws"],
        ["a disk on aws", { ...onAws(), data: { device: "/dev/disk/by-id/x" } }, "data.device: is the program's own on kind: aws"],
        ["a firewall on this machine", { firewall: { allow: [8080] } }, "firewall: means nothing on a host that is not set up"],
        [
            "SSH open by the back door",
            { ...onAws(), firewall: { sshFrom: ["203.0.113.0/24"], allow: [22] } },
            "firewall.allow: holds SSH's port 22, which would open it to all",
        ],
        [
            "SSH on a port of the deployment",
            { servers: [{ name: "a", kind: "ssh", address: "192.0.2.1", hostKey: HOST_KEY, port: 443 }] },
            "servers[0].port: got 443, which the deployment publishes itself",
        ],
        ["a port that is none", { firewall: { allow: ["51820/tcp"] } }, 'firewall.allow[0]: got "51820/tcp", wanted a TCP port such as 8080'],
        ["bans on this machine", { firewall: { bans: { minutes: 5 } } }, "firewall: means nothing on a host that is not set up"],
        [
            "more failures than the application allows",
            { ...onAws(), firewall: { bans: { failures: 20 } } },
            "firewall.bans.failures: got 20, wanted 10 or less: then the application itself refuses the address",
        ],
        ["bans of years", { ...onAws(), firewall: { bans: { minutes: 100_000 } } }, "firewall.bans.minutes: got 100000, wanted 1440 or less"],
        [
            "one who is exempt by an address",
            { ...onAws(), firewall: { bans: { exempt: ["203.0.113.7"] } } },
            'firewall.bans.exempt[0]: got "203.0.113.7", wanted a network such as 203.0.113.0/24',
        ],
        [
            "bans as a word",
            { ...onAws(), firewall: { bans: "off" } },
            'firewall.bans: got "off", wanted a map with enabled, failures, minutes, exempt',
        ],
        ["data in a system folder", { data: { directory: "/etc" } }, 'data.directory: got "/etc", wanted a folder of its own'],
        ["data beside itself", { data: { directory: "/srv/../etc/x" } }, 'data.directory: got "/srv/../etc/x"'],
        [
            "a disk by a name that may be another's",
            { data: { directory: "/srv/x", device: "/dev/sdb" } },
            'data.device: got "/dev/sdb", wanted a device path that stays',
        ],
        ["a disk on this machine", { data: { directory: "/srv/x", device: "/dev/disk/by-id/x" } }, "data.device: means nothing on kind: local"],
        [
            "a disk without a directory",
            { servers: [{ name: "a", kind: "ssh", address: "192.0.2.1", hostKey: HOST_KEY }], data: { device: "/dev/disk/by-id/x" } },
            "data.device: needs data.directory",
        ],
        [
            "a disk on a host that is not set up",
            {
                servers: [{ name: "a", kind: "ssh", address: "192.0.2.1", hostKey: HOST_KEY, setUp: false }],
                data: { directory: "/srv/x", device: "/dev/disk/by-id/x" },
            },
            "data.device: means nothing with servers[0].setUp: false",
        ],
        [
            "a tag that is not in the lock file",
            { version: "v9.9.9" },
            'version: got "v9.9.9", wanted a tag of test/fixtures/images.lock.json: v2.14.9, v2.15.0',
        ],
        [
            "a tag of a database",
            { images: { lockFile: "test/fixtures/images.lock.json", mongodb: "4.4" } },
            'images.mongodb: got "4.4", wanted a tag of',
        ],
        [
            "a digest that is none",
            { images: { lockFile: "test/fixtures/images.lock.json", redis: "7.4.7@sha256:12" } },
            'images.redis: got "7.4.7@sha256:12", wanted TAG or TAG@sha256: and 64 hexadecimal digits',
        ],
        ["a lock file that is not there", { images: { lockFile: "nowhere.json" } }, "images.lockFile: nowhere.json cannot be used (ENOENT"],
        [
            "memory without a unit",
            { services: { imap: { memory: "512" } } },
            'services.imap.memory: got "512", wanted a whole number with a unit, such as 512m or 2g',
        ],
        [
            "memory as a number",
            { services: { imap: { memory: 512 } } },
            "services.imap.memory: got 512, wanted a number with a unit, such as 512m or 2g",
        ],
        ["an unknown service override", { services: { dovecot: { memory: "1g" } } }, "services.dovecot: this key does not exist"],
        [
            "forwarding with an IMAP override",
            { profile: "forwarding", services: { imap: { memory: "1g" } } },
            "services.imap: profile forwarding has no imap service",
        ],
        ["an unknown profile", { profile: "small" }, 'profile: got "small", wanted full or forwarding'],
        ["an owned variable", { environment: { SMTP_PORT: "587" } }, "environment.SMTP_PORT: the program sets this variable itself"],
        ["a variable that is no text", { environment: { FOO: 1 } }, "environment.FOO: got 1, wanted text in quotes"],
        ["a variable with a bad name", { environment: { "foo-bar": "1" } }, 'environment: got the name "foo-bar", wanted a name of capital letters'],
        ...dnsMistakes(),
        ["a relative data directory", { data: { directory: "data" } }, 'data.directory: got "data", wanted a folder of its own'],
        [
            "an issuer that nobody knows",
            { certificates: { issuer: "letsencrypt" } },
            'certificates.issuer: got "letsencrypt", wanted issuer: self-signed, provided or acme',
        ],
        [
            "a provided certificate without its file",
            { certificates: { issuer: "provided", chainFile: "nowhere.pem" } },
            "certificates.chainFile: nowhere.pem cannot be read as a PEM certificate",
        ],
        [
            "a provided certificate without its key",
            { certificates: { issuer: "provided", chainFile: "nowhere.pem" } },
            "certificateKey: issuer provided needs the private key",
        ],
        ["a port offset", { network: { portOffset: -1 } }, "network.portOffset: got -1, wanted 0 or more"],
        ["a boolean in quotes", { network: { ipv6: "yes" } }, 'network.ipv6: got "yes", wanted true or false'],
        [
            "one IPv4 address with IPv6",
            { network: { ipv6: true, bindAddress: "192.0.2.1" } },
            "network.bindAddress: got 192.0.2.1 together with ipv6: true, wanted 0.0.0.0 or 127.0.0.1",
        ],
        [
            "a subnet",
            { network: { subnet: "10.0.0.0/8" } },
            'network.subnet: got "10.0.0.0/8", wanted the first address of a private IPv4 subnet of 16 to 26 bits',
        ],
    ])("%s", (_, raw, expected) => {
        const found = problems(raw);
        expect(found.filter((line) => line.startsWith(expected))).toHaveLength(1);
    });

    test("all of them together, with a fix each", () => {
        const raw = {
            host: "Mail",
            hots: "x",
            domains: "example.com",
            version: "v9.9.9",
            profile: "forwarding",
            servers: [
                { name: "a", kind: "local" },
                { name: "a", kind: "local" },
            ],
            services: { imap: { memory: "512" } },
        };
        const keys = problems(raw).map((line) => line.split(":")[0]);
        expect(keys).toEqual(expect.arrayContaining(["host", "hots", "domains", "version", "servers", "services.imap.memory", "services.imap"]));
        expect(() => build(raw)).toThrow(/8 problems; nothing was created or changed\.\n( {2}- .*\n {6}fix: .*\n?){8}$/);
    });

    test("the secret of dns-01 may stay when another challenge or issuer takes over", () => {
        const servers = [{ name: "a", kind: "ssh", address: "192.0.2.1", hostKey: HOST_KEY }];
        for (const certificates of [{ issuer: "acme", email: "me@example.com" }, { issuer: "self-signed" }])
            expect(problems({ servers, certificates, acmeDnsCredential: "x" })).toEqual([]);
    });

    test("a domain twice is one problem, not one for each of its names", () => {
        const servers = [{ name: "a", kind: "ssh", address: "192.0.2.1", hostKey: HOST_KEY }];
        expect(problems({ servers, domains: ["example.com", "example.com"] })).toEqual([
            'domains: "example.com" stands there twice, wanted each mail domain once',
        ]);
    });

    test("a broken key hides only the checks that read it: dkim, zones, the token, acme and names are told in one round", () => {
        const servers = [{ name: "a", kind: "ssh", address: "192.0.2.1", hostKey: HOST_KEY }];
        const zones = [{ name: "example.com", id: "0123456789abcdef0123456789abcdef" }];
        const certificates = { issuer: "acme", email: "me@example.com", challenge: "dns-01" };
        const keys = (raw: object) => problems({ servers, certificates, dkim: { a: "next" }, ...raw }).map((line) => line.split(":")[0]);
        const dns = { provider: "cloudflare", zones };
        expect(keys({ dns, profile: "small", domains: ["other.org"] }).sort()).toEqual(
            ["acmeDnsCredential", "cloudflareToken", "dkim", "dns.zones", "profile"].sort(),
        );
        expect(keys({ dns: { ttl: "x" }, certificates: {} }).sort()).toEqual(["certificates.issuer", "dkim", "dns.ttl"]);
        expect(keys({ dkim: "x", dns, domains: ["example.com", "fe-bounces.example.com"] }).sort()).toEqual(
            ["acmeDnsCredential", "cloudflareToken", "dkim", "domains"].sort(),
        );
    });

    test.each(["10.89.7.5/24", "10.89.7.0/24/99", "8.8.8.0/24", "10.89.7.0/27", "300.1.1.0/24"])(
        "a subnet that Docker or the world would not like: %s",
        (subnet) => expect(problems({ network: { subnet } })).toHaveLength(1),
    );

    test("a DKIM key that is none", () => expect(problems({ dkimKey: "hello" })[0]).toMatch(/^dkimKey: is not an RSA private key/));

    test("an encrypted value is not echoed", () => {
        const secretly = { ...context, encrypted: new Set(["environment"]) };
        expect(() => buildSettings({ host: "mail.example.com", images: LOCK, environment: '{"PIN":12345678}' }, secretly)).toThrow(
            "environment.PIN: got an encrypted value, wanted text in quotes",
        );
    });

    test("the nearest key is named, at every level", () => {
        const found = fixes({
            ...{ hots: "x", dat: {}, dta: {}, dkm: {}, sshkey: "x", zzz: "x" },
            dns: { provder: "none", zone: [] },
            services: { imapp: {} },
            certificates: { issuer: "provided", chainFile: "x", chainfile: "x" },
            servers: [{ name: "a", kind: "local", hostkey: "x" }],
        });
        const near = Object.entries(found).map(([key, fix]) => [key, /^rename it to (\w+), or remove it/.exec(fix)?.[1]]);
        expect(Object.fromEntries(near)).toEqual({
            ...{ hots: "host", dat: "data", dta: "data", dkm: "dkim", sshkey: "sshKey", zzz: undefined },
            ...{ "dns.provder": "provider", "dns.zone": "zones", "services.imapp": "imap" },
            ...{ "certificates.chainfile": "chainFile", "servers[0].hostkey": "hostKey" },
        });
    });

    test.each(["dnssec", "dane", "tlsa"])("dns.%s is said of a zone", (key) =>
        expect(fixes({ dns: { [key]: true } })[`dns.${key}`]).toContain("dns.zones[].dnssec, such as zones: [{name: example.com, dnssec: true}]"),
    );

    test("a list or a map is mended in the stack file: pulumi config set takes none", () => {
        expect(
            fixes({
                ...{ domains: "firma.example", dkim: "default", network: "x", certificates: "acme", environment: [] },
                ...{ dns: { zones: "firma.example", keep: { "example.com TXT": "x" } }, servers: ["a"], services: { imap: "2g" } },
            }),
        ).toEqual({
            domains: "edit Pulumi.test.yaml, such as forwardemail:domains: [example.com]",
            dkim: "edit Pulumi.test.yaml, such as forwardemail:dkim: {default: active}",
            network: "edit Pulumi.test.yaml, such as forwardemail:network: {ipv6: true}",
            certificates: "edit Pulumi.test.yaml, such as forwardemail:certificates: {issuer: self-signed}",
            environment: 'edit Pulumi.test.yaml, such as forwardemail:environment: {NAME: "value"}',
            "dns.zones": "edit Pulumi.test.yaml, such as zones: [{name: example.com}]",
            'dns.keep["example.com TXT"]': 'edit Pulumi.test.yaml, such as example.com TXT: ["google-site-verification=…"]',
            "servers[0]": "edit Pulumi.test.yaml, such as - {name: main, kind: local}",
            "services.imap": "edit Pulumi.test.yaml, such as imap: {memory: 2g}",
        });
    });

    test("every list and map has an example, which is YAML of its form", () => {
        expect(listsAndMaps().sort()).toEqual(Object.keys(EXAMPLES).sort());
        for (const [key, example] of Object.entries(EXAMPLES)) expect([key, typeof parseYaml(example)]).toEqual([key, "object"]);
    });

    test("other fixes are commands that work: paths in quotes, text that Pulumi would make a number by hand, names renamed", () => {
        const key = { selector: "A B", publicKey: "A".repeat(200) };
        const found = fixes({
            domainRecords: { "firma.example": key },
            environment: { FOO: 1, "foo-bar": "1" },
            dkim: { "s.mail": "old" },
            profile: 1,
        });
        expect(found).toMatchObject({
            profile: "pulumi config set profile VALUE",
            'domainRecords["firma.example"].selector':
                "pulumi config set --path 'domainRecords[\"firma.example\"].selector' VALUE, or edit Pulumi.test.yaml",
            'dkim["s.mail"]': "pulumi config set --path 'dkim[\"s.mail\"]' VALUE, or edit Pulumi.test.yaml",
            "environment.FOO": 'edit Pulumi.test.yaml, such as FOO: "1"',
            environment: "rename it in Pulumi.test.yaml, or remove it",
        });
    });

    test("a secret of the wrong form is described, never shown", () => {
        const value = "p4ss,word-that-is-not-fit";
        const [problem] = problems({ helperEncryptionKey: value });
        expect(problem).toMatch(/^helperEncryptionKey: got 25 characters that do not fit, wanted exactly 32 letters and digits/);
        expect(problem).not.toContain(value);
    });

    test("a secret in clear text is refused", () => {
        const clear = { ...context, encrypted: new Set<string>() };
        const raw = { host: "mail.example.com", images: LOCK, srsSecret: "Abcdefghijklmnopqrstuvwxyz012345" };
        expect(() => buildSettings(raw, clear)).toThrow("srsSecret: stands in clear text in the stack file, wanted it encrypted");
    });

    test("a hexadecimal key that reads as a number is refused: the application would turn it into one", () => {
        expect(problems({ txtEncryptionKey: "1".repeat(32) })).toHaveLength(1);
        expect(problems({ txtEncryptionKey: `a${"1".repeat(31)}` })).toEqual([]);
    });
});

describe("a stack file", () => {
    const good = { "forwardemail:host": "mail.example.com", "forwardemail:images": JSON.parse(LOCK) as unknown };

    test.each([
        ["a value that begins with *", "config:\n  a:\n    - *.firma.example\n", /\*\.firma\.example .*\(line 3\)\. Fix: .*wants quotes/],
        ["a value that begins with @", "config:\n  a: @firma\n", /reserved character @ \(line 2\)\. Fix: .*wants quotes/],
        ["a value that ends with :", "config:\n  a: firma:\n", /Nested mappings .*\(line 2\)\. Fix: .*wants quotes/],
        ["a tab", "config:\n\ta: b\n", /Tabs .*\(line 2\)\. Fix: write two spaces/],
        ["a key twice", "config:\n  a: b\n  a: c\n", /unique \(line 3\)\. Fix: .*keep one/],
    ])("that is not YAML: %s", (_, text, expected) => {
        expect(() => parseStackFile("Pulumi.firma.yaml", text)).toThrow(/^Pulumi\.firma\.yaml is not YAML: /);
        expect(() => parseStackFile("Pulumi.firma.yaml", text)).toThrow(expected);
    });

    test("without a map below config", () => {
        for (const text of ["config: x", "config:\n  - a", "x"])
            expect(() => parseStackFile("Pulumi.firma.yaml", text)).toThrow(/^Pulumi\.firma\.yaml has no map below config:/);
        expect(parseStackFile("Pulumi.firma.yaml", "config:\n")).toEqual({ config: {} });
    });

    test("a list or a map with nothing under its name is not given; text and numbers with nothing are mistakes", () => {
        const empty = { "forwardemail:network": null, "forwardemail:domains": null, "forwardemail:dns": { zones: null, dmarc: null } };
        expect(settingsFrom("test", { ...good, ...empty }).network.portOffset).toBe(0);
        expect(build({ network: "" }).network.portOffset).toBe(0); // as Pulumi hands it over
        expect(() => settingsFrom("test", { ...good, "forwardemail:network": { portOffset: null } })).toThrow("network.portOffset: got null");
    });

    test("what is not given is not written to a stack file of our own: Pulumi would refuse it", () => {
        const folder = mkdtempSync(path.join(tmpdir(), "settings-"));
        const { directory } = prepareWorkspace("x", { ...good, "forwardemail:network": null }, folder);
        expect(parseYaml(readFileSync(path.join(directory, "Pulumi.x.yaml"), "utf8"))).toEqual({ config: good });
        rmSync(folder, { recursive: true });
    });

    test("a namespace that is nearly ours is named; others are not ours to judge", () => {
        const others = { "forward-email:dns": {}, "Forwardmail:host": { secure: "x" }, "aws:region": "eu-central-1" };
        const said =
            /2 problems.*\n.*forward-email:dns: got the namespace forward-email, wanted forwardemail\n.*rename it to forwardemail:dns\n.*Forwardmail:host/;
        expect(() => settingsFrom("test", { ...good, ...others })).toThrow(said);
    });

    test("the program itself names such a namespace too", async () => {
        await pulumi.runtime.setMocks({ newResource: ({ name, inputs }) => ({ id: name, state: inputs }), call: () => ({}) }, "forwardemail", "test");
        pulumi.runtime.setAllConfig({
            "forwardemail:host": "mail.example.com",
            "forwardemail:images": LOCK,
            "forwardmail:host": "x",
            "aws:region": "x",
        });
        expect(() => loadSettings(PROJECT)).toThrow(
            "a problem; nothing was created or changed.\n  - forwardmail:host: got the namespace forwardmail",
        );
    });
});

test("an example's keys are named, all of them, and so is what Pulumi itself refuses", () => {
    const key = `ssh-ed25519 AAAA${"Example".repeat(9)}`;
    const servers = [{ name: "a", hostKey: key, aws: { authorizedKeys: [key, HOST_KEY] } }];
    const found = () =>
        refusePlaceholders("prod", { "forwardemail:servers": servers, "forwardemail:network": null, "forwardemail:dns": { zones: null } });
    expect(found).toThrow(/^The config of stack "prod" has 3 problems/);
    for (const at of ["servers[0].hostKey: got the key of the example", "servers[0].aws.authorizedKeys[0]: got the key", "network: has nothing"])
        expect(found).toThrow(`\n  - ${at}`);
    refusePlaceholders("prod", { "forwardemail:servers": [{ hostKey: HOST_KEY }] });
});

test("Pulumi.yaml and the schema know the same keys", () => {
    expect(Object.keys(readProject().config).sort()).toEqual(Object.keys(schema.shape).sort());
    const text = readFileSync(`${PROJECT}/Pulumi.yaml`, "utf8");
    for (const key of SECRET_KEYS) expect(text).toContain(key);
});

test("parsing never throws anything but SettingsError", () => {
    const key = fc.constantFrom(...Object.keys(schema.shape), "zzz");
    fc.assert(
        fc.property(fc.dictionary(key, fc.oneof(fc.json(), fc.string())), (raw) => {
            try {
                buildSettings(raw, context);
            } catch (error) {
                expect(error).toBeInstanceOf(SettingsError);
            }
        }),
        { numRuns: 500 },
    );
});

test("the newest release is by number, not by text, and a pre-release only for want of another", () => {
    expect(newest(["v2.9.0", "v2.15.0", "v2.15.1-web500", "v2.2.30"])).toBe("v2.15.0");
    expect(newest(["v1.0.0-rc1"])).toBe("v1.0.0-rc1");
    expect(newest(["7.0", "7.0.28"])).toBe("7.0.28");
});

/** Mistakes of DNS and certificates on a server that is reached over SSH, each with what is said of it. */
function dnsMistakes(): Array<[string, Record<string, unknown>, string]> {
    const vps = { name: "a", kind: "ssh", address: "192.0.2.1", hostKey: HOST_KEY };
    const on = (keys: Record<string, unknown>, server: Record<string, unknown> = {}) => ({ servers: [{ ...vps, ...server }], ...keys });
    const acme = (keys: Record<string, unknown> = {}, more: Record<string, unknown> = {}) =>
        on({ certificates: { issuer: "acme", email: "me@example.com", ...keys }, ...more });
    const dns01 = (keys: Record<string, unknown>, more: Record<string, unknown> = {}) => acme({ challenge: "dns-01", ...keys }, more);
    const CLOUDFLARE = "0123456789abcdef0123456789abcdef";
    return [
        [
            "a domain in no zone",
            on({ domains: ["other.org"], dns: { zones: [{ name: "example.com" }] } }),
            "dns.zones: other.org is in none of them: example.com",
        ],
        [
            "a zone without its id",
            on({ dns: { provider: "route53", zones: [{ name: "example.com" }] } }),
            "dns.zones[0].id: is missing, wanted the id that route53",
        ],
        [
            "another provider's id",
            on({ dns: { provider: "route53", zones: [{ name: "example.com", id: CLOUDFLARE }] } }),
            `dns.zones[0].id: got ${CLOUDFLARE}, wanted the id that route53`,
        ],
        ["no zones for a provider", on({ dns: { provider: "route53" } }), "dns.zones: is empty, and route53 wants the id of each zone"],
        [
            "Cloudflare without a token",
            on({ dns: { provider: "cloudflare", zones: [{ name: "example.com", id: CLOUDFLARE }] } }),
            "cloudflareToken: is missing, wanted a token of Cloudflare's API",
        ],
        [
            "others' values where they are left alone",
            on({ dns: { keep: { "example.com TXT": ["x"] } } }),
            "dns.keep: means nothing but with provider route53",
        ],
        ["records of this machine", { dns: { provider: "zone-file" } }, "servers[0].ipv4: is missing, and dns.provider zone-file writes it"],
        ["records of a host that is only named", on({}, { address: "vps.example.com" }), "servers[0].ipv4: is missing"],
        ["an IPv6 address that hides senders", on({}, { ipv6: "2001:db8::1" }), "servers[0].ipv6: got an address while network.ipv6 is false"],
        [
            "a domain that is a service's name",
            on({ domains: ["example.com", "fe-bounces.example.com"] }),
            "domains: fe-bounces.example.com would be a name",
        ],
        [
            "a policy that holds senders to a certificate that nobody trusts",
            acme({ staging: true }, { dns: { mtaSts: { mode: "enforce" } } }),
            "dns.mtaSts.mode: got enforce with certificates.staging: true, whose certificate nobody trusts",
        ],
        ["a policy that nobody would read", on({ dns: { mtaSts: { mode: "enforce" } } }), "dns.mtaSts.mode: got enforce with issuer self-signed"],
        [
            "mail clients without mailboxes",
            on({ profile: "forwarding", dns: { autoconfig: true } }),
            "dns.autoconfig: got true with profile forwarding",
        ],
        ["no selector that signs", { dkim: { a: "next" } }, "dkim: got no active selector, wanted one"],
        ["two selectors that sign", { dkim: { a: "active", b: "active" } }, "dkim: got 2 active selectors: a, b, wanted one"],
        ["a state that nobody knows", { dkim: { default: "old" } }, 'dkim.default: got "old", wanted next, active or retired'],
        [
            "the application's selector",
            on({ domainRecords: { "mail.example.com": { selector: "default", publicKey: "A".repeat(200) } } }),
            "dkim.default: is the application's own selector for mail.example.com",
        ],
        [
            "acme on this machine",
            { certificates: { issuer: "acme", email: "me@example.com" } },
            "certificates.issuer: got acme on a server that the program does not set up",
        ],
        [
            "a wildcard by http-01",
            acme({ extraNames: ["*.example.com"] }),
            "certificates.extraNames: got *.example.com with http-01, which cannot show a wildcard",
        ],
        ["http-01 on another port", acme({}, { network: { portOffset: 10 } }), "certificates.challenge: got http-01 with network.portOffset"],
        [
            "staging of another authority",
            acme({ staging: true, directory: "https://ca.example/dir" }),
            "certificates.staging: got true together with a directory",
        ],
        [
            "more names than one certificate takes",
            acme({}, { domains: Array.from({ length: 31 }, (_, at) => `d${at}.example.com`) }),
            "domains: make 101 names for one certificate, and authorities take 100 at most",
        ],
        ["roots that are none", acme({ rootsFile: "package.json" }), "certificates.rootsFile: package.json cannot be read as PEM certificates"],
        ["dns-01 without a writer", dns01({}), "certificates.dnsProvider: is missing, and dns-01 writes a record"],
        ["dns-01 without credentials", dns01({ dnsProvider: "cloudflare" }), "acmeDnsCredential: is missing, wanted the API token"],
        ["dns-01 without a name server", dns01({ dnsProvider: "rfc2136" }), "certificates.nameserver: is missing, and dns-01 by rfc2136 needs it"],
        ...Object.entries({ dnsProvider: "rfc2136", nameserver: "ns1.example.com:53", tsigKey: "k", accessKeyId: "A".repeat(20) }).map(
            ([key, value]): [string, Record<string, unknown>, string] => [
                `${key} without dns-01`,
                acme({ [key]: value }),
                `certificates.${key}: means nothing with challenge http-01`,
            ],
        ),
        [
            "another name in no zone",
            dns01({ extraNames: ["www.example.com", "*.other.org"], dnsProvider: "cloudflare" }, { dns: { zones: [{ name: "example.com" }] } }),
            "certificates.extraNames: *.other.org is in none of dns.zones: example.com",
        ],
        ["backups without a bucket", backup({ bucket: undefined }), "backups.bucket: is missing, and provider s3 needs it"],
        ["backups without an endpoint", backup({ endpoint: undefined }), "backups.endpoint: is missing, and provider s3 needs it"],
        ["backups without a key", backup({ accessKeyId: undefined }), "backups.accessKeyId: is missing, and provider s3 needs it"],
        ["backups without its secret", { backups: BACKUPS }, "backupSecretKey: is missing, wanted the secret of backups.accessKeyId"],
        ["backups of no provider", { backups: { bucket: "sets" } }, "backups.provider: is missing, wanted s3"],
        [
            "a bucket in the endpoint",
            backup({ endpoint: "https://s3.example.com/sets" }),
            'backups.endpoint: got "https://s3.example.com/sets", wanted a URL without a path',
        ],
        [
            "a key to prune without its secret",
            backup({ pruneAccessKeyId: "OTHER" }),
            "backupPruneSecretKey: is missing, wanted the secret of backups.pruneAccessKeyId",
        ],
        [
            "a secret to prune without its key",
            backup({}, { backupPruneSecretKey: "x" }),
            "backups.pruneAccessKeyId: is missing, wanted the id of the key whose secret is backupPruneSecretKey",
        ],
        ["a set of another form", backup({}, { restoreFrom: "yesterday" }), 'restoreFrom: got "yesterday", wanted latest, the id of a set such as'],
        ["a set that nothing can open", backup({}, { restoreFrom: "latest" }), "backupPassphrase: is missing, wanted the passphrase that the set"],
        ["a canary that cannot sing", backup({ canary: "me@example.com" }), "backupCanaryPassword: is missing, wanted the password of the alias"],
        ["a password for no canary", backup({}, { backupCanaryPassword: "x" }), "backups.canary: is missing, wanted the address of the alias"],
        [
            "a canary without mailboxes",
            backup({ canary: "me@example.com" }, { profile: "forwarding", backupCanaryPassword: "x" }),
            "backups.canary: means nothing with profile forwarding",
        ],
        ["backups nowhere", { backups: { every: "1h" } }, "backups.provider: is missing, wanted s3, aws or r2"],
        ["versions where there are none", backup({ keepVersionsDays: 30 }), "backups.keepVersionsDays: means nothing with provider s3"],
        ["a set from nowhere", { restoreFrom: "latest" }, "restoreFrom: there are no backups to restore from"],
        ["a passphrase for nothing", { backupPassphrase: "x" }, "backupPassphrase: is given, but there are no backups"],
        [
            "an alert before the next set is due",
            backup({ every: "12h", rpo: 6 }),
            "backups.rpo: got 6 hours, wanted no less than backups.every (12h)",
        ],
        [
            "a time that restic does not know",
            backup({ keep: { daily: "2 weeks" } }),
            'backups.keep.daily: got "2 weeks", wanted a whole number of hours',
        ],
        ["metrics on no server", { metrics: { retention: "90d" } }, "metrics.server: is missing, wanted a name of servers: main"],
        ["metrics on another server", { metrics: { server: "vps" } }, 'metrics.server: got "vps", wanted a name of servers: main'],
        [
            "a time that Prometheus does not know",
            { metrics: { server: "main", retention: "6m" } }, // minutes
            'metrics.retention: got "6m", wanted a whole number of days, weeks or years',
        ],
        ["metrics on a service's port", { metrics: { server: "main", port: 443 } }, "metrics.port: got 443, wanted a port from 1024"],
        [
            "a port that the offset makes too high",
            { metrics: { server: "main" }, network: { portOffset: 60000 } },
            "metrics.port: got 9090, which is 69090 with network.portOffset, wanted a port up to 5535",
        ],
        [
            "an Alertmanager without a scheme",
            { metrics: { server: "main", alertmanager: "192.0.2.9:9093" } },
            'metrics.alertmanager: got "192.0.2.9:9093", wanted a URL without a path, such as http://',
        ],
        ["secrets of a restore that were edited", { restoredSecrets: "{" }, "restoredSecrets: is not JSON"],
        [
            "an authority without TLS",
            acme({ directory: "http://ca.example/dir" }),
            'certificates.directory: got "http://ca.example/dir", wanted an https URL',
        ],
    ];
}
