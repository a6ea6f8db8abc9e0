import * as net from "node:net";
import { z } from "zod";
import { REACH } from "../server/host/preflight";
import { SERVICE_NAMES } from "../services/catalogue";

// The shape of a stack's config. Each message ends the sentence "got X, wanted …".
// Pulumi.yaml declares the same keys for `pulumi config` and the editor; a unit test holds the two together.

/** A DNS name of at least two labels, lower case, no trailing dot (RFC 1035 §2.3.1, RFC 1123 §2.1). */
const DNS_NAME = /^(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])$/;
const dnsName = z.string("a DNS name in quotes").regex(DNS_NAME, "a DNS name such as mail.example.com: lower case, no scheme, no trailing dot");

/** Memory as Docker writes it: a whole number with a unit, `512m` or `2g`. In MiB after parsing. */
const memory = z
    .string("a number with a unit, such as 512m or 2g")
    .regex(/^[1-9][0-9]{0,5}[mg]$/, "a whole number with a unit, such as 512m or 2g")
    .transform((text) => Number(text.slice(0, -1)) * (text.endsWith("g") ? 1024 : 1))
    .refine((megabytes) => megabytes >= 64, "64m or more");

/** Room for two of each routed service in the lower half, and a private range: a public one would cut off its owner. */
const subnet4 = z.string("an IPv4 subnet such as 10.89.7.0/24").refine((text) => {
    const match = /^(\d+)\.(\d+)\.(\d+)\.(\d+)\/(1[6-9]|2[0-6])$/.exec(text);
    if (!match || !net.isIPv4(text.split("/")[0])) return false;
    const [a, b, c, d, bits] = match.slice(1).map(Number);
    const isPrivate = a === 10 || (a === 172 && b >= 16 && b < 32) || (a === 192 && b === 168);
    return isPrivate && (((a * 256 + b) * 256 + c) * 256 + d) % 2 ** (32 - bits) === 0;
}, "the first address of a private IPv4 subnet of 16 to 26 bits, such as 10.89.7.0/24");

const serviceName = z.enum(SERVICE_NAMES, `one of ${SERVICE_NAMES.join(", ")}`);

const sshKeys = {
    address: z.union([z.ipv4(), z.ipv6(), dnsName], "an IP address or a DNS name").optional().describe("ssh: IPv4, IPv6 or DNS name of the host."),
    port: z.int("a port").min(1, "a port from 1").max(65535, "a port up to 65535").default(22).describe("ssh: its SSH port."),
    user: z
        .string("a user name")
        .regex(/^[a-z_][a-z0-9_-]{0,31}$/, "a user name such as root or debian")
        .default("root")
        .describe("ssh: root, or a user who may use sudo without a password."),
    hostKey: z
        .string("a public host key")
        .regex(/^(ssh-ed25519|ecdsa-sha2-nistp(256|384|521)|ssh-rsa) [A-Za-z0-9+/]{40,}={0,2}$/, "a public host key such as ssh-ed25519 AAAA…")
        .optional()
        .describe("ssh: public host key, as ssh-keyscan shows it; a server with another one is refused."),
};

const server = z.strictObject(
    {
        name: z
            .string("a name")
            .regex(/^[a-z][a-z0-9-]{0,30}$/, "a short lower-case name, such as main")
            .describe("Name of the server in resources."),
        kind: z
            .enum(["local", "ssh", "aws"], "local or ssh (aws: not available yet)")
            .describe("local: this machine's Docker. ssh: a host that is reached over SSH. aws: not available yet."),
        dockerHost: z
            .string("a Docker address")
            .regex(/^unix:\/\/\/.+/, "a local socket such as unix:///var/run/docker.sock")
            .optional()
            .describe("Docker's socket on the server. Default, unix:///var/run/docker.sock."),
        ...sshKeys,
        reach: z
            .array(z.string("host:port").regex(/^[a-zA-Z0-9.-]+:\d{1,5}$/, "host:port, such as ghcr.io:443"), "a list of host:port")
            .default(REACH)
            .describe("What the host must be able to connect to, looked at before the first change."),
        jump: z
            .strictObject(
                {
                    ...sshKeys,
                    address: sshKeys.address.unwrap().describe("IPv4, IPv6 or DNS name of the host between."),
                    hostKey: sshKeys.hostKey.unwrap().describe("Its public host key."),
                },
                "a map with address, hostKey, user and port",
            )
            .optional()
            .describe("ssh: a host that the server is reached through, with the same key."),
        setUp: z
            .boolean("true or false")
            .default(true)
            .describe("ssh: set the host up: updates, kernel, sshd, Docker, firewall. False where you do that yourself; Docker must be there then."),
        engine: z
            .enum(["distribution", "docker"], "distribution or docker")
            .default("distribution")
            .describe("ssh: where Docker comes from when the host has none: the distribution's package, or Docker's own repository."),
        services: z
            .union([z.literal("all"), z.array(serviceName)], `"all" or a list of services`)
            .default("all")
            .describe("Services placed there: all, or a list."),
    },
    "a map with name, kind and services",
);

