import { parseArgs } from "node:util";
import { askScript, backupHost, runScript } from "./backupHost";
import { openExisting } from "./session";

const HELP = `npm run backup -- [--stack NAME] [--list] [--rehearse]

Makes a set of backups now, as the server does by itself: MongoDB, Redis and the mailboxes as they are at one moment, with the secrets
and keys that a restore needs, encrypted, in the bucket of the config (backups). Says how much was new, and how long the services stood still.

  --stack NAME   default dev
  --list         shows the complete sets, the oldest first, and makes none
  --rehearse     the stack's rehearsal, not the stack itself
`;

async function main(): Promise<void> {
    const { values } = parseArgs({
        options: {
            stack: { type: "string", default: "dev" },
            list: { type: "boolean", default: false },
            rehearse: { type: "boolean" },
            help: { type: "boolean", short: "h" },
        },
    });
    if (values.help) return void process.stdout.write(HELP);
    const session = await openExisting(values.stack, { rehearse: values.rehearse }, (line) => console.error(line));
    const host = await backupHost(session, values.stack);
    if (values.list) for (const id of setsOf(askScript(host, ["sets"]))) console.log(id);
    else process.exitCode = runScript(host, ["run"]);
}

/** Ids of the sets that the script names, one a line with its snapshot. */
export const setsOf = (text: string): string[] =>
    text
        .split("\n")
        .filter(Boolean)
        .map((line) => line.split(" ")[0]);

if (require.main === module)
    main().catch((error: Error) => {
        console.error(error.message);
        process.exitCode = 1;
    });
