import * as cloudflare from "@pulumi/cloudflare";
import * as pulumi from "@pulumi/pulumi";
import { RecordData } from "./records";
import { Writer, zoneIds } from "./writer";
import { chunks, quoted } from "./zoneFile";

/**
 * One resource a record. Others' records of a name are left alone, but for what DNS and Cloudflare refuse: an alias beside another record,
 * or the same record twice (errors 81053 to 81058).
 */
export const writeToCloudflare: Writer = (name, all, content, { zones, ttl, token }, opts) => {
    const provider = new cloudflare.Provider(`${name}-cloudflare`, { apiToken: token });
    const zoneId = zoneIds(zones);
    return all.map((record) => {
        const text = content(record.key).apply(contentOf);
        return new cloudflare.DnsRecord(
            `${name}-${record.key.replaceAll(" ", "-")}`,
            {
                zoneId: zoneId(record.name),
                name: record.name, // the full name: a relative one differs on every refresh
                type: record.data.type,
                ttl,
                proxied: false, // nobody but the server itself answers mail
                comment: record.purpose.slice(0, 100), // what the free plan takes
                ...fieldsOf(record.data, text),
            },
            // In another zone of the account, the same record may be refused while the old one is there.
            { ...opts(record), provider, deleteBeforeReplace: true },
        );
    });
};

/** Text of the record, where it has no fields of its own. */
function contentOf(data: RecordData): string {
    switch (data.type) {
        case "A":
        case "AAAA":
            return data.address;
        case "CNAME":
        case "MX":
            return data.target;
        // Unquoted texts are taken with a warning, and long ones are split and then differ: so both are done here.
        case "TXT":
            return chunks(data.text).map(quoted).join(" ");
        case "TLSA":
            return data.certificate;
        case "CAA":
            return data.value;
        case "SRV":
            return data.target;
    }
}

/** Content, or fields, in the form of each type; what is known from the start is not hidden in an output. */
function fieldsOf(data: RecordData, content: pulumi.Output<string>): Partial<cloudflare.DnsRecordArgs> {
    switch (data.type) {
        case "MX":
            return { content, priority: data.preference };
        case "SRV":
            return {
                data: { priority: data.priority, weight: data.weight, port: data.port, target: content },
                priority: data.priority, // the API has it in both places
            };
        case "CAA":
            return { data: { flags: data.flags, tag: data.tag, value: content } };
        case "TLSA":
            return { data: { usage: data.usage, selector: data.selector, matchingType: data.matchingType, certificate: content } };
        default:
            return { content };
    }
}
