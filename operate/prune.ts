import { parseArgs } from "node:util";
import { Repository, resticEnvironment } from "../components/backups/backups";
import { BackupHost, backupHost, runScript } from "./backupHost";
import { openExisting } from "./session";

const HELP = `npm run prune -- [--stack NAME] [--rehearse]

Removes sets of backups that backups.keep does not keep any longer, by time, and what belongs to no set. The server's own key need not be able
to delete: this takes backups.pruneAccessKeyId where there is one, and leaves it nowhere.

  --stack NAME   default dev
  --rehearse     the stack's rehearsal, not the stack itself
`;

async function main(): Promise<void> {
    const { values } = parseArgs({
        options: { stack: { type: "string", default: "dev" }, rehearse: { type: "boolean" }, help: { type: "boolean", short: "h" } },
    });
    if (values.help) return void process.stdout.write(HELP);
    const session = await openExisting(values.stack, { rehearse: values.rehearse }, (line) => console.error(line));
    const host = await backupHost(session, values.stack);
    const { store } = host.backups;
    if (store.provider === "r2" && store.lockDays === undefined)
        throw new Error(
            "The lock of the bucket is for ever, so nothing can be removed. Fix: set backups.lockDays, if sets shall be removable one day.",
        );
    process.exitCode = runScript(host, ["prune"], await credentials(host));
}

/** Environment of restic, with the key of whoever prunes. */
async function credentials({ session }: BackupHost): Promise<string> {
    const { backups } = await session.stack.outputs();
    if (!backups) throw new Error("The stack does not know its backups yet. Fix: npm run up");
    const { repository, passphrase, pruneKey } = backups.value as Repository;
    return resticEnvironment(repository, passphrase, pruneKey);
}

main().catch((error: Error) => {
    console.error(error.message);
    process.exitCode = 1;
});
