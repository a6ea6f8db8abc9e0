import { randomInt } from "node:crypto";
import type { RecordArgs, RecordState } from "@pulumi/aws/route53/record";
import type { Unwrap } from "@pulumi/pulumi";
import type { Resource } from "../providers/standin";
import { absolute, within } from "../records";
import type { Account, RecordSet } from "./account";
import { must } from "./errors";
import { badValue } from "./recordValues";
import type { Cloud } from "./resource";

type Args = Unwrap<RecordArgs>;
/** What identifies a record set, for the provider; not the id in the state, which an earlier type may have left there. */
type Key = Pick<RecordSet, "zoneId" | "name" | "type">;

const refused = "InvalidChangeBatch";
const types = ["A", "AAAA", "CAA", "CNAME", "DS", "HTTPS", "MX", "NAPTR", "NS", "PTR", "SOA", "SPF", "SRV", "SSHFP", "SVCB", "TLSA", "TXT"];

/** An id of a hosted zone as AWS makes them. */
export const newZoneId = (): string =>
    `Z${Array.from({ length: 20 }, () => randomInt(36).toString(36))
        .join("")
        .toUpperCase()}`;

const normalName = (name: string) => name.toLowerCase().replace(/\.$/, "");

export const setId = ({ zoneId, name, type }: Key): string => `${zoneId}_${normalName(name)}_${type}`;

export const record = ({ withAccount }: Cloud): Resource<Args, Unwrap<RecordState>> => ({
    inputs: ["zoneId", "name", "type", "ttl", "records", "allowOverwrite"],
    required: ["zoneId", "name", "type", "records"],
    computed: ["allowOverwrite"],
    oneOf: { type: types },
    inPlace: ["type", "ttl", "records", "allowOverwrite"],
    normal: ({ name, records, ...args }) => ({
        ...args,
        name: name && normalName(name),
        records: Array.isArray(records) ? [...new Set(records)].sort() : records,
    }),
    refuse: ({ name }) => (normalName(name) === "" ? "the rehearsal takes full names only" : undefined),
    create: (args) =>
        withAccount((account) => {
            const set = wanted(account, args);
            const exists = `[Tried to create resource record set [name='${absolute(set.name)}', type='${set.type}'] but it already exists]`;
            must(args.allowOverwrite || !account.recordSets[setId(set)], refused, exists);
            return { id: setId(set), outs: put(account, set) };
        }),
    read: (state) =>
        withAccount(({ hostedZones, recordSets }) => {
            const set = hostedZones[state.zoneId] && recordSets[setId(state as Key)];
            return set && { ttl: set.ttl, records: set.records.map((value) => given(set.type, value)) };
        }),
    update: (args, old) =>
        withAccount((account) => {
            const set = wanted(account, args);
            // A changed type is one batch, of which a part that fails leaves all as it was.
            if (old.type !== args.type) delete account.recordSets[setId(old as Key)];
            return put(account, set);
        }),
    delete: (state) =>
        withAccount((account) => {
            delete account.recordSets[setId(state)]; // the whole set, whoever wrote the values in it
        }),
});

/** The set as the provider sends it. */
function wanted(account: Account, { zoneId, name, type, ttl, records = [] }: Args): RecordSet {
    const zone = account.hostedZones[zoneId]?.name;
    must(zone, "NoSuchHostedZone", `No hosted zone found with ID: ${zoneId}`);
    const full = normalName(name);
    // The provider looks only at how the name ends, and adds the zone to any other: a record nobody wanted.
    if (!full.endsWith(zone)) throw new Error(`stand-in aws provider: the real one would make ${full}.${zone} of ${full}, which is not in ${zone}`);
    must(within(full, zone), refused, `[RRSet with DNS name ${absolute(full)} is not permitted in zone ${absolute(zone)}]`);
    const none = `Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or TrafficPolicyInstanceId], but found none`;
    const change = `[Action=CREATE, Name=${full}, Type=${type}, SetIdentifier=null]`;
    must(ttl !== undefined && records.length > 0, "InvalidInput", `Invalid request: ${none} in Change with ${change}`);
    return { zoneId, name: full, type, ttl, records: [...new Set(records)].map((value) => sent(type, value)) };
}

const isText = (type: string) => type === "TXT" || type === "SPF";
/** The provider puts quotes around every text, whatever is in it. */
const sent = (type: string, value: string) => (isText(type) ? `"${value}"` : value);
const given = (type: string, value: string) => (isText(type) ? value.replace(/^"([^]*)"$/, "$1") : value);

function put(account: Account, set: RecordSet): Partial<Unwrap<RecordState>> {
    for (const value of set.records) {
        const reason = badValue(set.type, value);
        must(reason === undefined, refused, `[Invalid Resource Record: '${reason}']`);
    }
    const zone = account.hostedZones[set.zoneId].name;
    const others = Object.values(account.recordSets).filter(
        (other) => other.name === set.name && other.zoneId === set.zoneId && other.type !== set.type,
    );
    const rrset = `RRSet of type ${set.type} with DNS name ${absolute(set.name)} is not permitted`;
    if (set.type === "CNAME") {
        must(set.name !== zone, refused, `[${rrset} at apex in zone ${absolute(zone)}]`);
        must(others.length === 0, refused, `[${rrset} as it conflicts with other records with the same DNS name in zone ${absolute(zone)}]`);
    }
    const alias = others.some(({ type }) => type === "CNAME");
    const why = `because a conflicting RRSet of type CNAME with the same DNS name already exists in zone ${absolute(zone)}`;
    must(!alias, refused, `[${rrset} ${why}]`);
    account.recordSets[setId(set)] = set;
    return { name: set.name, fqdn: set.name };
}
