import type { awsProvider } from "../rig/aws/resources";
import type { cloudflareProvider } from "../rig/cloudflare/resource";

export type Props = Record<string, unknown>;

export interface Made {
    type: string;
    id: string;
    outs: Props;
}

/** What the engine does with resources, by their types, which a test may give short names. */
export function driver(provider: ReturnType<typeof awsProvider> | ReturnType<typeof cloudflareProvider>, tokens: Record<string, string>) {
    const urn = (type: string) => `urn:pulumi:dev::project::component:index:Parent$${tokens[type]}::main`;
    const checked = async (type: string, news: Props) => {
        const { failures } = await provider.check(urn(type), {}, news);
        if (failures.length > 0) throw new Error(failures.map(({ reason }) => reason).join("\n"));
    };
    return {
        async make(type: string, news: Props): Promise<Made> {
            await checked(type, news);
            return { type, ...(await provider.create(urn(type), news)) };
        },
        async update({ type, id, outs }: Made, news: Props): Promise<Made> {
            await checked(type, news);
            return { type, id, ...(await provider.update(id, urn(type), outs, news)) };
        },
        diff: ({ type, id, outs }: Made, news: Props) => provider.diff(id, urn(type), outs, news),
        read: ({ type, id, outs }: Made) => provider.read(id, urn(type), outs),
        remove: ({ type, id, outs }: Made) => provider.delete(id, urn(type), outs),
    };
}
