import { parseArgs } from "node:util";
import { isOlder } from "../components/settings/images";
import { CATALOGUE, servicesOf } from "../components/services/catalogue";
import { Display, converge } from "./converge";
import { refuseHalfRestored } from "./backupHost";
import { DnsError, findForeignRecords } from "./foreignRecords";
import { outputsIn, resourcesOf } from "./machines";
import { refusePolicy } from "./mtaSts";
import { forwardToLoopback } from "./rehearsal";
import { Session, openSession } from "./session";
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
    await refuse(session);
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
    process.exitCode = ok ? 0 : 1;
}

/** What must not be written: refused before the engine starts. */
async function refuse({ stack, settings, rehearsal }: Session): Promise<void> {
    const resources = await resourcesOf(stack);
    const outputs = outputsIn(resources);
    const refusal = refuseOlder(outputs, settings) ?? refusePolicy(outputs, settings) ?? (await refuseHalfRestored({ stack, settings }, resources));
    if (refusal) throw new Error(refusal);
    if (rehearsal || !settings.dns || settings.dns.provider === "zone-file") return;
    const foreign = await findForeignRecords(settings, resources);
    if (foreign.length > 0) throw new DnsError(foreign);
}

/** Its data may have been changed for the newer one. */
function refuseOlder({ version }: Record<string, unknown>, { images }: Session["settings"]): string | undefined {
    const { tag } = images.forwardemail;
    if (typeof version !== "string" || !isOlder(tag, version)) return undefined;
    return `version: ${tag} is older than ${version}, which runs: its data may have been changed for it. Fix: set the version that runs; or npm run update -- --version ${tag} --force`;
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
