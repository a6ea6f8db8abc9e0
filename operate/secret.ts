import { spawnSync } from "node:child_process";
import type { Session } from "./session";

/** Encrypts a value into a stack's config. By standard input: the Automation API would put it on a command line, which every user of this machine can read. */
export function setSecret({ name, workspace }: Session["stack"], key: string, value: string): void {
    const { pulumiCommand, workDir, envVars } = workspace;
    const args = ["config", "set", "--secret", key, "--stack", name, "--non-interactive"];
    const { status, stderr } = spawnSync(pulumiCommand.command, args, {
        cwd: workDir,
        env: { ...process.env, ...envVars },
        input: value,
        encoding: "utf8",
    });
    if (status !== 0) throw new Error(`${key} could not be written: ${stderr.trim()}`);
}
