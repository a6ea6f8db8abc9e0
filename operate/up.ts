import { parseArgs } from "node:util";
import { CATALOGUE, servicesOf } from "../components/services/catalogue";
import { Display, converge } from "./converge";
import { resourcesOf } from "./machines";
import { refuse, refuseDatabases, refuseOlder } from "./refusals";
import { forwardToLoopback } from "./rehearsal";
import { DEV, Session, openSession } from "./session";
import { summary } from "./summary";

const HELP = `npm run up -- [--stack NAME] [--yes] [--rehearse] [--unlock]

Converges a stack: starts what is missing, replaces what is sick, changes nothing where nothing is to change. What it needs
(node modules, the Pulumi CLI, on Debian and Ubuntu as root also Docker) is installed the first time.

  --stack NAME   reads Pulumi.NAME.yaml; default dev. The dev stack keeps its state and passphrase in .work/, another stack
                 lives where pulumi is logged in
  --yes          does not ask; needed for other stacks than dev where there is no terminal
  --rehearse     runs on stand-in images, engine and Docker host of its own: no account and no image registry is needed.
                 The dev stack does so by itself where Pulumi's host or the registries cannot be reached
  --unlock       removes the lock that a killed operation left behind
`;

async function main(): Promise<void> {
    const { values } = parseArgs({
        options: {
            stack: { type: "string", default: "dev" },
            yes: { type: "boolean" },
            rehearse: { type: "boolean" },
            unlock: { type: "boolean" },
            help: { type: "boolean", short: "h" },
        },
    });
    if (values.help) return void process.stdout.write(HELP);
    const log = (line: string) => console.log(line);
    const unasked = values.stack === "dev" || values.rehearse === true || values.yes === true; // nothing that is asked about
    if (!unasked && !process.stdout.isTTY) throw new Error(`Stack ${values.stack} is changed without a question here: no terminal. Fix: add --yes.`);
    const session = await openSession(values.stack, { rehearse: values.rehearse }, log);
    if (values.unlock) await session.stack.cancel();
    const resources = await resourcesOf(session.stack);
    refuseOlder(session, resources);
    await refuseDatabases(session, resources);
    await refuse(session, resources);
    const display: Display = process.stdout.isTTY ? { live: true, yes: unasked } : { live: false };
    const { ok, declined, changes, outputs } = await converge(session, log, display);
    if (declined) {
        log("\nNothing was changed.");
        process.exitCode = 1;
        return;
    }
    await publish(session, log);
    log("");
    for (const line of summary(session, values.stack, changes, outputs, ok)) log(line);
    if (ok && !session.rehearsal && values.stack !== DEV && session.settings.backups?.restoreFrom)
        log(
            `\nThe data came from a set, and its secrets are in the state alone. Fix: npm run restore -- --stack ${values.stack} keeps them in Pulumi.${values.stack}.yaml and takes restoreFrom out.`,
        );
    process.exitCode = ok ? 0 : 1;
}

/** A rehearsal's ports are in a namespace: they are made reachable on this machine's loopback. */
async function publish({ rehearsal, settings }: Session, log: (line: string) => void): Promise<void> {
    if (!rehearsal) return;
    const ports = servicesOf(settings.profile).flatMap((service) => CATALOGUE[service].publish);
    const published = ports.map((port) => port + settings.network.portOffset);
    await forwardToLoopback(rehearsal, published, log);
}

main().catch((error: Error) => {
    console.error(error.message);
    process.exitCode = 1;
});
