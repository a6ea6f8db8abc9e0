import * as pulumi from "@pulumi/pulumi";
import { EXCHANGER } from "../services/catalogue";
import { DnsSettings, Settings } from "../settings/settings";
import { writeToCloudflare } from "./cloudflare";
import { EXAMPLE, dnsPlan } from "./plan";
import { DkimKey, DnsRecord, Exchanger, RecordData, Values, records } from "./records";
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
    /** SHA-256 of the certificate's public keys, now and next. */
    publicKeys?: pulumi.Input<string>[];
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
        // Which records there are is known now; what is in them may be known only when the server is made.
        const declared = records(dnsPlan(settings, placeholders(args)));
        const all = valuesOf(args).apply((values) => records(dnsPlan(settings, values)));
        this.written = WRITERS[dns.provider](name, declared, all.apply(byKey), dns, { parent: this });
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

const byKey = (all: DnsRecord[]): Record<string, RecordData> => Object.fromEntries(all.map(({ key, data }) => [key, data]));

const exchanger = (ipv4: string, ipv6?: string): Exchanger => ({ label: EXCHANGER, ipv4, ...(ipv6 ? { ipv6 } : {}) });

function placeholders({ ipv6, dkim, publicKeys = [] }: DnsArgs): Values {
    return {
        exchangers: [exchanger(EXAMPLE.exchangers[0].ipv4, ipv6)],
        dkim: Object.keys(dkim).map((selector) => ({ selector, publicKey: "" })),
        account: "",
        tlsa: publicKeys.map(() => ""),
    };
}

function valuesOf({ ipv4, ipv6, dkim, account, publicKeys = [] }: DnsArgs): pulumi.Output<Values> {
    const selectors = Object.keys(dkim);
    return pulumi
        .all([pulumi.output(ipv4), pulumi.all(Object.values(dkim)), pulumi.output(account ?? ""), pulumi.all(publicKeys)])
        .apply(([address, keys, url, tlsa]) => ({
            exchangers: [exchanger(address, ipv6)],
            dkim: keys.map((publicKey, at): DkimKey => ({ selector: selectors[at], publicKey })),
            account: url,
            tlsa,
        }));
}
