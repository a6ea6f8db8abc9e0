import { isDeepStrictEqual } from "node:util";
import aws from "@pulumi/aws/package.json";
import cloudflare from "@pulumi/cloudflare/package.json";
import command from "@pulumi/command/package.json";
import type { CheckFailure, Provider } from "@pulumi/pulumi/provider/provider";
import { isRpcSecret, specialResourceSig, specialSecretSig, specialSigKey, unknownValue, unwrapRpcSecret } from "@pulumi/pulumi/runtime/rpc";
import random from "@pulumi/random/package.json";
import tls from "@pulumi/tls/package.json";

/** The engine asks for the SDK's version. */
const VERSIONS = {
    aws: aws.version,
    cloudflare: cloudflare.version,
    command: command.version,
    random: random.version,
    tls: tls.version,
};

export type Props = Record<string, unknown>;

/** One resource type, as the real provider's schema and life cycle have it. With the SDK's types the compiler refuses a misspelt property. */
export interface Resource<Args, State> {
    /** The inputs it implements. Any other is refused by name: ignoring it would rehearse something else. */
    inputs: (keyof Args & string)[];
    /** Inputs that must be given, although the SDK's types may let them be left out. */
    required?: (keyof Args & string)[];
    /** Inputs that the provider chooses where they are left out: then what it chose is no change. */
    computed?: (keyof Args & string)[];
    /** What the real provider fills in; an input set to its default is no change. */
    defaults?: Partial<Args>;
    /** Accepted values of an input, or of each element of a list. */
    oneOf?: { [input in keyof Args]?: readonly string[] };
    /** What the provider makes of inputs, of which some may not be known yet: those that come to the same are no change. */
    normal?(args: Partial<Args>): Partial<Args>;
    /** Inputs whose change updates the resource; a change of any other replaces it. */
    inPlace?: (keyof Args & string)[];
    /** Outputs that the real provider itself marks as secret. */
    secrets?: (keyof State & string)[];
    /** What the real provider refuses before anything is made; not asked while an input is not known yet. */
    refuse?(args: Args): string | undefined;
    create(args: Args, name: string): Promise<{ id: string; outs: Partial<State> }>;
    /** Outputs that a refresh finds changed; undefined where the object is gone. */
    read?(state: Args & State, id: string): Promise<Partial<State> | undefined>;
    update?(args: Args, state: State, id: string): Promise<Partial<State>>;
    delete?(state: Args & State, id: string): Promise<void>;
    /** Outputs that time alone has changed: a refresh shows them, and the next update replaces the resource. */
    expired?(state: Args & State): Partial<State>;
}

/** A provider of resources and functions, by their tokens. What is not listed is refused by name. */
export function standIn(
    name: keyof typeof VERSIONS,
    resources: Record<string, Resource<Props, Props>>,
    functions: Record<string, (args: Props) => Promise<object>> = {},
) {
    const refusal = (token: string) => `stand-in ${name} provider: ${token} is not available in the rehearsal`;
    const find = (urn: string): Resource<Props, Props> => {
        if (!resources[typeOf(urn)]) throw new Error(refusal(typeOf(urn)));
        return resources[typeOf(urn)];
    };
    return {
        version: VERSIONS[name],
        check: async (urn, _olds, news) => ({
            inputs: news,
            failures: resources[typeOf(urn)] ? problems(find(urn), news, refusal) : [{ property: "", reason: refusal(typeOf(urn)) }],
        }),
        diff: async (_id, urn, olds, news) => diff(find(urn), reveal(olds), reveal(news)),
        create: async (urn, news) => {
            const { id, outs } = await find(urn).create({ ...find(urn).defaults, ...reveal(news) }, urn.split("::").slice(3).join("::"));
            return { id, outs: record(find(urn), news, outs) };
        },
        read: async (id, urn, props) => {
            const { read, expired } = find(urn);
            const found = read ? await read(reveal(props), id) : {};
            // Without an id, the engine drops it.
            return found ? { id, props: present({ ...props, ...found, ...expired?.(reveal(props)) }) } : { id: "", props: {} };
        },
        update: async (id, urn, olds, news) => {
            const { inputs, computed = [], defaults, update } = find(urn);
            const kept = (key: string) => !inputs.includes(key) || (computed.includes(key) && !(key in news));
            const outs = Object.fromEntries(Object.entries(olds as Props).filter(([key]) => kept(key)));
            return { outs: record(find(urn), outs, news, await update?.({ ...defaults, ...reveal(news) }, reveal(olds), id)) };
        },
        delete: async (id, urn, props) => find(urn).delete?.(reveal(props), id),
        invoke: async (token, args) => {
            if (!functions[token]) throw new Error(refusal(token));
            return { outputs: await functions[token](reveal(args)) };
        },
    } satisfies Provider;
}

