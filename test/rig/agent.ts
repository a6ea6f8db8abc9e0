import { execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** Starts an ssh-agent with one key, for this process and those it starts. Answers how to end it. */
export async function startAgent(keyFile: string): Promise<() => void> {
    const socket = `${keyFile}.agent`;
    const agent = spawn("ssh-agent", ["-D", "-a", socket], { stdio: "ignore" });
    for (let tries = 0; tries < 100 && !existsSync(socket); tries++) await sleep(50);
    process.env.SSH_AUTH_SOCK = socket;
    execFileSync("ssh-add", ["-q", keyFile], { stdio: "ignore" });
    return () => void agent.kill();
}
