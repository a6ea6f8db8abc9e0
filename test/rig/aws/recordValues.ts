import { isIPv4, isIPv6 } from "node:net";
import { characterStrings, isName, LONGEST } from "../records";

const number = (most: number) => (text: string) => /^\d{1,5}$/.test(text) && Number(text) <= most;
const host = (text: string) => text === "." || isName(text.toLowerCase().replace(/\.$/, ""));
const hex = (text: string) => /^([0-9a-fA-F]{2})+$/.test(text);

/** Fields of a value, by type. Others are not looked at. */
const fields: Record<string, ((text: string) => boolean)[]> = {
    CNAME: [host],
    MX: [number(65535), host],
    SRV: [number(65535), number(65535), number(65535), host],
    TLSA: [number(255), number(255), number(255), hex],
};

/** What the API says of a value that it does not take, as far as its words are known. */
export function badValue(type: string, value: string): string | undefined {
    const fatal = (code: string, why: string) => `FATAL problem: ${code} (${why}) encountered with '${value}'`;
    if (type === "A" && !isIPv4(value)) return fatal("ARRDATAIllegalIPv4Address", "Value is not a valid IPv4 address");
    if (type === "AAAA" && !isIPv6(value)) return fatal("AAAARRDATAIllegalIPv6Address", "Value is not a valid IPv6 address");
    if (type === "TXT" || type === "SPF") return badText(value, fatal);
    if (type === "CAA" && !/^\d{1,3} [a-z]+ "[^"]*"$/.test(value)) return `'${value}' is no value of type CAA`;
    const parts = value.split(" ");
    const wrong = fields[type] && (parts.length !== fields[type].length || !fields[type].every((fits, at) => fits(parts[at])));
    return wrong ? `'${value}' is no value of type ${type}` : undefined;
}

function badText(value: string, fatal: (code: string, why: string) => string): string | undefined {
    if (/[^ -~]/.test(value)) return fatal("UnsupportedCharacter", "Value contains unsupported characters");
    const strings = characterStrings(value, 8);
    if (!strings) return fatal("InvalidCharacterString", "Value should be enclosed in quotation marks");
    const total = strings.reduce((sum, { length }) => sum + length, 0);
    const long = strings.some(({ length }) => length > LONGEST) || total > 4000;
    return long ? fatal("CharacterStringTooLong", "Value is too long") : undefined;
}
