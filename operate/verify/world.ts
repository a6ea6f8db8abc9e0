import { Resolver } from "node:dns/promises";
import type { Settings } from "../../components/settings/settings";
import { LookupAt, lookupAt } from "../dnsLookup";
import { DockerAddress, Running, docker, inspectStack } from "../health";
import { Dial, dial } from "./dial";

/** Whom the checks ask. Tests put a broken world in its place. */
export interface World {
    lookupAt: LookupAt;
    /** Names that the reverse DNS has for an address (RFC 1035 §3.5). Rejects where nobody answers. */
    reverse(address: string): Promise<string[]>;
    dial: Dial;
    now(): Date;
    containers(): Running[];
    /** Text of a file in a container. */
    read(container: string, file: string): string;
    /** What the preflight's script says on the server (components/server/host/preflight.ts). */
    preflight(): Promise<string>;
    /** Ids of the complete sets of backups, the oldest first, as the bucket has them. */
    sets(): Promise<string[]>;
    /** Names of the resources that a `pulumi preview` would change, after a look at what is there. */
    drift(): Promise<string[]>;
}

/** What is asked over ways that the session knows. */
export type Ways = Pick<World, "preflight" | "sets" | "drift">;

export function theWorld({ name, servers: [server] }: Settings, ways: Ways): World {
    const host: DockerAddress = server;
    return {
        lookupAt,
        reverse: async (address) => {
            try {
                return await new Resolver({ timeout: 2000, tries: 2 }).reverse(address);
            } catch (error) {
                if (["ENOTFOUND", "ENODATA"].includes((error as NodeJS.ErrnoException).code ?? "")) return [];
                throw error;
            }
        },
        dial,
        now: () => new Date(),
        containers: () => inspectStack(name, host),
        read: (container, file) => docker(["exec", container, "cat", file], host),
        ...ways,
    };
}
