import { randomBytes, randomInt, randomUUID } from "node:crypto";
import type { Unwrap } from "@pulumi/pulumi";
import type * as random from "@pulumi/random";
import { type Resource, standIn } from "./standin";

type StringArgs = Unwrap<random.RandomStringArgs>;

const characters = {
    inputs: [
        "length",
        "keepers",
        "lower",
        "upper",
        "numeric",
        "special",
        "overrideSpecial",
        "minLower",
        "minUpper",
        "minNumeric",
        "minSpecial",
    ] as (keyof StringArgs)[],
    defaults: { lower: true, upper: true, numeric: true, special: true, minLower: 0, minUpper: 0, minNumeric: 0, minSpecial: 0 },
};

const password: Resource<Unwrap<random.RandomPasswordArgs>, Unwrap<random.RandomPasswordState>> = {
    ...characters,
    secrets: ["result"], // the real provider's bcryptHash is left out: nothing reads it
    async create(args) {
        return { id: "none", outs: { result: randomText(args) } };
    },
};

const string: Resource<StringArgs, Unwrap<random.RandomStringState>> = {
    ...characters,
    async create(args) {
        const result = randomText(args);
        return { id: result, outs: { result } };
    },
};

const id: Resource<Unwrap<random.RandomIdArgs>, Unwrap<random.RandomIdState>> = {
    inputs: ["byteLength", "keepers", "prefix"],
    async create({ byteLength, prefix = "" }) {
        const bytes = randomBytes(byteLength);
        const b64Url = bytes.toString("base64url");
        const [b64Std, hex, dec] = [bytes.toString("base64"), bytes.toString("hex"), BigInt(`0x${bytes.toString("hex")}`).toString()];
        return { id: b64Url, outs: { b64Url: prefix + b64Url, b64Std: prefix + b64Std, hex: prefix + hex, dec: prefix + dec } };
    },
};

const bytes: Resource<Unwrap<random.RandomBytesArgs>, Unwrap<random.RandomBytesState>> = {
    inputs: ["length", "keepers"],
    secrets: ["base64", "hex"],
    async create({ length }) {
        const value = randomBytes(length);
        return { id: "none", outs: { base64: value.toString("base64"), hex: value.toString("hex") } };
    },
};

const uuid: Resource<Unwrap<random.RandomUuidArgs>, Unwrap<random.RandomUuidState>> = {
    inputs: ["keepers"],
    async create() {
        const result = randomUUID();
        return { id: result, outs: { result } };
    },
};

export default standIn("random", {
    "random:index/randomPassword:RandomPassword": password,
    "random:index/randomString:RandomString": string,
    "random:index/randomId:RandomId": id,
    "random:index/randomBytes:RandomBytes": bytes,
    "random:index/randomUuid:RandomUuid": uuid,
});

/** First the minimum of each class (also of a class that is switched off, as the real provider does), then any characters, then shuffled. */
function randomText(args: StringArgs): string {
    const classes = [
        { set: "abcdefghijklmnopqrstuvwxyz", min: args.minLower ?? 0, on: args.lower },
        { set: "ABCDEFGHIJKLMNOPQRSTUVWXYZ", min: args.minUpper ?? 0, on: args.upper },
        { set: "0123456789", min: args.minNumeric ?? 0, on: args.numeric },
        { set: args.overrideSpecial || "!@#$%&*()-_=+[]{}<>:?", min: args.minSpecial ?? 0, on: args.special },
    ];
    const least = classes.reduce((sum, { min }) => sum + min, 0);
    if (args.length < Math.max(1, least)) throw new Error(`length must be at least ${Math.max(1, least)}, got ${args.length}`);
    const all = classes.map(({ set, on }) => (on ? set : "")).join("");
    if (all === "") throw new Error("the character set specified is empty");
    const text = [...classes.flatMap(({ set, min }) => pick(set, min)), ...pick(all, args.length - least)];
    for (let i = text.length - 1; i > 0; i--) {
        const j = randomInt(i + 1);
        [text[i], text[j]] = [text[j], text[i]];
    }
    return text.join("");
}

const pick = (set: string, count: number): string[] => Array.from({ length: count }, () => set[randomInt(set.length)]);
