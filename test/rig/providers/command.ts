import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import type { local } from "@pulumi/command";
import type { Unwrap } from "@pulumi/pulumi";
import * as log from "@pulumi/pulumi/log";
import { type Props, type Resource, standIn } from "./standin";

type Args = Unwrap<local.CommandArgs>;
type RunArgs = Pick<Args, "addPreviousOutputInEnv" | "dir" | "environment" | "interpreter" | "logging" | "stdin">;
type Output = { stdout: string; stderr: string };

const nothing: Output = { stdout: "", stderr: "" };
const runInputs: (keyof RunArgs)[] = ["addPreviousOutputInEnv", "dir", "environment", "interpreter", "logging", "stdin"];

const localCommand: Resource<Args, Output> = {
    inputs: ["create", "update", "delete", "triggers", ...runInputs],
    inPlace: ["create", "update", "delete", ...runInputs],
    oneOf: { logging: ["stdout", "stderr", "stdoutAndStderr", "none"] },
    async create(args, name) {
        const outs = args.create === undefined ? nothing : await run(args.create, args);
        return { id: name + randomBytes(4).toString("hex"), outs };
    },
    async update(args, state) {
        const command = args.update ?? args.create;
        return command === undefined ? {} : run(command, args, state);
    },
    async delete(state) {
        if (state.delete !== undefined) await run(state.delete, state, state);
    },
};

// command:remote:Command takes its place here, with the same life cycle over SSH, once a rehearsal has a second machine.
export default standIn(
    "command",
    { "command:local:Command": localCommand },
    { "command:local:run": async (args: Props) => ({ ...args, ...(await run(args.command as string, args)) }) },
);

async function run(command: string, args: RunArgs, previous: Output = nothing): Promise<Output> {
    const [program, ...flags] = args.interpreter?.length ? args.interpreter : ["/bin/sh", "-c"];
    const env: NodeJS.ProcessEnv = { ...process.env, ...args.environment };
    if (args.addPreviousOutputInEnv !== false && previous.stdout) env.PULUMI_COMMAND_STDOUT = previous.stdout;
    if (args.addPreviousOutputInEnv !== false && previous.stderr) env.PULUMI_COMMAND_STDERR = previous.stderr;
    const child = spawn(program, [...flags, command], { cwd: args.dir, env });
    child.stdin.on("error", () => undefined); // a command need not read what it is given
    child.stdin.end(args.stdin);
    const output = { stdout: "", stderr: "", both: "" };
    for (const stream of ["stdout", "stderr"] as const) {
        const logged = [undefined, stream, "stdoutAndStderr"].includes(args.logging);
        child[stream].setEncoding("utf8").on("data", (text: string) => {
            output[stream] += text;
            output.both += text;
            if (logged) void log.info(text, undefined, undefined, true);
        });
    }
    const failure = await new Promise<string>((resolve) => {
        child.on("error", ({ message }) => resolve(message));
        child.on("close", (status, signal) => resolve(signal ? `signal: ${signal}` : status ? `exit status ${status}` : ""));
    });
    if (failure) throw new Error(`${failure}: running ${JSON.stringify(command)}:\n${output.both}`);
    return { stdout: output.stdout.replace(/\n$/, ""), stderr: output.stderr.replace(/\n$/, "") };
}
