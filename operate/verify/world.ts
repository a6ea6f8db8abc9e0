import { Resolver } from "node:dns/promises";
import type { Settings } from "../../components/settings/settings";
import { LookupAt, lookupAt, nothing } from "../dnsLookup";
import { DockerAddress, Running, dockerAside, inspectStackAside } from "../health";
import { Dial, dial } from "./dial";

/** Whom the checks ask. Tests put a broken world in its place. */
export interface World {
    lookupAt: LookupAt;
    /** Names that the reverse DNS has for an address (RFC 1035 §3.5). Rejects where nobody answers. */
    reverse(address: string): Promise<string[]>;
    /** TLSA records of a name, in the form of dnsLookup.ts; undefined where this Node cannot ask for them. Rejects where nobody answers. */
    tlsa(name: string): Promise<string[]> | undefined;
    dial: Dial;
    now(): Date;
    containers(): Promise<Running[]>;
    /** Text of a file in a container. */
    read(container: string, file: string): Promise<string>;
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
    let running: Promise<Running[]> | undefined; // one look for all checks
    return {
        lookupAt,
        reverse: (address) => new Resolver(PATIENCE).reverse(address).catch(nothing),
        tlsa: (name) => tlsaOf(new Resolver(PATIENCE) as AsksTlsa, name),
        dial,
        now: () => new Date(),
        containers: () => (running ??= inspectStackAside(name, host)),
        read: (container, file) => dockerAside(["exec", container, "cat", file], host),
        ...ways,
    };
}

const PATIENCE = { timeout: 2000, tries: 2 };

/** A resolver of Node 22.15 or newer; an older one has no such method. */
export interface AsksTlsa {
    resolveTlsa?(name: string): Promise<Array<{ certUsage: number; selector: number; match: number; data: ArrayBuffer }>>;
}

export function tlsaOf(resolver: AsksTlsa, name: string): Promise<string[]> | undefined {
    return resolver
        .resolveTlsa?.(name)
        .then((found) =>
            found.map(({ certUsage, selector, match, data }) => [certUsage, selector, match, Buffer.from(data).toString("hex")].join(" ")),
        )
        .catch(nothing);
}
