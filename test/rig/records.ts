// What stand-ins for the writers of DNS have in common: the text of records (RFC 1035 §5.1).

/** A record as an API keeps it; `value` is its content in one text, in which host names may lack the final dot. */
export interface ZoneRecord {
    name: string;
    ttl: number;
    type: string;
    value: string;
}

/** Longest string of a TXT record, in bytes (RFC 1035 §3.3). */
export const LONGEST = 255;

/** The bytes of a TXT record's quoted strings; undefined where something is not quoted. Bytes stand as `\DDD`, which Route 53 has octal. */
export function characterStrings(text: string, radix: 8 | 10): Buffer[] | undefined {
    const string = /\s*"((?:[^"\\]|\\\d{3}|\\\D)*)"\s*/y;
    const found: Buffer[] = [];
    while (string.lastIndex < text.length) {
        const match = string.exec(text);
        if (!match) return undefined;
        found.push(unescape(match[1], radix));
    }
    return found.length > 0 ? found : undefined;
}

function unescape(text: string, radix: number): Buffer {
    const parts = text.match(/\\\d{3}|\\\D|[^\\]+/g) ?? [];
    return Buffer.concat(
        parts.map((part) => (/^\\\d{3}$/.test(part) ? Buffer.from([parseInt(part.slice(1), radix)]) : Buffer.from(part.replace(/^\\/, "")))),
    );
}

/** A quoted string of a master file. */
export const quoted = (bytes: Buffer): string => `"${[...bytes].map(escape).join("")}"`;

function escape(byte: number): string {
    const sign = String.fromCharCode(byte);
    if (byte < 32 || byte > 126) return `\\${String(byte).padStart(3, "0")}`;
    return sign === '"' || sign === "\\" ? `\\${sign}` : sign;
}

export const absolute = (name: string): string => `${name.replace(/\.$/, "")}.`;

/** Whether it is a zone's own name, or one below it. */
export const within = (name: string, zone: string): boolean => name === zone || name.endsWith(`.${zone}`);

/** Whether it can be a name in DNS, in lower case and without a final dot. */
export const isName = (name: string): boolean =>
    name.length <= 253 && /^(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/.test(name);

/** Records as lines of a master file: absolute names, one record a line. */
export function zoneLines(records: ZoneRecord[], radix: 8 | 10): string {
    const lines = records.map(({ name, ttl, type, value }) => `${absolute(name)}\t${ttl}\tIN\t${type}\t${masterValue(type, value, radix)}\n`);
    return lines.sort().join("");
}

function masterValue(type: string, value: string, radix: 8 | 10): string {
    if (["CNAME", "MX", "NS", "PTR", "SRV"].includes(type)) return value.replace(/\S+$/, absolute);
    if (type !== "TXT") return value;
    const strings = characterStrings(value, radix) ?? [Buffer.from(value)]; // a stranger's may be as he wrote it
    return strings.map(quoted).join(" ");
}
