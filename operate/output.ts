import { parseArgs } from "node:util";
import { openExisting } from "./session";

const HELP = `npm run -s output -- NAME [KEY] [--stack STACK] [--rehearse]

Prints an output of the stack: url, endpoints, version, address (of a server over SSH or on AWS), firstRun (user and password of the
first-run page), authority, zone (lines for the master file of each zone), records (the same as a table), reverse (names for the
reverse DNS of the addresses), mtaSts, backups (where the sets are, and the passphrase that opens them), restoredSecrets.

  KEY   prints one entry of it alone, such as: zone example.com; of a single zone, that one is printed without it
`;

async function main(): Promise<void> {
    const { values, positionals } = parseArgs({
        allowPositionals: true,
        options: { stack: { type: "string", default: "dev" }, rehearse: { type: "boolean" }, help: { type: "boolean", short: "h" } },
    });
    if (values.help || positionals.length < 1 || positionals.length > 2) {
        process.stdout.write(HELP);
        process.exitCode = values.help ? 0 : 2;
        return;
    }
    const { stack } = await openExisting(values.stack, { rehearse: values.rehearse }, () => undefined);
    const outputs = await stack.outputs();
    const output = outputs[positionals[0]];
    if (!output)
        throw new Error(`There is no output "${positionals[0]}"; wanted one of ${Object.keys(outputs).join(", ") || "(none yet: npm run up)"}.`);
    const value = entryOf(output.value, positionals);
    process.stdout.write(typeof value === "string" ? value.replace(/\n?$/, "\n") : `${JSON.stringify(value, null, 2)}\n`);
}

/** The whole value, or the entry that was asked for. A zone is a text to paste: where it is the only one, no JSON is around it. */
export function entryOf(value: unknown, [name, key]: string[]): unknown {
    if (key === undefined && name !== "zone") return value;
    const entries = value as Record<string, unknown>;
    const keys = Object.keys(entries);
    if (key === undefined) return keys.length === 1 ? entries[keys[0]] : value;
    if (!(key in entries)) throw new Error(`${name} has no "${key}"; wanted one of ${keys.join(", ")}.`);
    return entries[key];
}

if (require.main === module)
    main().catch((error: Error) => {
        console.error(error.message);
        process.exitCode = 1;
    });
