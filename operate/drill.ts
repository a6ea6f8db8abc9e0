import { parseArgs } from "node:util";
import { backupHost, runScript } from "./backupHost";
import { openExisting } from "./session";

const HELP = `npm run drill -- [--stack NAME] [--set ID] [--rehearse]

Restores a set of backups into a scratch place on the server, and removes it again: every file is compared with its hash, MongoDB and Redis
are started on their parts, and what they hold is counted. Says how old the set is (RPO) and how long it took (RTO). Changes nothing.

  --stack NAME   default dev
  --set ID       default the newest complete one
  --rehearse     the stack's rehearsal, not the stack itself
`;

async function main(): Promise<void> {
    const { values } = parseArgs({
        options: {
            stack: { type: "string", default: "dev" },
            set: { type: "string", default: "latest" },
            rehearse: { type: "boolean" },
            help: { type: "boolean", short: "h" },
        },
    });
    if (values.help) return void process.stdout.write(HELP);
    const session = await openExisting(values.stack, { rehearse: values.rehearse }, (line) => console.error(line));
    process.exitCode = runScript(await backupHost(session, values.stack), ["drill", values.set]);
}

main().catch((error: Error) => {
    console.error(error.message);
    process.exitCode = 1;
});
