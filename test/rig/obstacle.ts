import { spawnSync } from "node:child_process";

/** Why the rehearsal cannot run on this machine, with the fix; undefined where it can. Asked first: its builds take minutes. */
export function obstacle(): string | undefined {
    if (process.platform !== "linux") return "it starts a Docker daemon in a network namespace, which needs Linux";
    if (process.getuid?.() !== 0) return "it starts a Docker daemon in a network namespace, which needs root: run it with sudo";
    if (spawnSync("go", ["version"]).status !== 0) return "it builds the engine with Go 1.26 or newer, which is not installed: https://go.dev/dl";
    return undefined;
}
