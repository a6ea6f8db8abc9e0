import { Resolver } from "node:dns/promises";
import { networkInterfaces } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import type { Settings } from "../../components/settings/settings";
import { LookupAt, lookupAt, nothing } from "../dnsLookup";
import { DockerAddress, Running, dockerAside, inspectStackAside } from "../health";
import { Application, aliasesOf, askApplication } from "./application";
import { Dial, dial } from "./dial";
import { Login, Post, post } from "./post";
import { AskSigned, askSigned } from "./signed";

/** Whom the checks ask. Tests put a broken world in its place. */
export interface World {
    lookupAt: LookupAt;
    /** Names that the reverse DNS has for an address (RFC 1035 §3.5). Rejects where nobody answers. */
    reverse(address: string): Promise<string[]>;
    /** TLSA records of a name, in the form of dnsLookup.ts; undefined where this Node cannot ask for them. Rejects where nobody answers. */
    tlsa(name: string): Promise<string[]> | undefined;
    askSigned: AskSigned;
    dial: Dial;
    post: Post;
    now(): Date;
    sleep(milliseconds: number): Promise<unknown>;
    /** Of this machine. */
    ownAddresses(): string[];
    containers(): Promise<Running[]>;
    /** What the application's MongoDB says. */
    application(): Promise<Application>;
    /** Text of a file in a container. */
    read(container: string, file: string): Promise<string>;
    /** What the preflight's script says on the server (components/server/host/preflight.ts). */
    preflight(): Promise<string>;
    /** Ids of the complete sets of backups, the oldest first, as the bucket has them. */
    sets(): Promise<string[]>;
    /** Names of the resources that a `pulumi preview` would change, after a look at what is there. */
    drift(): Promise<string[]>;
    /** The canary of the backups (backups.canary); undefined, where there is none. */
    canary(): Promise<Login | undefined>;
}

/** What is asked over ways that the session knows. */
export type Ways = Pick<World, "preflight" | "sets" | "drift" | "canary">;

export function theWorld(settings: Settings, ways: Ways): World {
    const host: DockerAddress = settings.servers[0];
    // One look for all checks.
    let running: Promise<Running[]> | undefined;
    let application: Promise<Application> | undefined;
    const containers = () => (running ??= inspectStackAside(settings.name, host));
    return {
        lookupAt,
        reverse: (address) => new Resolver(PATIENCE).reverse(address).catch(nothing),
        tlsa: (name) => tlsaOf(new Resolver(PATIENCE) as AsksTlsa, name),
        askSigned,
        dial,
        post,
        now: () => new Date(),
        sleep,
        ownAddresses: () => Object.values(networkInterfaces()).flatMap((all = []) => all.map(({ address }) => address)),
        containers,
        application: () => (application ??= containers().then((all) => askApplication(all, aliasesOf(settings), host))),
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
