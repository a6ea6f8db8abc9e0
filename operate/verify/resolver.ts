import type { DNSResolver } from "mailauth";
import type { Lookup, Type } from "../dnsLookup";

/** A lookup as mailauth asks: in the form of Node's `dns.resolve`. */
export function resolverOf(lookup: Lookup): DNSResolver {
    const resolve = async (name: string, type: string): Promise<unknown[]> => {
        const found = await lookup(name, type as Type);
        if (found.length === 0) throw Object.assign(new Error(`${name} has no ${type}`), { code: "ENODATA" });
        if (type === "TXT") return found.map((text) => [text]);
        if (type !== "MX") return found;
        return found.map((mx) => ({ priority: Number(mx.split(" ")[0]), exchange: mx.split(" ")[1] }));
    };
    return resolve as DNSResolver; // whose type has texts only
}
