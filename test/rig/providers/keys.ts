import { createHash, createPublicKey, generateKeyPair, type JsonWebKey, type KeyObject, randomBytes } from "node:crypto";
import { promisify } from "node:util";

/** The curves' names in Node, and in OpenSSH, which does not know P-224. */
const curves: Record<string, { node: string; ssh?: string }> = {
    P224: { node: "secp224r1" },
    P256: { node: "prime256v1", ssh: "nistp256" },
    P384: { node: "secp384r1", ssh: "nistp384" },
    P521: { node: "secp521r1", ssh: "nistp521" },
};

export async function generateKey(algorithm: string, rsaBits: number, curve: string): Promise<KeyObject> {
    const generate = promisify(generateKeyPair);
    if (algorithm === "RSA") return (await generate("rsa", { modulusLength: rsaBits })).privateKey;
    if (algorithm === "ECDSA") return (await generate("ec", { namedCurve: curves[curve].node })).privateKey;
    return (await generate("ed25519")).privateKey;
}

/** A private key in each form that the tls provider gives it. */
export function keyForms(key: KeyObject) {
    const publicKey = createPublicKey(key);
    const traditional = { rsa: "pkcs1", ec: "sec1", ed25519: "pkcs8" } as Record<string, "pkcs1" | "sec1" | "pkcs8">;
    return {
        privateKeyPem: key.export({ type: traditional[key.asymmetricKeyType ?? ""], format: "pem" }) as string,
        privateKeyPemPkcs8: key.export({ type: "pkcs8", format: "pem" }) as string,
        publicKeyPem: publicKey.export({ type: "spki", format: "pem" }) as string,
        ...(key.asymmetricKeyDetails?.namedCurve === curves.P224.node ? noSsh : sshForms(key)),
    };
}

const noSsh = { privateKeyOpenssh: "", publicKeyOpenssh: "", publicKeyFingerprintMd5: "", publicKeyFingerprintSha256: "" };

function sshForms(key: KeyObject) {
    const { type, publicFields, privateFields } = sshFields(key);
    const name = string(type);
    const blob = Buffer.concat([name, ...publicFields]);
    const md5 = createHash("md5").update(blob).digest("hex");
    return {
        privateKeyOpenssh: sshPrivateKey(blob, Buffer.concat([name, ...privateFields])),
        publicKeyOpenssh: `${type} ${blob.toString("base64")}\n`,
        publicKeyFingerprintMd5: (md5.match(/../g) ?? []).join(":"),
        publicKeyFingerprintSha256: `SHA256:${createHash("sha256").update(blob).digest("base64").replace(/=+$/, "")}`,
    };
}

/** What OpenSSH's formats hold of a key: RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4. */
function sshFields(key: KeyObject): { type: string; publicFields: Buffer[]; privateFields: Buffer[] } {
    const jwk = key.export({ format: "jwk" });
    const bytes = (field: keyof JsonWebKey) => Buffer.from(jwk[field] as string, "base64url");
    const numbers = (...fields: (keyof JsonWebKey)[]) => fields.map((field) => integer(bytes(field)));
    if (jwk.kty === "RSA") {
        return { type: "ssh-rsa", publicFields: numbers("e", "n"), privateFields: numbers("n", "e", "d", "qi", "p", "q") };
    }
    if (jwk.kty === "OKP") {
        const publicFields = [string(bytes("x"))];
        return { type: "ssh-ed25519", publicFields, privateFields: [...publicFields, string(Buffer.concat([bytes("d"), bytes("x")]))] };
    }
    const curve = Object.values(curves).find(({ node }) => node === key.asymmetricKeyDetails?.namedCurve)?.ssh ?? "";
    const publicFields = [string(curve), string(Buffer.concat([Buffer.of(4), bytes("x"), bytes("y")]))];
    return { type: `ecdsa-sha2-${curve}`, publicFields, privateFields: [...publicFields, ...numbers("d")] };
}

/** OpenSSH's own container (PROTOCOL.key), without a passphrase. */
function sshPrivateKey(blob: Buffer, fields: Buffer): string {
    const check = randomBytes(4);
    const secret = Buffer.concat([check, check, fields, string("")]);
    const padding = Buffer.from([1, 2, 3, 4, 5, 6, 7].slice(0, -secret.length & 7));
    const none = [string("none"), string("none"), string(""), Buffer.of(0, 0, 0, 1)];
    const body = Buffer.concat([Buffer.from("openssh-key-v1\0"), ...none, string(blob), string(Buffer.concat([secret, padding]))]);
    const lines = body.toString("base64").match(/.{1,64}/g) ?? [];
    return ["-----BEGIN OPENSSH PRIVATE KEY-----", ...lines, "-----END OPENSSH PRIVATE KEY-----", ""].join("\n");
}

function string(value: string | Buffer): Buffer {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(Buffer.byteLength(value));
    return Buffer.concat([length, Buffer.from(value as string)]);
}

function integer(value: Buffer): Buffer {
    const start = value.findIndex((byte) => byte !== 0);
    const digits = value.subarray(start);
    return string(digits[0] & 0x80 ? Buffer.concat([Buffer.of(0), digits]) : digits); // else it would read as negative
}
