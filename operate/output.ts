import { parseArgs } from "node:util";
import { openExisting } from "./session";

const HELP = `npm run -s output -- NAME [--stack STACK] [--rehearse]

Prints an output of the stack: url, endpoints, version, address (of a server over SSH or on AWS), firstRun (user and password of the first-run page), authority.
`;

async function main(): Promise<void> {
    const { values, positionals } = parseArgs({
        allowPositionals: true,
        options: { stack: { type: "string", default: "dev" }, rehearse: { type: "boolean" }, help: { type: "boolean", short: "h" } },
    });
    if (values.help || positionals.length !== 1) {
        process.stdout.write(HELP);
        process.exitCode = values.help ? 0 : 2;
        return;
    }
    const { stack } = await openExisting(values.stack, { rehearse: values.rehearse }, () => undefined);
    const outputs = await stack.outputs();
    const output = outputs[positionals[0]];
    if (!output)
        throw new Error(`There is no output "${positionals[0]}"; wanted one of ${Object.keys(outputs).join(", ") || "(none yet: npm run up)"}.`);
    process.stdout.write(typeof output.value === "string" ? output.value.replace(/\n?$/, "\n") : `${JSON.stringify(output.value, null, 2)}\n`);
}

main().catch((error: Error) => {
    console.error(error.message);
    process.exitCode = 1;
});
