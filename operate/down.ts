import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";
import * as auto from "@pulumi/pulumi/automation";
import { removeKeys } from "../components/server/keyFiles";
import { StateResource, outputsOf, refreshMachines, resourcesOf } from "./machines";
import { refuseLeaving } from "./mtaSts";
import { Progress, describe } from "./progress";
import { stopRehearsal } from "./rehearsal";
import { Session, openExisting } from "./session";
import { readProject } from "./stackFile";

const HELP = `npm run down -- [--stack NAME] [--delete-data DEPLOYMENT] [--rehearse] [--unlock]

Removes containers, network and files of a stack. Mail, databases, generated secrets and keys stay: the next
\`npm run up\` finds them again.

  --stack NAME               default dev
  --delete-data DEPLOYMENT   also destroys mail, databases, secrets and keys, for good; backup sets, their bucket and their passphrase
                             stay, and so do files in a data.directory. DEPLOYMENT is the deployment's name (forwardemail-NAME), so that
                             nobody does it by accident
  --rehearse                 the stack's rehearsal, not the stack itself
  --leave-mta-sts            although senders have an MTA-STS policy that enforces, and refuse other servers for its max age
  --unlock                   removes the lock that a killed operation left behind
`;

async function main(): Promise<void> {
    const { values } = parseArgs({
        options: {
            stack: { type: "string", default: "dev" },
            "delete-data": { type: "string" },
            rehearse: { type: "boolean" },
            "leave-mta-sts": { type: "boolean" },
            unlock: { type: "boolean" },
            help: { type: "boolean", short: "h" },
        },
    });
    if (values.help) return void process.stdout.write(HELP);
    const log = (line: string) => console.log(line);
    const doomed = values["delete-data"];
    confirmDeletion(doomed, `${readProject().name}-${values.stack}`); // before anything is started
    const session = await openExisting(values.stack, { rehearse: values.rehearse }, log);
    if (values.unlock) await session.stack.cancel();
    const refusal = refuseLeaving(await outputsOf(session.stack), values["leave-mta-sts"] ?? false);
    if (refusal) throw new Error(refusal);
    await remove(session, doomed !== undefined, log);
    removeKeys(session.settings.servers);
    if (session.rehearsal) await stopRehearsal(session.rehearsal.name, session.rehearsal.directory);
}

/** Throws unless the name of the very deployment was typed, or no data is to be deleted. */
export function confirmDeletion(typed: string | undefined, deployment: string): void {
    if (typed !== undefined && typed !== deployment)
        throw new Error(`--delete-data: got "${typed}", wanted the name of this deployment, "${deployment}". Nothing was removed.`);
}

/** Destroys a stack; what is protected only when it was asked for by name. */
export async function remove({ stack }: Pick<Session, "stack">, withData: boolean, log: (line: string) => void): Promise<void> {
    // A volume that was on an instance which somebody terminated is attached no longer, and cannot be detached. Nothing else is refreshed:
    // while the state knows the instance, what was on it needs no connection to go.
    await refreshMachines(stack, "aws:ec2/volumeAttachment:");
    const all = await protectedResources(stack);
    const backups = all.filter(({ urn }) => OF_BACKUPS.test(urn));
    const kept = withData ? all.filter((one) => !backups.includes(one)) : all;
    if (withData) {
        log(`Destroying for good: ${kept.map(({ urn }) => describe(urn)).join(", ")}`);
        protection(stack, "unprotect", kept);
    }
    try {
        await stack.destroy({
            excludeProtected: !withData || backups.length > 0,
            onEvent: new Progress(log).onEvent,
            color: "never",
            suppressProgress: true,
        });
    } catch (error) {
        // Else the next plain down, which promises that data stays, would delete it.
        const left = new Set((await resourcesOf(stack)).map(({ urn }) => urn));
        if (withData)
            protection(
                stack,
                "protect",
                kept.filter(({ urn }) => left.has(urn)),
            );
        throw error;
    }
    const left = withData ? backups : kept;
    if (left.length > 0) log(`Kept: ${left.map(({ urn }) => describe(urn)).join(", ")}`);
}

/** The bucket and what opens the sets in it: they are there for the day on which everything else is deleted. */
const OF_BACKUPS = /forwardemail:backups:(AwsBucket|R2Bucket)\$|::forwardemail-[^:]*-backup-passphrase$/;

async function protectedResources(stack: auto.Stack): Promise<StateResource[]> {
    return (await resourcesOf(stack)).filter((resource) => resource.protect);
}

/** By the CLI: importing a changed state would write all secrets into a temporary file. */
function protection(stack: auto.Stack, change: "protect" | "unprotect", resources: StateResource[]): void {
    if (resources.length === 0) return;
    const { workDir: cwd, pulumiHome, envVars, pulumiCommand } = stack.workspace;
    const env = { ...process.env, ...envVars, ...(pulumiHome ? { PULUMI_HOME: pulumiHome } : {}) };
    const { status, stderr } = spawnSync(
        pulumiCommand.command,
        ["state", change, ...resources.map(({ urn }) => urn), "--yes", "--stack", stack.name],
        {
            cwd,
            env,
            encoding: "utf8",
        },
    );
    if (status !== 0) throw new Error(`${resources.map(({ urn }) => describe(urn)).join(", ")} could not be ${change}ed: ${stderr}`);
}

if (require.main === module)
    main().catch((error: Error) => {
        console.error(error.message);
        process.exitCode = 1;
    });
