import * as fs from "node:fs";
import * as path from "node:path";
import { inFile } from "../providers/account";
import { zoneLines } from "../records";
import { accountFile, type CloudflareAccount, newId, readAccount, type Row } from "./account";
import { valueOf } from "./content";

/** The account as its owner has it before him, beside Pulumi. Not while the engine runs: the account has one hand at a time. */
export interface Console {
    account(): CloudflareAccount;
    /** Adds a zone without records. Answers its id. */
    addZone(name: string): Promise<string>;
    /** Adds a record behind Pulumi's back, whatever the API would say. Answers its id. */
    addRecord(row: Pick<Row, "zoneId" | "name" | "type" | "content"> & Partial<Row>): Promise<string>;
    /** Changes anything. */
    change(use: (account: CloudflareAccount) => void): Promise<void>;
    /** Records of a zone as lines of a master file, without SOA and NS. */
    zoneText(zoneName: string): string;
    /** Back to an account without zones, and with another token. */
    reset(): void;
}

/** The console of the account that a rehearsal's stand-in Cloudflare provider uses. */
export function cloudflareConsole({ directory }: { directory: string }): Console {
    const file = accountFile(directory);
    const withAccount = inFile(file, readAccount);
    const account = (): CloudflareAccount => {
        // Written at once, so that its token stays.
        if (!fs.existsSync(file)) {
            fs.mkdirSync(path.dirname(file), { recursive: true });
            fs.writeFileSync(file, JSON.stringify(readAccount(file), null, 4));
        }
        return readAccount(file);
    };
    const add = (kind: "zones" | "records", row: string | Row) =>
        withAccount((all) => {
            const id = newId();
            (all[kind] as Record<string, string | Row>)[id] = row;
            return id;
        });
    return {
        account,
        addZone: (name) => add("zones", name),
        addRecord: (row) => add("records", { ttl: 300, proxied: false, ...row }),
        change: (use) => withAccount(use),
        zoneText: (zoneName) => zoneText(account(), zoneName),
        reset: () => fs.rmSync(path.dirname(file), { recursive: true, force: true }),
    };
}

/** Records of a zone as lines of a master file. A TTL of 1 is Cloudflare's automatic one, which is five minutes. */
export function zoneText({ zones, records }: CloudflareAccount, zoneName: string): string {
    const rows = Object.values(records).filter(({ zoneId }) => zones[zoneId] === zoneName);
    return zoneLines(
        rows.map((row) => ({ name: row.name, type: row.type, ttl: row.ttl === 1 ? 300 : row.ttl, value: valueOf(row) })),
        10,
    );
}
