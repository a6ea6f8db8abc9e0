import { spawn } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isRpcSecret, specialSecretSig, specialSigKey, unknownValue } from "@pulumi/pulumi/runtime/rpc";
import { afterEach, describe, expect, test, vi } from "vitest";
import command from "../rig/providers/command";
import { installProviders } from "../rig/providers/install";
import random from "../rig/providers/random";
import tls from "../rig/providers/tls";

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- the wire format is untyped
type Props = Record<string, any>;
const secret = (value: unknown) => ({ [specialSigKey]: specialSecretSig, value });
const urn = (type: string) => `urn:pulumi:dev::project::component:index:Parent$${type}::name`;

/** One resource type of a provider, as the engine drives it. */
function resource(provider: typeof tls, type: string) {
    const at = urn(type);
    return {
        check: async (news: Props) => (await provider.check(at, {}, news)).failures,
        diff: (olds: Props, news: Props) => provider.diff("id", at, olds, news),
        create: async (news: Props): Promise<Props> => (await provider.create(at, news)).outs,
        read: async (props: Props): Promise<Props> => (await provider.read("id", at, props)).props,
        update: async (olds: Props, news: Props): Promise<Props> => (await provider.update("id", at, olds, news)).outs,
        delete: (props: Props) => provider.delete("id", at, props),
    };
}

afterEach(() => {
    vi.useRealTimers();
});

describe("every stand-in", () => {
    test.each([
        ["command", command],
        ["tls", tls],
        ["random", random],
    ])("%s answers with the SDK's version", async (name, provider) => {
        const { version } = await import(`@pulumi/${name}/package.json`);
        expect(provider.version).toBe(version);
    });

    test("is an executable that answers with its port, as the engine expects", async () => {
        const bin = await mkdtemp(join(tmpdir(), "providers-"));
        await installProviders(bin);
        for (const name of ["aws", "cloudflare", "command", "tls", "random"]) {
            const plugin = spawn(join(bin, `pulumi-resource-${name}`), ["127.0.0.1:1"]);
            const [line] = await once(plugin.stdout, "data");
            plugin.kill();
            expect(`${line}`).toMatch(/^\d+\n$/);
        }
        await rm(bin, { recursive: true });
    });

    test("refuses by name what it does not implement", async () => {
        const refusal = "stand-in random provider: random:index/randomPet:RandomPet is not available in the rehearsal";
        expect(await resource(random, "random:index/randomPet:RandomPet").check({})).toEqual([{ property: "", reason: refusal }]);
        await expect(resource(random, "random:index/randomPet:RandomPet").read({})).rejects.toThrow(refusal);
        await expect(tls.invoke("tls:index/getPublicKey:getPublicKey", {})).rejects.toThrow("is not available in the rehearsal");
        const wo = "stand-in tls provider: the input privateKeyPemWo is not available in the rehearsal";
        expect(await selfSigned.check({ privateKeyPemWo: "x" })).toEqual([{ property: "privateKeyPemWo", reason: wo }]);
    });
});

