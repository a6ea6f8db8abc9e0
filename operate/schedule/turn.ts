import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import type { Socket } from "node:net";
import * as path from "node:path";

/**
 * Waits until nobody else holds `file`, and holds it until the answer is called or this process ends, however it does. `isWaiting` is called
 * where somebody does. A system without flock(1), such as macOS, holds nothing.
 */
export async function turnAt(file: string, isWaiting: () => void): Promise<() => void> {
    mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
    // It lives as long as its standard input is open, which the kernel closes with this process.
    const holder = spawn("flock", ["--no-fork", file, "sh", "-c", "echo; cat"], { stdio: ["pipe", "pipe", "inherit"], detached: true });
    const waited = setTimeout(isWaiting, 1000);
    const missing = once(holder, "error").then(() => undefined);
    const refused = once(holder, "exit").then(([code]) => {
        throw new Error(`flock cannot take ${file} (${code}). Fix: see above; the folder must belong to whom the night runs as.`);
    });
    await Promise.race([once(holder.stdout, "data"), missing, refused]).finally(() => clearTimeout(waited));
    refused.catch(() => undefined); // it ends when it is let go of
    // It ends with this process, and never keeps it.
    for (const kept of [holder, holder.stdin as Socket, holder.stdout as Socket]) kept.unref();
    return () => void holder.stdin.end();
}
