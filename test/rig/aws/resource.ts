import type { Resource } from "../providers/standin";
import type { Account, Tables, WithAccount } from "./account";
import type { Hardware } from "./hardware";
import type { ObjectStore } from "./objectStore";
import { badTags } from "./values";

/** The account, and what its objects are made of. */
export interface Cloud {
    withAccount: WithAccount;
    hardware(): Promise<Hardware>;
    /** What is in the buckets. Left out, they exist in the account only and stay empty. */
    objects?: ObjectStore;
}

type Tags = { tags?: Record<string, string>; tagsAll?: Record<string, string> };

/** A resource type that also has tags. The provider's default tags do not reach a stand-in. */
export function tagged<Args extends Tags, State extends Tags>(resource: Resource<Args, State>): Resource<Args, State> {
    const all = ({ tags = {} }: Args) => ({ tagsAll: tags }) as Partial<State>;
    const { inputs, inPlace = [], refuse, create, update } = resource;
    return {
        ...resource,
        inputs: [...inputs, "tags"],
        inPlace: [...inPlace, "tags"],
        refuse: (args) => badTags(args.tags) ?? refuse?.(args),
        async create(args, name) {
            const { id, outs } = await create(args, name);
            return { id, outs: { ...all(args), ...outs } };
        },
        update: async (args, state, id) => ({ ...all(args), ...(await update?.(args, state, id)) }),
    };
}

/** How objects of a kind come, change and go. */
interface Life<Args, State> {
    create(account: Account, args: Args, name: string): Promise<{ id: string; outs: Partial<State> }>;
    /** Refuses what the API refuses, and does what goes with it; the object itself goes afterwards. */
    remove?(account: Account, id: string, state: Args & State): Promise<void>;
    read?(account: Account, id: string): Partial<State>;
    update?(account: Account, args: Args, state: State, id: string): Promise<Partial<State>>;
}

/** The life cycle of objects that the account keeps in a table. The network, where there is one, follows whatever happens. */
export function kept<Kind extends keyof Tables, Args, State>(
    { withAccount, hardware }: Pick<Cloud, "withAccount"> & Partial<Pick<Cloud, "hardware">>,
    kind: Kind,
    { create, remove, read, update }: Life<Args, State>,
): Pick<Resource<Args, State>, "create" | "read" | "update" | "delete"> {
    const change = <T>(use: (account: Account) => Promise<T>) =>
        withAccount(async (account) => {
            const answer = await use(account);
            await (await hardware?.())?.connect(account);
            return answer;
        });
    return {
        create: (args, name) => change((account) => create(account, args, name)),
        read: (_state, id) => withAccount((account) => (account[kind][id] ? (read?.(account, id) ?? {}) : undefined)),
        ...(update && { update: (args, state, id) => change((account) => update(account, args, state, id)) }),
        delete: (state, id) =>
            change(async (account) => {
                if (!account[kind][id]) return; // somebody else has deleted it
                await remove?.(account, id, state);
                delete account[kind][id];
            }),
    };
}
