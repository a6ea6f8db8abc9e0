import { readFileSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { isDeepStrictEqual, parseArgs } from "node:util";
import { isConfirmed } from "./ask";
import { HOST, askMongo } from "./database";
import { Found, Records, StoredDomain, foundDomains, isDifferent, mergeDomains, recordsAfter } from "./domainRecords";
import { report } from "./domainsReport";
import { withConfig } from "./editStackFile";
import { Session, openExisting } from "./session";
import { PROJECT, readProject } from "./stackFile";

const HELP = `npm run domains -- [--stack NAME] [--check] [--yes] [--prune] [--rehearse]

Asks the running application what DNS must say of its domains (DKIM selector and public key, return path, verification code), shows
how that differs from the config, and writes it there (domainRecords in Pulumi.NAME.yaml). The next \`npm run up\` publishes it.
A key that was replaced stays in the config as previous, because mail under way is signed with it; two at most.

  --stack NAME   default dev
  --check        writes nothing; ends with 1 where application and config differ, with 0 where not
  --yes          does not ask; needed where there is no terminal
  --prune        removes the previous keys that the config has, and domains that are gone from the application
  --rehearse     the stack's rehearsal, not the stack itself
`;

async function main(): Promise<void> {
    const { values } = parseArgs({
        options: {
            stack: { type: "string", default: "dev" },
            check: { type: "boolean", default: false },
            yes: { type: "boolean", default: false },
            prune: { type: "boolean", default: false },
            rehearse: { type: "boolean" },
            help: { type: "boolean", short: "h" },
        },
    });
    if (values.help) return void process.stdout.write(HELP);
    const { stack: name, check, yes, prune } = values;
    const hasTerminal = Boolean(process.stdin.isTTY && process.stdout.isTTY);
    if (!check && !yes && !hasTerminal)
        throw new Error(`Pulumi.${name}.yaml is changed without a question here: no terminal. Fix: add --yes, or --check to look only.`);
    const session = await openExisting(name, { rehearse: values.rehearse }, (line) => console.error(line));
    const { applicationDomains: configured } = session.settings;
    const changes = mergeDomains(await findDomains(session), configured, prune);
    for (const line of report(changes, session.settings, process.stdout.isTTY && !process.env.NO_COLOR)) console.log(line);
    if (check) {
        const differs = isDifferent(changes, configured);
        console.log(
            differs ? `They differ. npm run domains -- --stack ${name} writes what the application has.` : "Application and config are the same.",
        );
        process.exitCode = differs ? 1 : 0;
    } else await write(name, session, recordsAfter(changes), yes);
}

async function write(name: string, { settings }: Session, records: Records, yes: boolean): Promise<void> {
    if (isDeepStrictEqual(records, settings.applicationDomains)) return console.log("Nothing to write: the config has it.");
    const file = path.join(PROJECT, `Pulumi.${name}.yaml`);
    if (!yes && !(await isConfirmed(`Write this to ${path.basename(file)}? [y/N] `))) return console.log("Nothing was written.");
    writeRecords(file, records);
    console.log(`Written to ${path.basename(file)}. ${nextStep(name, settings.dns?.provider)}`);
}

/** How what was written gets into DNS. */
export function nextStep(stack: string, provider: string | undefined): string {
    const up = `npm run up -- --stack ${stack}`;
    if (provider === undefined) return `This stack keeps no DNS records (dns.provider is none): publish them yourself.`;
    if (provider === "zone-file") return `The next \`${up}\` puts them into the outputs zone and records: publish those.`;
    return `The next \`${up}\` publishes them.`;
}

/** Writes the key `domainRecords` into a stack file, and nothing else. */
export function writeRecords(file: string, records: Records): void {
    const written = Object.entries(records).map(([name, { previous, ...record }]) => [
        name,
        { ...record, ...(previous.length > 0 ? { previous } : {}) },
    ]);
    writeFileSync(file, withConfig(readFileSync(file, "utf8"), `${readProject().name}:domainRecords`, Object.fromEntries(written)));
}

/** The private keys stay where they are. */
export const QUERY = `
    const wanted = { _id: 0, name: 1, dkim_key_selector: 1, dkim_public_key: 1, return_path: 1, verification_record: 1 };
    print(EJSON.stringify(db.getSiblingDB("forwardemail_production").domains.find({}, wanted).toArray()));`;

/** The domains of a running stack's application, from its MongoDB. Throws with the fix where they cannot be had. */
export const findDomains = async (session: Pick<Session, "stack" | "settings">, host = HOST): Promise<Found> =>
    foundDomains(await askMongo<StoredDomain[]>(session, "for the domains", QUERY, host));

if (require.main === module)
    main().catch((error: Error) => {
        console.error(error.message);
        process.exitCode = 1;
    });
