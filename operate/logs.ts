import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { METRICS_NAMES } from "../components/metrics/programs";
import { SERVICE_NAMES } from "../components/services/catalogue";
import { DockerAddress, docker, dockerCommand, inspectStack, redactor } from "./health";
import { located } from "./machines";
import { openExisting } from "./session";

/** Those of metrics, where they are on. */
const NAMES: readonly string[] = [...SERVICE_NAMES, ...METRICS_NAMES];

const HELP = `npm run logs -- SERVICE [--stack NAME] [--since TIME] [--lines N] [--follow] [--rehearse]

What a service of the stack has said. Values of its secrets are hidden.

  SERVICE        ${NAMES.join(", ")}
  --stack NAME   default dev
  --since TIME   such as 10m, 2h or 2026-11-26T08:00:00
  --lines N      the last lines only; default 200, "all" for everything
  --follow       goes on until it is stopped
  --rehearse     the stack's rehearsal, not the stack itself
`;

async function main(): Promise<void> {
    const { values, positionals } = parseArgs({
        allowPositionals: true,
        options: {
            stack: { type: "string", default: "dev" },
            since: { type: "string" },
            lines: { type: "string", default: "200" },
            follow: { type: "boolean", short: "f" },
            rehearse: { type: "boolean" },
            help: { type: "boolean", short: "h" },
        },
    });
    if (values.help) return void process.stdout.write(HELP);
    const [service] = positionals;
    if (positionals.length !== 1 || !NAMES.includes(service))
        throw new Error(`Got ${service === undefined ? "no service" : `"${positionals.join(" ")}"`}, wanted one of ${NAMES.join(", ")}.`);
    if (!/^(all|\d+)$/.test(values.lines)) throw new Error(`--lines: got "${values.lines}", wanted a number or all.`);
    const session = await openExisting(values.stack, { rehearse: values.rehearse }, (line) => console.error(line));
    const { name, servers } = await located(session.stack, session.settings);
    const [server] = servers;
    const found = inspectStack(name, server).find((one) => one.service === service);
    if (!found) throw new Error(`${service} does not run in stack ${values.stack}. Fix: npm run up -- --stack ${values.stack}`);
    const environment = JSON.parse(docker(["inspect", "-f", "{{json .Config.Env}}", found.container], server)) as string[];
    const args = ["logs", "--tail", values.lines, ...(values.since ? ["--since", values.since] : []), ...(values.follow ? ["--follow"] : [])];
    process.exitCode = await show([...args, found.container], server, redactor(environment));
}

/** Line by line, so that a secret is never cut in two. */
function show(args: string[], host: DockerAddress, hide: (line: string) => string): Promise<number> {
    const { program, words, env } = dockerCommand(args, host);
    const child = spawn(program, words, { env, stdio: ["ignore", "pipe", "pipe"] });
    createInterface({ input: child.stdout }).on("line", (line) => process.stdout.write(`${hide(line)}\n`));
    createInterface({ input: child.stderr }).on("line", (line) => process.stderr.write(`${hide(line)}\n`));
    return new Promise((resolve, reject) => child.once("error", reject).once("close", (code) => resolve(code ?? 1)));
}

main().catch((error: Error) => {
    console.error(error.message);
    process.exitCode = 1;
});
