import * as pulumi from "@pulumi/pulumi";
import { EXCHANGER } from "../services/catalogue";
import { DnsSettings, Settings } from "../settings/settings";
import { writeToCloudflare } from "./cloudflare";
import { dnsPlan } from "./plan";
import { DnsRecord, RecordData, Values, records } from "./records";
import { writeToRoute53 } from "./route53";
import { Writer } from "./writer";
import { recordTable, zoneFiles } from "./zoneFile";

export interface DnsArgs {
    settings: Settings;
    /** The server's public addresses. */
    ipv4: pulumi.Input<string>;
    ipv6?: string;
    /** Base64 of the public keys by DKIM selector. */
    dkim: Record<string, pulumi.Input<string>>;
    /** URL of the ACME account, where there is one. */
    account?: pulumi.Input<string>;
    /** Public keys that the server may show. */
    publicKeys?: Array<{ number: number; publicKey: pulumi.Input<string> }>;
    /** What serves the MTA-STS policy. */
    router?: pulumi.Resource;
}

/** All records of a deployment, at the operator's DNS provider or as a text for any other. */
export class Dns extends pulumi.ComponentResource {
    /** Depend on it where names must lead to the server. */
    public readonly written: pulumi.Resource[];
    /** Text to add to the master file of each zone. */
    public readonly zoneFiles: pulumi.Output<Record<string, string>>;
    /** The same as a table for people. */
    public readonly table: pulumi.Output<string>;

    constructor(name: string, args: DnsArgs, opts?: pulumi.ComponentResourceOptions) {
        super("forwardemail:dns:Dns", `${name}-dns`, {}, opts);
        const { settings } = args;
        const dns = settings.dns!;
        const late = valuesOf(args);
        const { declared, content } = planned(settings, late, placeholders(args, "a"), placeholders(args, "b"));
        this.written = WRITERS[dns.provider](name, declared, content, dns, ({ name: at }) => ({
            parent: this,
            // A sender that saw the new id before the new policy would keep the old one under it (RFC 8461 §8.1).
            dependsOn: at.startsWith("_mta-sts.") && args.router ? [args.router] : [],
        }));
        const all = pulumi
            .all([late.exchangers, late.dkim, late.account, late.tlsa])
            .apply(([exchangers, dkim, account, tlsa]) => records(dnsPlan(settings, { exchangers, dkim, account, tlsa })));
        this.zoneFiles = all.apply((list) =>
            zoneFiles(
                list,
                dns.zones.map((zone) => zone.name),
                dns.ttl,
            ),
        );
        this.table = all.apply(recordTable);
        this.registerOutputs({});
    }
}

const WRITERS: Record<DnsSettings["provider"], Writer> = {
    cloudflare: writeToCloudflare,
    route53: writeToRoute53,
    "zone-file": () => [],
};

type LateValues = { [K in keyof Values]: pulumi.Output<Values[K]> };

/**
 * Which records there are, and the content of each: at once where it follows from the settings, else from the values that are in it and
 * from no other, so that a preview shows what really changes. Which those are is seen by filling in other values.
 */
function planned(
    settings: Settings,
    late: LateValues,
    some: Values,
    others: Values,
): { declared: DnsRecord[]; content: (key: string) => pulumi.Output<RecordData> } {
    const fill = (values: Values) => new Map(records(dnsPlan(settings, values)).map((record) => [record.key, record]));
    const declared = fill(some);
    const kinds = Object.keys(some) as Array<keyof Values>;
    const changed = new Map(kinds.map((kind) => [kind, fill({ ...some, [kind]: others[kind] })]));
    const dataOf = (all: Map<string, DnsRecord>, key: string) => all.get(key)!.data;
    const content = (key: string) => {
        const inIt = kinds.filter((kind) => JSON.stringify(dataOf(changed.get(kind)!, key)) !== JSON.stringify(dataOf(declared, key)));
        const values = pulumi.all(inIt.map((kind) => late[kind] as pulumi.Output<unknown>));
        return values.apply((known) => dataOf(fill({ ...some, ...Object.fromEntries(inIt.map((kind, at) => [kind, known[at]])) }), key));
    };
    return { declared: [...declared.values()], content };
}

function placeholders({ ipv6, dkim, publicKeys = [] }: DnsArgs, filler: string): Values {
    return {
        exchangers: [{ label: EXCHANGER, ipv4: filler, ipv6 }],
        dkim: Object.keys(dkim).map((selector) => ({ selector, publicKey: filler })),
        account: filler,
        tlsa: publicKeys.map(({ number }) => ({ number, publicKey: filler })),
    };
}

function valuesOf({ ipv4, ipv6, dkim, account, publicKeys = [] }: DnsArgs): LateValues {
    return {
        exchangers: pulumi.output(ipv4).apply((address) => [{ label: EXCHANGER, ipv4: address, ipv6 }]),
        dkim: pulumi.output(Object.entries(dkim).map(([selector, publicKey]) => ({ selector, publicKey }))),
        account: pulumi.output(account ?? ""),
        tlsa: pulumi.output(publicKeys),
    };
}
