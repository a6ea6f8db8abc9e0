import { parseArgs } from "node:util";
import { CATALOGUE, servicesOf } from "../components/services/catalogue";
import { converge } from "./converge";
import { forwardToLoopback } from "./rehearsal";
import { openSession } from "./session";
import { summary } from "./summary";

const HELP = `npm run up -- [--stack NAME] [--rehearse] [--unlock]

Converges a stack: starts what is missing, replaces what is sick, changes nothing where nothing is to change.

  --stack NAME   reads Pulumi.NAME.yaml; default dev
  --rehearse     runs a stack other than dev on the rehearsal's stand-in images, too
  --unlock       removes the lock that a killed operation left behind
`;

async function main(): Promise<void> {
    const { values } = parseArgs({
        options: {
            stack: { type: "string", default: "dev" },
            rehearse: { type: "boolean" },
            unlock: { type: "boolean" },
            help: { type: "boolean", short: "h" },
        },
    });
    if (values.help) return void process.stdout.write(HELP);
    const log = (line: string) => console.log(line);
    if (values.stack !== "dev" && !values.rehearse)
        throw new Error(
            `For now npm run up only rehearses, with stand-in images. Fix: for a real deployment, pulumi up --stack ${values.stack}; to rehearse its config, add --rehearse.`,
        );
    const { stack, settings, rehearsal } = await openSession(values.stack, log);
    if (values.unlock) await stack.cancel();
    const { ok, changes, outputs } = await converge(stack, settings, log);
    const ports = servicesOf(settings.profile).flatMap((service) => CATALOGUE[service].publish);
    forwardToLoopback(
        rehearsal,
        ports.map((port) => port + settings.network.portOffset),
    );
    log("");
    for (const line of summary(values.stack, changes, outputs, ok)) log(line);
    process.exitCode = ok ? 0 : 1;
}

main().catch((error: Error) => {
    console.error(error.message);
    process.exitCode = 1;
});
