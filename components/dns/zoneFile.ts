import { DnsRecord, RecordData, zoneOf } from "./records";

/** A host name as a master file has it: with its final dot. */
const absolute = (name: string) => (name === "." ? "." : `${name}.`);

/** Longest that one string of a TXT record may be, in bytes (RFC 1035 §3.3). */
export const CHUNK = 255;

/** A text in strings of 255 bytes or fewer. Ours are all ASCII. */
export function chunks(text: string): string[] {
    return text.match(new RegExp(`[^]{1,${CHUNK}}`, "g")) ?? [""];
}

/** Quoted as in a master file (RFC 1035 §5.1). */
export const quoted = (text: string) => `"${text.replace(/["\\]/g, "\\$&")}"`;

/** The content of a record as a master file has it. */
export function rdata(data: RecordData): string {
    switch (data.type) {
        case "A":
        case "AAAA":
            return data.address;
        case "CNAME":
            return absolute(data.target);
        case "MX":
            return `${data.preference} ${absolute(data.target)}`;
        case "TXT":
            return chunks(data.text).map(quoted).join(" ");
        case "SRV":
            return `${data.priority} ${data.weight} ${data.port} ${absolute(data.target)}`;
        case "CAA":
            return `${data.flags} ${data.tag} ${quoted(data.value)}`;
        case "TLSA":
            return `${data.usage} ${data.selector} ${data.matchingType} ${data.certificate}`;
    }
}

/** A fragment of a zone for each zone: what to add to a master file (RFC 1035 §5), or to import at a provider. */
export function zoneFiles(all: DnsRecord[], zones: string[], ttl: number): Record<string, string> {
    return Object.fromEntries(
        zones.map((zone) => {
            const lines = all
                .filter(({ name }) => zoneOf(name, zones) === zone)
                .map(({ name, data }) => `${absolute(name)}\t${ttl}\tIN\t${data.type}\t${rdata(data)}`);
            return [zone, `; Records of the mail server, to add to zone ${zone}. Other records of the zone stay.\n${lines.join("\n")}\n`];
        }),
    );
}

/** The same for people: a line a record, with what it is for. */
export function recordTable(all: DnsRecord[]): string {
    const rows = all.map(({ name, data, purpose }) => [name, data.type, data.type === "TXT" ? data.text : rdata(data), purpose]);
    const widths = [0, 1].map((at) => Math.max(...rows.map((row) => row[at].length)));
    return rows.map(([name, type, content, purpose]) => `${name.padEnd(widths[0])}  ${type.padEnd(widths[1])}  ${content}  # ${purpose}`).join("\n");
}