const certificates = z.discriminatedUnion(
    "issuer",
    [
        z.strictObject({ issuer: z.literal("self-signed") }),
        z.strictObject({
            issuer: z.literal("provided"),
            chainFile: z
                .string("the path of a PEM file: certificate first, then its chain")
                .describe("PEM file: certificate, then its chain; for every public name. Its key is the secret certificateKey."),
        }),
    ],
    "issuer: self-signed or provided (acme: not available yet)",
);

export const schema = z.strictObject({
    // sqlite-bree.HOST and the like are host names of containers, which Linux limits to 64 bytes.
    host: dnsName.max(56, "56 characters or fewer"),
    domains: z.array(dnsName, "a list of DNS names").default([]),
    profile: z.enum(["full", "forwarding"], "full or forwarding").default("full"),
    version: z
        .string("a release such as v2.15.0, or latest")
        .regex(/^(latest|v\d+\.\d+\.\d+(-[\w.]+)?)$/, "a release such as v2.15.0, or latest")
        .default("latest"),
    images: z
        .strictObject(
            {
                lockFile: z.string("a path").default("images.lock.json").describe("File with known releases and their digests."),
                mongodb: z
                    .string("a tag in quotes")
                    .optional()
                    .describe("Tag of mongodb. Default, the newest in the lock file. Another major release is taken only when it is named here."),
                redis: z
                    .string("a tag in quotes")
                    .optional()
                    .describe("Tag of redis. Default, the newest in the lock file. Another major release is taken only when it is named here."),
                nginx: z.string("a tag in quotes").optional().describe("Tag of nginx. Default, the newest in the lock file."),
            },
            "a map with lockFile, mongodb, redis, nginx",
        )
        .prefault({}),
    servers: z
        .array(server, "a list of servers")
        .default([])
        .transform((list) => (list.length > 0 ? list : [server.parse({ name: "main", kind: "local" })])),
    network: z
        .strictObject(
            {
                ipv6: z
                    .boolean("true or false")
                    .default(false)
                    .describe("IPv6 inside and outside. A change replaces the network and every container."),
                portOffset: z
                    .int("a whole number")
                    .min(0, "0 or more")
                    .max(64000, "64000 or less")
                    .default(0)
                    .describe("Added to every published port."),
                bindAddress: z
                    .ipv4("an IPv4 address of the server, such as 127.0.0.1")
                    .default("0.0.0.0")
                    .describe("Address of the host that ports are published on."),
                subnet: subnet4
                    .optional()
                    .describe(
                        "Private IPv4 subnet of the bridge network. Default, derived from the stack's name. A change replaces the network and every container.",
                    ),
            },
            "a map with ipv6, portOffset, bindAddress, subnet",
        )
        .prefault({}),
    certificates: certificates.default({ issuer: "self-signed" }),
    firewall: z
        .strictObject(
            {
                sshFrom: z
                    .array(z.union([z.cidrv4(), z.cidrv6()], "a network such as 203.0.113.0/24"), "a list of networks")
                    .min(1, "at least one network")
                    .default(["0.0.0.0/0", "::/0"])
                    .describe("Networks in CIDR form that may connect to SSH."),
                allow: z
                    .array(z.int("a port").min(1, "a port from 1").max(65535, "a port up to 65535"), "a list of ports")
                    .default([])
                    .describe("TCP ports of other programs and containers on the host that stay open."),
            },
            "a map with sshFrom, allow",
        )
        .prefault({}),
    data: z
        .strictObject(
            {
                directory: z
                    .string("an absolute path")
                    .regex(/^\/[^:]+[^/:]$/, "an absolute path without a colon, such as /srv/forwardemail")
                    .optional()
                    .describe("Folder on the host for data and keys. Default, named Docker volumes. Move the files before you change it."),
                adopt: z.boolean("true or false").default(false).describe("Take over data that carries no mark of a deployment."),
            },
            "a map with directory, adopt",
        )
        .prefault({}),
    services: z
        .partialRecord(
            serviceName,
            z.strictObject({ memory: memory.optional().describe("Memory limit with a unit, such as 512m or 2g.") }, "a map with memory"),
            "a map from service to its overrides",
        )
        .default({}),
    environment: z
        .record(
            z.string().regex(/^[A-Z][A-Z0-9_]*$/, "a name of capital letters, digits and underscores"),
            z.string("text in quotes"),
            "a map from variable to text",
        )
        .default({}),
    // mongod warns below 64000; a host whose own limit is lower cannot give more than it has.
    openFiles: z.int("a whole number").min(1024, "1024 or more").max(1048576, "1048576 or less").default(65536),
    startTimeout: z.int("a whole number of seconds").min(10, "10 or more").max(1800, "1800 or less").default(180),
});

export type Config = z.output<typeof schema>;
