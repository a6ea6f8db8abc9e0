import { spawn } from "node:child_process";

export type Log = (line: string) => void;

export interface RunOptions {
    cwd?: string;
    /** Added to this process's own environment. */
    env?: Record<string, string>;
}

/** Runs a program and answers its standard output; a failure carries the last lines it said. */
export function run(program: string, argv: string[], { cwd, env }: RunOptions = {}): Promise<string> {
    return new Promise((resolve, reject) => {
        const child = spawn(program, argv, { cwd, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
        let output = "";
        let all = "";
        child.stdout.on("data", (chunk) => {
            output += chunk;
            all += chunk;
        });
        child.stderr.on("data", (chunk) => {
            all += chunk;
        });
        child.on("error", reject);
        child.on("close", (code) => {
            if (code === 0) return resolve(output);
            const tail = all.trimEnd().split("\n").slice(-20).join("\n");
            reject(new Error(`${[program, ...argv.slice(0, 2)].join(" ")} … exited with ${code}:\n${tail}`));
        });
    });
}
