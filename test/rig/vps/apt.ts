import * as fs from "node:fs";
import * as net from "node:net";
import * as path from "node:path";

import type { RigHost } from "../host";
import { type Daemon, start } from "../host/daemons";
import type { Release } from "../images/debian";
import { run } from "../images/run";
import type { ProxyConfig } from "./proxy";

const port = 3142;

/** Files that make apt on a server get its packages from where the machine gets them, by a proxy on the machine. */
export async function aptFiles(host: RigHost, release: Release): Promise<Record<string, string>> {
    const checks = (await aptConfig("Acquire")).filter((line) => /^Acquire::(Check-|Retries)/.test(line));
    const sources = await machineSources(release);
    return {
        "/etc/apt/apt.conf.d/80rig": [`Acquire::http::Proxy "http://${host.machine4}:${port}";`, ...checks, ""].join("\n"),
        // A machine that is not this Debian has no such sources: then those stay that debootstrap used.
        ...(sources.length > 0 && { "/etc/apt/sources.list": `${sources.join("\n")}\n` }),
    };
}

/** The lines of the machine's own sources that are this Debian's. */
async function machineSources(release: Release): Promise<string[]> {
    const format = ["--format", "deb $(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"];
    const lines = (await run("apt-get", ["indextargets", ...format]).catch(() => "")).trim().split("\n");
    return [...new Set(lines)].filter((line) => new RegExp(` ${release}(-updates|-security)? main$`).test(line));
}

const aptConfig = async (key: string): Promise<string[]> => (await run("apt-config", ["dump", key]).catch(() => "")).split("\n");

/** Starts the proxy, or leaves the one that runs; `stopHost` ends it. Answers its URL. */
export async function startProxy(host: RigHost, dir: string): Promise<string> {
    const listen = { host: host.machine4, port };
    const configFile = path.join(path.dirname(host.dockerHost.replace("unix://", "")), "proxy.json");
    const config: ProxyConfig = { listen, parent: await machineProxy() };
    const daemon: Daemon = {
        program: process.execPath,
        processes: ["node"],
        argv: ["--import", require.resolve("tsx"), path.join(__dirname, "proxy.ts"), configFile],
        logFile: path.join(dir, "proxy.log"),
        prepare: () => fs.writeFileSync(configFile, JSON.stringify(config)),
        ready: () =>
            new Promise((resolve) => {
                const socket = net.connect(listen, () => resolve(true));
                socket.on("connect", () => socket.destroy());
                socket.on("error", () => resolve(false));
            }),
    };
    if (!(await daemon.ready())) await start(daemon, 20);
    return `http://${host.machine4}:${port}`;
}

async function machineProxy(): Promise<ProxyConfig["parent"]> {
    const configured = (await aptConfig("Acquire::http::Proxy")).map((line) => /^Acquire::http::Proxy "(.*)";$/.exec(line)?.[1]).find(Boolean);
    const url = configured ?? process.env.http_proxy;
    if (!url || url === "DIRECT") return undefined;
    const { hostname, port } = new URL(url);
    return { host: hostname.replace(/^\[|\]$/g, ""), port: Number(port || 80) };
}
