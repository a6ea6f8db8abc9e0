import { parseArgs } from "node:util";
import { ask, askHidden, isConfirmed } from "./ask";
import { Terminal, guide, line } from "./firstRun/guide";
import { Place, command } from "./firstRun/place";
import { stepsOf } from "./firstRun/steps";
import { guidedOf } from "./firstRun/ways";
import { DEV, openExisting } from "./session";

const HELP = `npm run first-run -- [--stack NAME] [--check] [--json] [--rehearse]

Leads from a deployment that runs to one that is used: the administrator's account, the domains with their DNS records, a mailbox, the
alias support that the application sends its own mail as, and the addresses that every domain has. It looks at the application's state,
explains the next step, does it where it can, and waits until it is done. Ctrl-C ends it; the next run goes on where one is.
Without a terminal it is the list alone.

  --stack NAME   default dev
  --check        prints the list once; ends with 0 where everything is done, with 1 where not
  --json         the same for programs
  --rehearse     the stack's rehearsal, not the stack itself
`;

async function main(): Promise<void> {
    const { values } = parseArgs({
        options: {
            stack: { type: "string", default: DEV },
            check: { type: "boolean", default: false },
            json: { type: "boolean", default: false },
            rehearse: { type: "boolean" },
            help: { type: "boolean", short: "h" },
        },
    });
    if (values.help) return void process.stdout.write(HELP);
    const session = await openExisting(values.stack, { rehearse: values.rehearse }, (text) => console.error(text));
    const guided = await guidedOf(session, values.stack, TERMINAL);
    const hasTerminal = Boolean(process.stdin.isTTY && process.stdout.isTTY);
    if (hasTerminal && !values.check && !values.json) {
        await guide(guided);
        for (const text of afterwards(guided.place)) console.log(text);
        return;
    }
    const steps = stepsOf(await guided.look(), guided.place);
    const done = steps.every((step) => step.done);
    if (values.json) console.log(JSON.stringify({ done, steps }, null, 2));
    else for (const step of steps) for (const text of [line(step), ...(step.done ? [] : step.how.map((how) => `    ${how}`))]) console.log(text);
    process.exitCode = done ? 0 : 1;
}

const afterwards = (place: Place): string[] => [
    "",
    "All of it is done. Send a mail to your own address from elsewhere, answer it, and look at the answer's headers for SPF, DKIM and DMARC.",
    `Before it is relied on: ${command(place, "verify")}, and backups (docs/backups.md).`,
];

const TERMINAL: Terminal = {
    say: (text) => process.stdout.write(`\r\x1b[K${text}\n`),
    progress: (text) => process.stdout.write(`\r\x1b[K${text}`),
    ask,
    askHidden,
    confirm: isConfirmed,
    wait: (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000)),
};

main().catch((error: Error) => {
    console.error(error.message);
    process.exitCode = 1;
});
