import type { Resource } from "../providers/standin";
import type { Account, Tables } from "./account";
import { find } from "./errors";
import { type Cloud, kept } from "./resource";

/** The kinds of configuration of which a bucket has one each, under its own name. */
type Kind = Extract<keyof Tables, `bucket${string}`> & Exclude<keyof Tables, "buckets">;

interface Configuration<Args, Row> {
    inputs: (keyof Args & string)[];
    required?: (keyof Args & string)[];
    defaults?: Partial<Args>;
    refuse?(args: Args): string | undefined;
    /** What the account keeps; throws what the API refuses. The bucket exists. */
    accept(account: Account, args: Args): Row;
}

/** A part of a bucket's configuration: it is put there whole, changes in place, and a refresh finds what others made of it. */
export function configuration<K extends Kind, Args extends { bucket: string }, State extends { region?: string }>(
    { withAccount }: Cloud,
    kind: K,
    { inputs, required = [], accept, ...rest }: Configuration<Args, Tables[K][string]>,
): Resource<Args, State> {
    const rows = (account: Account) => account[kind] as Record<string, Tables[K][string]>;
    const put = (account: Account, args: Args) => {
        find(account, "buckets", args.bucket);
        rows(account)[args.bucket] = accept(account, args);
    };
    return {
        ...rest,
        inputs: ["bucket", ...inputs],
        required: ["bucket", ...required],
        inPlace: inputs,
        ...kept<K, Args, State>({ withAccount }, kind, {
            async create(account, args) {
                put(account, args);
                return { id: args.bucket, outs: { region: account.region } as Partial<State> };
            },
            async update(account, args) {
                put(account, args);
                return {};
            },
            read: (account, id) => rows(account)[id] as Partial<State>,
        }),
    };
}

/** A number of days that S3 takes: a hundred years at most. */
export const isDays = (days: number): boolean => Number.isInteger(days) && days >= 1 && days <= 36500;
