import * as fs from "node:fs";
import * as path from "node:path";

import { METRICS_NAMES, MetricsName } from "../../../components/metrics/programs";
import { type BuildArgs, type LockedImage, build, push, tagOf } from "./build";
import { unpacked } from "./debs";

/** Releases that the stand-ins are called; in them is what Debian has. Options are those that both know. */
const RELEASES: Record<MetricsName, readonly [repository: string, tag: string]> = {
    prometheus: ["prom/prometheus", "v3.13.3"],
    blackbox_exporter: ["prom/blackbox-exporter", "v0.28.0"],
    node_exporter: ["prom/node-exporter", "v1.12.1"],
    redis_exporter: ["oliver006/redis_exporter", "v1.88.0-alpine"],
};

/** Where the images would be in a lock file while no stack asks for them: they are not built. */
export function unbuiltMetrics(registry: string): Record<MetricsName, { repository: string; releases: Record<string, { digest: null }> }> {
    return inRegistry(registry, () => ({ digest: null }));
}

/** Builds the images of `metrics`, each the real program of Debian's package, and writes their digests into a lock file. */
export async function addMetrics(args: Omit<BuildArgs, "mongod">, lockFile: string): Promise<void> {
    const packageOf = (name: MetricsName) => (name === "prometheus" ? name : `prometheus-${name.replaceAll("_", "-")}`);
    const files = await unpacked([...METRICS_NAMES.map(packageOf), "busybox"], args.log);
    const digests = new Map<MetricsName, { digest: string }>();
    for (const name of METRICS_NAMES) {
        const program = path.join(files, "usr/bin", packageOf(name));
        const context = { program, busybox: path.join(files, "bin/busybox") };
        await build(args, "metrics", context, { BASE: tagOf("base") });
        const [repository, tag] = RELEASES[name];
        digests.set(name, await push(args, tagOf("metrics"), `${args.registry}/${repository}:${tag}`));
    }
    const lock = JSON.parse(fs.readFileSync(lockFile, "utf8")) as Record<string, LockedImage>;
    const built = inRegistry(args.registry, (name) => digests.get(name)!);
    fs.writeFileSync(lockFile, `${JSON.stringify({ ...lock, ...built }, null, 4)}\n`);
}

function inRegistry<T>(registry: string, release: (name: MetricsName) => T) {
    const of = (name: MetricsName) => ({ repository: `${registry}/${RELEASES[name][0]}`, releases: { [RELEASES[name][1]]: release(name) } });
    return Object.fromEntries(METRICS_NAMES.map((name) => [name, of(name)])) as Record<MetricsName, ReturnType<typeof of>>;
}
