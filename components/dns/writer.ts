import * as pulumi from "@pulumi/pulumi";
import { DnsSettings, Zone } from "../settings/settings";
import { DnsRecord, RecordData, zoneOf } from "./records";

/** Declares records at a DNS provider: which there are is known now, what is in each, by its key, may be known later. */
export type Writer = (
    name: string,
    all: DnsRecord[],
    content: (key: string) => pulumi.Output<RecordData>,
    settings: DnsSettings,
    opts: (record: DnsRecord) => pulumi.CustomResourceOptions,
) => pulumi.Resource[];

/** Answers the id of the zone that a name belongs to. */
export function zoneIds(zones: Zone[]): (name: string) => string {
    const ids = Object.fromEntries(zones.map((zone) => [zone.name, zone.id!]));
    return (name) => ids[zoneOf(name, Object.keys(ids))!];
}
