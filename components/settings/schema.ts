import * as net from "node:net";
import { z } from "zod";
import { EVERYWHERE } from "../server/host/firewall";
import { SERVICE_NAMES } from "../services/catalogue";
import { backups, restoreFrom } from "./backupSchema";
import { certificates } from "./certificateSchema";
import { dkim, dns, domainRecords } from "./dnsSchema";
import { image } from "./imageSchema";
import { metrics } from "./metrics";
import { dnsName } from "./names";
import { bans, networks, server } from "./serverSchema";

// The shape of a stack's config. Each message ends the sentence "got X, wanted …".
// Pulumi.yaml declares the same keys for `pulumi config` and the editor; a unit test holds the two together.

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

const PORT = "a TCP port such as 8080, or a UDP port such as 51820/udp";
const isPort = (port: number | string) =>
    (typeof port === "number" || /^\d+\/udp$/.test(port)) && parseInt(`${port}`) >= 1 && parseInt(`${port}`) <= 65535;

const imageTag = (what: string, more = "") =>
    z.string("a tag in quotes").optional().describe(`${what}, or TAG@sha256:DIGEST to stay there. Default, the newest in the lock file.${more}`);

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
                mongodb: imageTag("Tag of mongodb", " Another major release is taken only when it is named here, one at a time."),
                redis: imageTag("Tag of redis", " Another major release is taken only when it is named here."),
                nginx: imageTag("Tag of nginx"),
                lego: imageTag("Tag of lego, the ACME client"),
                restic: imageTag("Tag of restic, which makes backups"),
            },
            "a map with lockFile, mongodb, redis, nginx, lego, restic",
        )
        .prefault({}),
    image,
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
    dns: dns.prefault({}),
    dkim,
    domainRecords,
    firewall: z
        .strictObject(
            {
                sshFrom: networks.default(EVERYWHERE).describe("Networks in CIDR form that may connect to SSH."),
                allow: z
                    .array(z.union([z.int(), z.string()], PORT).refine(isPort, PORT), "a list of ports")
                    .default([])
                    .describe("Ports of other programs and containers on the host that stay open: 8080 for TCP, 51820/udp for UDP."),
                bans: bans.prefault({}).describe("Who guesses passwords of SSH, SMTP, IMAP or POP3 is closed out for a while."),
            },
            "a map with sshFrom, allow, bans",
        )
        .prefault({}),
    data: z
        .strictObject(
            {
                directory: z
                    .string("an absolute path")
                    .regex(
                        /^(?!\/(bin|boot|dev|etc|lib|proc|root|run|sbin|sys|tmp|usr|var)$)(?!.*\/\.)\/[\w./-]*[\w-]$/,
                        "a folder of its own, such as /srv/forwardemail: letters, digits, . _ - and /",
                    )
                    .optional()
                    .describe("Folder on the host for data and keys. Default, named Docker volumes. Move the files before you change it."),
                device: z
                    .string("a device path")
                    .regex(
                        /^\/dev\/(disk\/by-[a-z]+|mapper|md)\/[\w.:@+-]+$/,
                        "a device path that stays, such as /dev/disk/by-id/scsi-0HC_Volume_1234567",
                    )
                    .optional()
                    .describe(
                        "ssh: disk for data.directory. A blank one gets an XFS file system; one with XFS or ext4 is used as it is; anything else is refused.",
                    ),
                adopt: z.boolean("true or false").default(false).describe("Take over data that carries no mark of a deployment."),
            },
            "a map with directory, device, adopt",
        )
        .prefault({}),
    backups,
    restoreFrom,
    metrics,
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