const present = (props: Props): Props => Object.fromEntries(Object.entries(props).filter(([, value]) => value !== undefined));

const typeOf = (urn: string): string => urn.split("::")[2].split("$").pop() ?? "";

/** Pulumi's wire form of a secret. */
export const secret = (value: unknown) => ({ [specialSigKey]: specialSecretSig, value });

/** Plain values in place of Pulumi's wire form of secrets, and ids in place of its references to resources. */
function reveal<T>(value: T): T {
    if (isRpcSecret(value)) return reveal(unwrapRpcSecret(value));
    if ((value as Props | null)?.[specialSigKey] === specialResourceSig) return (value as Props).id as T;
    if (Array.isArray(value)) return value.map(reveal) as T;
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, reveal(inner)])) as T;
}

/** The state to keep: inputs as they came, secret ones included, then what was made of them. */
function record({ defaults, secrets = [] }: Resource<Props, Props>, ...parts: (Props | undefined)[]): Props {
    const state: Props = Object.assign({}, defaults, ...parts);
    for (const key of secrets) {
        if (!isRpcSecret(state[key])) state[key] = secret(state[key]);
    }
    return state;
}

function diff({ inputs, computed = [], defaults, normal, inPlace = [], expired }: Resource<Props, Props>, olds: Props, news: Props) {
    const after = { ...defaults, ...news };
    const [was, is] = [olds, after].map((props) => normal?.(props) ?? props);
    const chosen = (key: string) => computed.includes(key) && after[key] === undefined;
    const changed = inputs.filter((key) => !chosen(key) && !isDeepStrictEqual(was[key], is[key]));
    const replaces = [...changed.filter((key) => !inPlace.includes(key)), ...Object.keys(expired?.({ ...olds, ...after }) ?? {})];
    return { changes: changed.length > 0 || replaces.length > 0, replaces };
}

function problems(resource: Resource<Props, Props>, news: Props, refusal: (what: string) => string): CheckFailure[] {
    const { inputs, required = [], oneOf = {}, defaults, refuse } = resource;
    const unlisted = Object.keys(news).filter((key) => !inputs.includes(key));
    const missing = required.filter((key) => (news[key] ?? null) === null);
    const outside = Object.entries(oneOf).flatMap(([property, accepted = []]) =>
        ([reveal(news[property]) ?? []].flat() as string[])
            .filter((value) => value !== unknownValue && !accepted.includes(value))
            .map((value) => ({ property, reason: `value must be one of: ${accepted.join(", ")}; got: ${value}` })),
    );
    const found = [
        ...unlisted.map((property) => ({ property, reason: refusal(`the input ${property}`) })),
        ...missing.map((property) => ({ property, reason: `Missing required property '${property}'` })),
        ...outside,
    ];
    if (found.length > 0 || JSON.stringify(reveal(news)).includes(unknownValue)) return found;
    const reason = refuse?.({ ...defaults, ...reveal(news) });
    return reason === undefined ? [] : [{ property: "", reason }];
}
