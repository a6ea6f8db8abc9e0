import { z } from "zod";
import { BLOCK_LISTS } from "../server/host/blockLists";
import { REACH } from "../server/host/preflight";
import { canonical, dnsName } from "./names";

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

/** AWS refuses an IPv4 network whose host bits are not zero, and whoever writes one means something else. */
function hasNoHostBits(cidr: string): boolean {
    if (cidr.includes(":")) return true;
    const [address, bits] = cidr.split("/");
    const number = address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
    return number % 2 ** (32 - Number(bits)) === 0;
}

const network = z
    .union([z.cidrv4(), z.cidrv6()], "a network such as 203.0.113.0/24")
    .refine(hasNoHostBits, "the first address of a network, such as 203.0.113.0/24; one address alone is 203.0.113.7/32");
export const networks = z.array(network, "a list of networks").min(1, "at least one network");

/** More than ten would never come about over SMTP, IMAP and POP3: from the tenth on the application refuses an address itself, and counts no more. */
export const bans = z.strictObject(
    {
        enabled: z.boolean("true or false").default(true).describe("Close out addresses that guess passwords, with fail2ban."),
        failures: z
            .int("a whole number")
            .min(3, "3 or more")
            .max(10, "10 or less: then the application itself refuses the address")
            .default(8)
            .describe("How many log-ins may fail within an hour. Over SMTP, IMAP and POP3 the same wrong password counts once."),
        minutes: z
            .int("a whole number of minutes")
            .min(1, "1 or more")
            .max(1440, "1440 or less: fail2ban forgets older ones")
            .default(60)
            .describe("For how long an address is closed out."),
        exempt: z
            .array(network, "a list of networks")
            .default([])
            .describe("Networks in CIDR form that never are, such as your office; private networks and those of firewall.sshFrom are not either."),
    },
    "a map with enabled, failures, minutes, exempt",
);

/** Instances before Nitro name their disks otherwise, and are dear for what they do. */
const XEN = /^(t1|t2|m[1-4]|c[134]|r[34]|x1e?|d2|i[23]|h1|g[23]|p[23]|f1)\./;

/** An instance on AWS, and what belongs to it. */
const aws = z.strictObject(
    {
        region: z
            .string("a region")
            .regex(/^(?!cn-|us-gov-|us-iso)[a-z]{2}(-[a-z]+)+-\d$/, "a region such as eu-central-1, not of China or a government")
            .describe("Region of everything. Address and volume cannot leave it: npm run down with --delete-data goes before a change."),
        authorizedKeys: z
            .array(
                z
                    .string("a public key")
                    .regex(/^(ssh-ed25519|ssh-rsa|ecdsa-sha2-\S+|sk-\S+) [A-Za-z0-9+/]+={0,2}( .*)?$/, "a public key such as ssh-ed25519 AAAA…"),
                "a list of public keys",
            )
            .min(1, "at least one public key")
            .describe(
                "Public SSH keys that may log in: yours (~/.ssh/id_ed25519.pub), or that of the secret sshKey. Read when the instance is made: later, change ~/.ssh/authorized_keys there, or replace the instance.",
            ),
        instanceType: z
            .string("an instance type")
            .regex(/^[a-z][a-z0-9-]*\.[a-z0-9]+$/, "an instance type such as t4g.medium")
            .refine((type) => !XEN.test(type), "a type of the Nitro system such as t4g.medium or t3.medium")
            .default("t4g.medium")
            .describe(
                "Size, and with it the architecture: t4g and other names with a g after the number are arm64. A change reboots the instance; to another architecture it replaces it.",
            ),
        image: z
            .enum(["debian-12", "debian-13", "ubuntu-22.04", "ubuntu-24.04"], "debian-12, debian-13, ubuntu-22.04 or ubuntu-24.04")
            .default("debian-12")
            .describe(
                "System of the instance: the newest image of it when the instance is made, and never another by itself. A change replaces the instance.",
            ),
        ami: z
            .string("an AMI")
            .regex(/^ami-[0-9a-f]{8,17}$/, "an AMI such as ami-0123456789abcdef0")
            .optional()
            .describe("An image of that system by its id. A change replaces the instance; the data volume goes over to the new one."),
        vpc: z
            .enum(["own", "default"], "own or default")
            .default("own")
            .describe(
                "own: a network of its own. default: the account's default VPC, in the default subnet of zone. A change replaces the instance.",
            ),
        zone: z
            .string("an availability zone")
            .regex(/^[a-z]{2}(-[a-z]+)+-\d[a-z]$/, "an availability zone such as eu-central-1a")
            .optional()
            .describe("Availability zone; default, AWS chooses. A volume cannot leave its zone."),
        rootGb: z.int("a whole number").min(10, "10 or more").max(1000, "1000 or less").default(30).describe("Size of the root volume in GiB."),
        dataGb: z
            .int("a whole number")
            .min(10, "10 or more")
            .max(16384, "16384 or less")
            .default(50)
            .describe("Size of the data volume in GiB. It can only grow."),
        reverseDns: z
            .boolean("true or false")
            .default(false)
            .describe("Make mx.HOST the reverse name of the address. mx.HOST must lead to the address before, or AWS refuses."),
        outbound25: z
            .enum(["closed", "open"], "closed or open")
            .default("closed")
            .describe(
                "open: AWS has lifted its block of outbound port 25; the preflight holds it to that. Until then no mail leaves, and every preview says so.",
            ),
    },
    "a map with region, authorizedKeys and more",
);

export const server = z.strictObject(
    {
        name: z
            .string("a name")
            .regex(/^[a-z][a-z0-9-]{0,30}$/, "a short lower-case name, such as main")
            .describe("Name of the server in resources."),
        kind: z
            .enum(["local", "ssh", "aws"], "local, ssh or aws")
            .describe("local: this machine's Docker. ssh: a host that is reached over SSH. aws: an instance that the program makes on AWS."),
        dockerHost: z
            .string("a Docker address")
            .regex(/^unix:\/\/\/.+/, "a local socket such as unix:///var/run/docker.sock")
            .optional()
            .describe("Docker's socket on the server. Default, unix:///var/run/docker.sock."),
        ...sshKeys,
        ipv4: z.ipv4("an IPv4 address").optional().describe("ssh: public IPv4 address, for DNS. Default, address where it is one."),
        ipv6: z
            .ipv6("an IPv6 address")
            .overwrite(canonical)
            .optional()
            .describe("ssh: public IPv6 address, for DNS; needs network.ipv6. Default, none: no AAAA record is written."),
        reach: z
            .array(z.string("host:port").regex(/^[a-zA-Z0-9.-]+:\d{1,5}$/, "host:port, such as ghcr.io:443"), "a list of host:port")
            .default(REACH)
            .describe("What the host must be able to connect to, looked at before the first change."),
        blockLists: z
            .array(dnsName, "a list of DNS names")
            .default(BLOCK_LISTS)
            .describe("Block lists (DNSBL) that are asked about the server's IPv4 addresses before the first change."),
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
        aws: aws.optional().describe("aws: the instance and what belongs to it."),
        setUp: z
            .boolean("true or false")
            .default(true)
            .describe("ssh: set the host up: updates, kernel, sshd, Docker, firewall. False where you do that yourself; Docker must be there then."),
        engine: z
            .enum(["distribution", "docker"], "distribution or docker")
            .default("distribution")
            .describe("ssh: where Docker comes from when the host has none: the distribution's package, or Docker's own repository."),
    },
    "a map with name and kind",
);
