import { BlockList, isIPv6 } from "node:net";
import { Finding, unknown } from "./check";
import type { World } from "./world";

// What the deployment's own MX wrote into a mail that it took.

/** Addresses whose owner upstream trusts: whoever hides behind one is on its allow list (helpers/regex-localhost.js). */
const PRIVATE = new BlockList();
for (const [network, bits] of [
    ["10.0.0.0", 8],
    ["172.16.0.0", 12],
    ["192.168.0.0", 16],
    ["100.64.0.0", 10],
    ["127.0.0.0", 8],
] as const)
    PRIVATE.addSubnet(network, bits);
for (const [network, bits] of [
    ["fc00::", 7],
    ["fe80::", 10],
    ["::1", 128],
] as const)
    PRIVATE.addSubnet(network, bits, "ipv6");

/** Headers of this name, each on one line (RFC 5322 §2.2.3); the newest is the first. */
function headers(source: Buffer, name: string): string[] {
    const [head] = source.toString("latin1").split(/\r?\n\r?\n/, 1);
    const lines = head.replace(/\r?\n[ \t]+/g, " ").split(/\r?\n/);
    return lines.filter((line) => line.toLowerCase().startsWith(`${name.toLowerCase()}:`)).map((line) => line.slice(name.length + 1).trim());
}

/** Whether MX saw who connected, or a gateway of Docker's in its place. */
export function clientFinding(subject: string, source: Buffer, world: World): Finding {
    const seen = /\[(?:IPv6:)?([0-9a-f.:]+)\]/i.exec(headers(source, "Received")[0] ?? "")?.[1];
    if (!seen) return unknown(subject, "the mail does not say it");
    // In one network with the server, a private address is the true one.
    const isHidden = PRIVATE.check(seen, isIPv6(seen) ? "ipv6" : "ipv4") && !world.ownAddresses().includes(seen);
    if (!isHidden) return { status: "pass", subject, got: seen };
    const fix = "see docs/servers.md: userland-proxy and ip6tables of the Docker daemon, network.ipv6, and what else translates addresses before it";
    return {
        status: "fail",
        subject,
        expected: "the address of this machine",
        got: `${seen}, which the application trusts whoever is behind it`,
        fix,
    };
}

/** MAIL FROM of a mail, as MX saw it: upstream notes it in the seal (RFC 8617 §4.1.1). */
export function envelopeSender(source: Buffer): string | undefined {
    const [seal] = headers(source, "ARC-Authentication-Results");
    const [, quoted, plain] = /\bsmtp\.mailfrom=(?:"([^"]*)"|([^\s;]+))/.exec(seal ?? "") ?? [];
    return quoted || plain;
}
