import { createHash, createPublicKey, verify } from "node:crypto";

export interface Signature {
    domain: string;
    selector: string;
    /** Whether the key made it, over these headers and this body. */
    isBy(publicKey: string): boolean;
}

/** The first DKIM signature of a message, `relaxed/relaxed` with RSA and SHA-256 (RFC 6376), which is what the application makes. */
export function dkimSignature(source: string): Signature {
    const [, head, body] = /^([^]*?\r\n)\r\n([^]*)$/.exec(source)!;
    const headers = head.match(/^[^\s:]+:.*\r\n([ \t].*\r\n)*/gm)!;
    const own = headers.find((header) => /^dkim-signature:/i.test(header))!;
    const tags = Object.fromEntries([...own.slice(own.indexOf(":") + 1).matchAll(/(\w+)=([^;]*)/g)].map(([, name, value]) => [name, strip(value)]));
    if (tags.c !== "relaxed/relaxed" || tags.a !== "rsa-sha256") throw new Error(`signed with ${tags.c} ${tags.a}`);
    const bodyHash = createHash("sha256").update(relaxedBody(body), "utf8").digest("base64");
    const unsigned = relaxedHeader(own.replace(/([;\s]b=)[^;]*/, "$1"));
    const signed = [...chosen(headers, tags.h.split(":")), unsigned].join("\r\n");
    return {
        domain: tags.d,
        selector: tags.s,
        isBy(publicKey) {
            const key = createPublicKey({ key: Buffer.from(publicKey, "base64"), format: "der", type: "spki" });
            return tags.bh === bodyHash && verify("sha256", Buffer.from(signed), key, Buffer.from(tags.b, "base64"));
        },
    };
}

const strip = (text: string) => text.replace(/\s+/g, "");

/** Of several headers of one name the last is taken first (§5.4.2); a name without a header adds nothing. */
function chosen(headers: string[], names: string[]): string[] {
    const left = [...headers];
    return names.flatMap((name) => {
        const at = left.map(nameOf).lastIndexOf(name.trim().toLowerCase());
        return at < 0 ? [] : left.splice(at, 1).map(relaxedHeader);
    });
}

const nameOf = (header: string) => header.slice(0, header.indexOf(":")).trim().toLowerCase();

/** §3.4.2 */
function relaxedHeader(header: string): string {
    const value = header.slice(header.indexOf(":") + 1);
    return `${nameOf(header)}:${value
        .replace(/\r\n/g, "")
        .replace(/[ \t]+/g, " ")
        .trim()}`;
}

/** §3.4.4 */
function relaxedBody(body: string): string {
    const lines = body.replace(/[ \t]+/g, " ").replace(/ (?=\r\n)/g, "");
    return lines.replace(/(\r\n)*$/, lines.trim() === "" ? "" : "\r\n");
}