describe("random", () => {
    const password = resource(random, "random:index/randomPassword:RandomPassword");

    test("an unchanged password stays, any other input replaces it", async () => {
        const state = await password.create({ length: 24 });
        expect(await password.diff(state, { length: 24 })).toEqual({ changes: false, replaces: [] });
        expect(await password.diff(state, { length: 24, upper: true, minLower: 0 })).toEqual({ changes: false, replaces: [] }); // defaults
        expect(await password.diff(state, { length: 32 })).toEqual({ changes: true, replaces: ["length"] });
        expect(await password.diff(state, { length: 24, keepers: { a: "1" } })).toEqual({ changes: true, replaces: ["keepers"] });
        expect(await password.diff(state, { length: unknownValue })).toEqual({ changes: true, replaces: ["length"] });
        expect(await password.diff({ ...state, keepers: { a: "1" } }, { length: 24 })).toEqual({ changes: true, replaces: ["keepers"] });
    });

    test("result and hash are secret", async () => {
        const { result } = await password.create({ length: 24 });
        expect(isRpcSecret(result)).toBe(true);
    });

    test.each([
        [{ length: 64 }, /^[\w!@#$%&*()\-=+[\]{}<>:?]{64}$/],
        [{ length: 40, special: false }, /^[a-zA-Z0-9]{40}$/],
        [{ length: 40, special: false, upper: false, lower: false }, /^[0-9]{40}$/],
        [{ length: 40, overrideSpecial: "~", upper: false, lower: false, numeric: false }, /^~{40}$/],
        [{ length: 3, minUpper: 1, minNumeric: 1, minSpecial: 1, overrideSpecial: "_" }, /^(?=.*[A-Z])(?=.*\d)(?=.*_).{3}$/],
    ])("%o", async (args, expected) => {
        expect((await resource(random, "random:index/randomString:RandomString").create(args)).result).toMatch(expected);
    });

    test("impossible lengths and sets are errors", async () => {
        await expect(password.create({ length: 2, minLower: 3 })).rejects.toThrow("length must be at least 3, got 2");
        await expect(password.create({ length: 2, lower: false, upper: false, numeric: false, special: false })).rejects.toThrow("empty");
    });

    test("an id is the same number in each notation", async () => {
        const { hex, dec, b64Std, b64Url } = await resource(random, "random:index/randomId:RandomId").create({
            byteLength: 4,
            prefix: "p-",
        });
        const number = BigInt(`0x${hex.slice(2)}`);
        expect(hex).toMatch(/^p-[0-9a-f]{8}$/);
        expect(dec).toBe(`p-${number}`);
        expect(Buffer.from(b64Std.slice(2), "base64")).toEqual(Buffer.from(b64Url.slice(2), "base64url"));
    });
});

const selfSigned = resource(tls, "tls:index/selfSignedCert:SelfSignedCert");
const locallySigned = resource(tls, "tls:index/locallySignedCert:LocallySignedCert");
const request = resource(tls, "tls:index/certRequest:CertRequest");
const key = resource(tls, "tls:index/privateKey:PrivateKey");
const authority = {
    isCaCertificate: true,
    allowedUses: ["cert_signing", "crl_signing"],
    validityPeriodHours: 48,
    subject: { commonName: "Test CA" },
};

describe("tls keys", () => {
    test.each([
        [{ algorithm: "RSA" }, "RSA PRIVATE KEY", "ssh-rsa "],
        [{ algorithm: "ECDSA", ecdsaCurve: "P384" }, "EC PRIVATE KEY", "ecdsa-sha2-nistp384 "],
        [{ algorithm: "ED25519" }, "PRIVATE KEY", "ssh-ed25519 "],
        [{ algorithm: "ECDSA" }, "EC PRIVATE KEY", ""], // P224, the default, which OpenSSH does not know
    ])("%o has the forms of the real provider", async (args, header, ssh) => {
        const outs = await key.create(args);
        expect(outs.privateKeyPem.value).toMatch(new RegExp(`^-----BEGIN ${header}-----\n[^]*-----END ${header}-----\n$`));
        expect(outs.publicKeyPem).toMatch(/^-----BEGIN PUBLIC KEY-----\n/);
        expect(outs.publicKeyOpenssh.startsWith(ssh) && outs.publicKeyOpenssh.endsWith(ssh && "\n")).toBe(true);
        expect([outs.privateKeyPem, outs.privateKeyPemPkcs8, outs.privateKeyOpenssh].every(isRpcSecret)).toBe(true);
        expect(await key.diff(outs, args)).toEqual({ changes: false, replaces: [] });
        expect((await key.diff(outs, { ...args, rsaBits: 4096 })).replaces).toEqual(["rsaBits"]);
    });

    test("an unknown algorithm is refused before anything is made", async () => {
        expect(await key.check({ algorithm: "rsa" })).toEqual([
            { property: "algorithm", reason: "value must be one of: RSA, ECDSA, ED25519; got: rsa" },
        ]);
    });
});

describe("tls certificates", () => {
    test.each([["RSA"], ["ECDSA"], ["ED25519"]])("a %s chain verifies", async (algorithm) => {
        const [caKey, leafKey] = await Promise.all([1, 2].map(() => key.create({ algorithm, ecdsaCurve: "P256" })));
        const ca = await selfSigned.create({ ...authority, privateKeyPem: caKey.privateKeyPem });
        const names = { dnsNames: ["mx.example.com", "*.example.com"], ipAddresses: ["192.0.2.1"] };
        const { certRequestPem } = await request.create({ privateKeyPem: leafKey.privateKeyPem, subject: { commonName: "mx" }, ...names });
        const signing = { caCertPem: ca.certPem, caPrivateKeyPem: caKey.privateKeyPem.value, certRequestPem };
        const leaf = await locallySigned.create({ ...signing, allowedUses: ["server_auth"], validityPeriodHours: 1 });

        const [root, end] = [new X509Certificate(ca.certPem), new X509Certificate(leaf.certPem)];
        expect([root.ca, root.verify(root.publicKey), end.ca]).toEqual([true, true, false]);
        expect([end.checkIssued(root), end.verify(root.publicKey)]).toEqual([true, true]);
        expect(end.subjectAltName).toBe("DNS:mx.example.com, DNS:*.example.com, IP Address:192.0.2.1");
        expect(end.keyUsage).toEqual(["1.3.6.1.5.5.7.3.1"]);
        expect(Date.parse(end.validTo) - Date.parse(end.validFrom)).toBe(3_600_000);
        expect([ca.keyAlgorithm, leaf.caKeyAlgorithm]).toEqual([algorithm, algorithm]);
        expect([isRpcSecret(ca.privateKeyPem), isRpcSecret(leaf.caPrivateKeyPem)]).toEqual([true, true]);
    });

    test("inputs replace, but the renewal margin updates until renewal is due", async () => {
        const { privateKeyPem } = await key.create({ algorithm: "ECDSA", ecdsaCurve: "P256" });
        const inputs = { ...authority, privateKeyPem };
        const state = await selfSigned.create(inputs);
        expect(state.readyForRenewal).toBe(false);
        expect(await selfSigned.diff(state, { ...inputs, privateKeyPem: privateKeyPem.value })).toEqual({ changes: false, replaces: [] });
        expect((await selfSigned.diff(state, { ...inputs, dnsNames: ["a"] })).replaces).toEqual(["dnsNames"]);
        expect(await selfSigned.diff(state, { ...inputs, earlyRenewalHours: 1 })).toEqual({ changes: true, replaces: [] });
        expect((await selfSigned.diff(state, { ...inputs, earlyRenewalHours: 48 })).replaces).toEqual(["readyForRenewal"]);

        const updated = await selfSigned.update({ ...state, readyForRenewal: true }, { ...inputs, earlyRenewalHours: 1 });
        expect(updated).toEqual({ ...state, earlyRenewalHours: 1 });
        vi.useFakeTimers({ now: Date.parse(state.validityEndTime) - 1_800_000, toFake: ["Date"] });
        expect((await selfSigned.read(updated)).readyForRenewal).toBe(true);
        expect(await selfSigned.diff(updated, { ...inputs, earlyRenewalHours: 1 })).toEqual({
            changes: true,
            replaces: ["readyForRenewal"],
        });
    });

    test("uses are named with underscores, as the real provider wants them", async () => {
        expect(await selfSigned.check({ allowedUses: ["server_auth", unknownValue] })).toEqual([]);
        expect((await selfSigned.check({ allowedUses: ["serverAuth"] }))[0].property).toBe("allowedUses");
    });

    test("a CA needs a subject, an authority key id a subject key id", async () => {
        const { privateKeyPem } = await key.create({ algorithm: "ECDSA", ecdsaCurve: "P256" });
        const inputs = { privateKeyPem, allowedUses: [], validityPeriodHours: 1 };
        await expect(selfSigned.create({ ...inputs, isCaCertificate: true })).rejects.toThrow("at least one Distinguished Name");
        await expect(selfSigned.create({ ...inputs, setAuthorityKeyId: true })).rejects.toThrow("Authority Key Identifier");
    });
});

describe("local commands", () => {
    const local = resource(command, "command:local:Command");
    const quiet = { logging: "none" };

    test("create reads stdin, dir, environment and interpreter, and trims one newline", async () => {
        const inputs = {
            create: 'cat; pwd; echo "$A"; echo; echo e >&2',
            stdin: secret("in\n"),
            dir: "/",
            environment: { A: "b" },
            ...quiet,
        };
        const state = await local.create(inputs);
        expect(state).toEqual({ ...inputs, stdout: "in\n/\nb\n", stderr: "e" }); // the secret input is kept as one
        expect((await local.create({ create: "echo $BASH_VERSION", interpreter: ["bash", "-c"], ...quiet })).stdout).toMatch(/^\d/);
        expect((await local.create({ delete: "true" })).stdout).toBe("");
        expect((await local.create({ create: "true", stdin: "x".repeat(1e6), ...quiet })).stdout).toBe(""); // stdin that nobody reads
    });

    test("changed inputs update, changed triggers replace", async () => {
        const state = await local.create({ create: "true", triggers: [1] });
        expect(await local.diff(state, { create: "true", triggers: [1] })).toEqual({ changes: false, replaces: [] });
        const changes = {
            create: "false",
            update: "x",
            delete: "x",
            stdin: "x",
            dir: "x",
            environment: {},
            interpreter: [],
            logging: "none",
        };
        for (const [key, value] of Object.entries({ ...changes, addPreviousOutputInEnv: false })) {
            const news = { create: "true", triggers: [1], [key]: value };
            expect(await local.diff(state, news), key).toEqual({ changes: true, replaces: [] });
        }
        expect(await local.diff(state, { create: "true", triggers: [2] })).toEqual({ changes: true, replaces: ["triggers"] });
        expect(await local.diff(state, { create: "true" })).toEqual({ changes: true, replaces: ["triggers"] });
    });

    test("update runs update, else create, and knows the previous output", async () => {
        const inputs = { create: "echo created $PULUMI_COMMAND_STDOUT", ...quiet };
        const first = await local.create(inputs);
        expect(first.stdout).toBe("created");
        expect((await local.update(first, { ...inputs, stdin: "x" })).stdout).toBe("created created");
        const second = await local.update(first, { ...inputs, update: "echo updated $PULUMI_COMMAND_STDOUT" });
        expect(second.stdout).toBe("updated created");
        expect((await local.update(second, { ...inputs, addPreviousOutputInEnv: false })).stdout).toBe("created");
        expect(await local.update(second, { delete: "true" })).toEqual({ delete: "true", stdout: "updated created", stderr: "" });
    });

    test("delete runs with the inputs in the state", async () => {
        await local.delete({ create: "true", stdout: "", stderr: "" });
        const failing = {
            delete: "echo $A $PULUMI_COMMAND_STDOUT; exit 4",
            environment: { A: secret("b") },
            stdout: "out",
            stderr: "",
            ...quiet,
        };
        await expect(local.delete(failing)).rejects.toThrow("exit status 4");
        await expect(local.delete(failing)).rejects.toThrow(":\nb out\n");
    });

    test("a failure names status, command and output", async () => {
        const create = 'echo out; sleep 0.1; echo "err" >&2; exit 3';
        const text = `exit status 3: running ${JSON.stringify(create)}:\nout\nerr\n`;
        await expect(local.create({ create, ...quiet })).rejects.toThrow(text);
        await expect(local.create({ create: "kill -9 $$", ...quiet })).rejects.toThrow("signal: SIGKILL: running");
        await expect(local.create({ create: "x", interpreter: ["/nowhere"], ...quiet })).rejects.toThrow("ENOENT");
    });

    test("run answers at once", async () => {
        const { outputs } = await command.invoke("command:local:run", { command: "echo $A", environment: { A: "b" }, ...quiet });
        expect(outputs).toMatchObject({ command: "echo $A", stdout: "b", stderr: "" });
    });
});
