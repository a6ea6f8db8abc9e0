import { parseArgs } from "node:util";
import { CATALOGUE, servicesOf } from "../components/services/catalogue";
import { converge } from "./converge";
import { forwardToLoopback } from "./rehearsal";
import { openSession } from "./session";
import { summary } from "./summary";

const HELP = `npm run up -- [--stack NAME]

Converges a stack: starts what is missing, replaces what is sick, changes nothing where nothing is to change.

  --stack NAME   reads Pulumi.NAME.yaml; default dev
`;

async function main(): Promise<void> {
    const { values } = parseArgs({
        options: { stack: { type: "string", default: "dev" }, rehearse: { type: "boolean" }, help: { type: "boolean", short: "h" } },
    });
    if (values.help) return void process.stdout.write(HELP);
    const log = (line: string) => console.log(line);
    const { stack, settings, rehearsal } = await openSession(values.stack, log);
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
