import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import { DnsRecord, RecordData } from "./records";
import { Writer, zoneIds } from "./writer";
import { chunks, rdata } from "./zoneFile";

/**
 * One resource a name and type, because Route 53 has one record set for both. One that is there already is refused by the API; where
 * `dns.keep` lists what others have in it, the program takes it over and writes their values along.
 */
export const writeToRoute53: Writer = (name, all, content, { zones, ttl, keep }, opts) => {
    // Route 53 is everywhere at once; the provider wants a region all the same.
    const provider = new aws.Provider(`${name}-route53`, { region: "us-east-1" });
    const zoneId = zoneIds(zones);
    const sets = new Map<string, DnsRecord[]>();
    for (const record of all) {
        const set = `${record.name} ${record.data.type}`;
        sets.set(set, [...(sets.get(set) ?? []), record]);
    }
    return [...sets].map(([set, records]) => {
        const [{ name: fullName, data }] = records;
        const others = (keep[set] ?? []).map((value) => (data.type === "TXT" ? text(value) : value));
        return new aws.route53.Record(
            `${name}-${set.replaceAll(" ", "-")}`,
            {
                zoneId: zoneId(fullName),
                name: fullName,
                type: data.type,
                ttl,
                records: pulumi.all(records.map(({ key }) => content(key))).apply((data) => [...data.map(value), ...others]),
                allowOverwrite: others.length > 0,
            },
            { ...opts(records[0]), provider, deleteBeforeReplace: true },
        );
    });
};

/** The provider puts the outer quotes around a text itself, so that strings of one text are joined by the inner ones. */
const text = (all: string) => chunks(all.replace(/["\\]/g, "\\$&")).join('""');

const value = (data: RecordData) => (data.type === "TXT" ? text(data.text) : rdata(data).replace(/(?<=[^. ])\.$/, ""));
