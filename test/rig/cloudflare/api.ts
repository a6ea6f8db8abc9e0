import { within } from "../records";
import { type Call, type CloudflareAccount, newId, type Row } from "./account";
import { accepted, type Args } from "./content";
import { Refusal, unwise } from "./errors";
import { type Cloudflare, notRouted, requests } from "./request";

/** The part of Cloudflare's API that has the records of zones. */
export function recordsApi(cloudflare: Cloudflare) {
    const send = requests(cloudflare);
    const request = <T>(call: Call, zoneId: string, answer: (account: CloudflareAccount, zone: string) => T): Promise<T> =>
        send(call, (account) => answer(account, zoneOf(account, call.path, zoneId)));
    const all = (zoneId: string) => `zones/${zoneId}/dns_records`;
    const one = (zoneId: string, id: string) => `${all(zoneId)}/${id}`;
    return {
        create: (args: Args) =>
            request({ method: "POST", path: all(args.zoneId), record: `${args.name} ${args.type}` }, args.zoneId, (account, zone) => {
                const id = newId();
                return { id, row: (account.records[id] = fitting(account, zone, args)) };
            }),
        read: (zoneId: string, id: string) =>
            request({ method: "GET", path: one(zoneId, id) }, zoneId, ({ records }): Row | undefined =>
                records[id]?.zoneId === zoneId ? records[id] : undefined,
            ),
        update: (args: Args, id: string) =>
            request({ method: "PUT", path: one(args.zoneId, id), record: `${args.name} ${args.type}` }, args.zoneId, (account, zone) => {
                mustExist(account, args.zoneId, id);
                return (account.records[id] = fitting(account, zone, args, id));
            }),
        delete: (zoneId: string, id: string) =>
            request({ method: "DELETE", path: one(zoneId, id) }, zoneId, (account) => {
                mustExist(account, zoneId, id);
                delete account.records[id];
            }),
    };
}

function zoneOf({ zones }: CloudflareAccount, path: string, id: string): string {
    if (!/^[0-9a-f]{32}$/.test(id)) throw notRouted(path);
    if (!zones[id]) throw new Refusal(1001, "Invalid zone identifier");
    return zones[id];
}

function mustExist({ records }: CloudflareAccount, zoneId: string, id: string): void {
    if (records[id]?.zoneId !== zoneId) throw new Refusal(81044, "Record does not exist.", "404 Not Found");
}

/** A record that can be beside the others of its zone, in place of the one with the id. */
function fitting(account: CloudflareAccount, zone: string, args: Args, id?: string): Row {
    const row = accepted(args);
    if (!within(row.name, zone)) throw new Error(unwise(`${row.name} is not in ${zone}: the record would be ${row.name}.${zone}`));
    const others = Object.entries(account.records).filter(([other, { zoneId, name }]) => other !== id && zoneId === row.zoneId && name === row.name);
    for (const [, other] of others) mustFit(row, other);
    return row;
}

function mustFit(row: Row, other: Row): void {
    const same = (["type", "content", "priority"] as const).every((key) => row[key] === other[key]);
    if (same) throw new Refusal(81058, "An identical record already exists.");
    if (row.type !== "CNAME" && other.type !== "CNAME") return;
    const host = (type: string) => ["A", "AAAA", "CNAME"].includes(type);
    if (row.type === "CNAME" && host(other.type)) throw new Refusal(81053, "An A, AAAA, or CNAME record with that host already exists.");
    if (host(row.type) && other.type === "CNAME") throw new Refusal(81054, "A CNAME record with that host already exists.");
    throw new Error(unwise(`${row.name} has a record of type ${other.type}, and an alias is alone at its name (RFC 1034 §3.6.2)`));
}
