import { type Log, run } from "../images/run";

/** Programs that a host needs, and their packages on Debian and Ubuntu. */
const tools = {
    dockerd: "docker.io",
    "docker-registry": "docker-registry",
    ip: "iproute2",
    iptables: "iptables",
    nsenter: "util-linux",
};

/** Makes sure that a host can be started, installing what is missing where that is possible. */
export async function needTools(log: Log): Promise<void> {
    if (process.getuid?.() !== 0) throw new Error("The rehearsal starts a Docker engine in a network namespace of its own: run as root.");
    const missing = await missingTools();
    if (missing.length === 0) return;
    const packages = missing.map((tool) => tools[tool]).join(" ");
    log(`host: installing ${packages}`);
    try {
        await run("apt-get", ["update"]);
        await run("apt-get", ["install", "--yes", "--no-install-recommends", ...packages.split(" ")], {
            env: { DEBIAN_FRONTEND: "noninteractive" },
        });
    } catch (error) {
        throw new Error(`The rehearsal needs ${missing.join(", ")}. On Debian: apt-get install ${packages}\n${(error as Error).message}`, {
            cause: error,
        });
    }
    const still = await missingTools();
    if (still.length > 0) throw new Error(`${packages} are installed, but ${still.join(", ")} cannot be found on PATH.`);
}

async function missingTools(): Promise<(keyof typeof tools)[]> {
    const names = Object.keys(tools) as (keyof typeof tools)[];
    const found = await Promise.all(names.map((name) => run("sh", ["-c", `command -v ${name}`]).catch(() => "")));
    return names.filter((_, i) => found[i] === "");
}
