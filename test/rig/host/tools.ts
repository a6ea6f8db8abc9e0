import { existsSync, rmSync, writeFileSync } from "node:fs";
import { type Log, run } from "../images/run";

/** Programs that the rehearsal needs, and their packages on Debian and Ubuntu. */
const tools = {
    dockerd: "docker.io",
    docker: "docker.io",
    "docker-registry": "docker-registry",
    ip: "iproute2",
    iptables: "iptables",
    losetup: "mount",
    nft: "nftables",
    nsenter: "util-linux",
    // Of the backup script, which installs nothing on a machine that is the operator's own.
    jq: "jq",
    rsync: "rsync",
    ssh: "openssh-client",
    sshd: "openssh-server",
    named: "bind9",
    "named-checkzone": "bind9-utils",
    rndc: "bind9-utils",
    dig: "bind9-dnsutils",
    "qemu-system-x86_64": "qemu-system-x86",
};
type Tool = keyof typeof tools;

/** What only a DNS server on a host needs (dns.ts). */
export const dnsTools: Tool[] = ["named", "named-checkzone", "rndc", "dig"];
/** What only a virtual machine needs (vm.ts). */
export const vmTools: Tool[] = ["qemu-system-x86_64"];
const hostTools = (Object.keys(tools) as Tool[]).filter((tool) => ![...dnsTools, ...vmTools].includes(tool));

/** Services of these packages that would start with the machine. */
const units: Partial<Record<Tool, string[]>> = {
    dockerd: ["docker.service", "docker.socket"],
    "docker-registry": ["docker-registry.service"],
    nft: ["nftables.service"],
    sshd: ["ssh.service", "ssh.socket"],
    named: ["named.service"],
};

/** Makes sure that programs are there, those of a host where nothing else is asked for; installs what is missing where that is possible. */
export async function needTools(log: Log, wanted = hostTools): Promise<void> {
    if (process.getuid?.() !== 0) throw new Error("The rehearsal starts a Docker engine in a network namespace of its own: run as root.");
    const missing = await missingTools(wanted);
    if (missing.length === 0) return;
    const packages = [...new Set(missing.map((tool) => tools[tool]))].join(" ");
    log(`host: installing ${packages}`);
    try {
        await run("apt-get", ["update"]);
        await withoutServices(missing, () =>
            run("apt-get", ["install", "--yes", "--no-install-recommends", ...packages.split(" ")], { env: { DEBIAN_FRONTEND: "noninteractive" } }),
        );
    } catch (error) {
        throw new Error(`The rehearsal needs ${missing.join(", ")}. On Debian: apt-get install ${packages}\n${(error as Error).message}`, {
            cause: error,
        });
    }
    const still = await missingTools(wanted);
    if (still.length > 0) throw new Error(`${packages} are installed, but ${still.join(", ")} cannot be found on PATH.`);
}

/** Packages start their services when they are installed; ours are wanted as programs only (Debian policy 9.3.3.2, policy-rc.d). */
async function withoutServices(installed: Tool[], install: () => Promise<unknown>): Promise<void> {
    const policy = "/usr/sbin/policy-rc.d";
    const ours = !existsSync(policy);
    if (ours) writeFileSync(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
    try {
        await install();
    } finally {
        if (ours) rmSync(policy);
    }
    for (const tool of installed) for (const unit of units[tool] ?? []) await run("systemctl", ["disable", unit]).catch(() => undefined);
}

async function missingTools(names: Tool[]): Promise<Tool[]> {
    const found = await Promise.all(names.map((name) => run("sh", ["-c", `command -v ${name}`]).catch(() => "")));
    return names.filter((_, i) => found[i] === "");
}
