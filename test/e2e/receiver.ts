import { type DNSResolver, authenticate } from "mailauth";
import type { DnsRecord } from "../../components/dns/records";
import { chunks } from "../../components/dns/zoneFile";

/** How mail comes to a receiver. */
export interface Envelope {
    /** Address of the server that brings it. */
    ip: string;
    helo: string;
    /** MAIL FROM. */
    sender: string;
}

/** What a large receiver would make of a mail, if these records were all that there is in DNS: `pass`, `softfail`, `fail` … */
export async function judge(source: string, envelope: Envelope, all: DnsRecord[]): Promise<{ spf: string; dkim: string[]; dmarc: string }> {
    const { spf, dkim, dmarc } = await authenticate(source, {
        ...envelope,
        mta: "mx.receiver.example",
        trustReceived: false,
        resolver: resolverOf(all),
    });
    return {
        spf: (spf && spf.status.result) || "none",
        dkim: dkim.results.map(({ status, signingDomain }) => `${signingDomain} ${status.result}`),
        dmarc: (dmarc && dmarc.status.result) || "none",
    };
}

/** Answers as `dns.resolve` does, aliases followed. */
function resolverOf(all: DnsRecord[]): DNSResolver {
    const resolve = async (name: string, type: string): Promise<unknown[]> => {
        const at = name.toLowerCase().replace(/\.$/, "");
        const here = all.filter((record) => record.name === at).map(({ data }) => data);
        const alias = here.find((data) => data.type === "CNAME");
        if (alias?.type === "CNAME" && type !== "CNAME") return resolve(alias.target, type);
        const answers = here.flatMap((data): unknown[] => {
            if (data.type !== type) return [];
            if (data.type === "TXT") return [chunks(data.text)];
            if (data.type === "MX") return [{ priority: data.preference, exchange: data.target }];
            return data.type === "A" || data.type === "AAAA" ? [data.address] : [];
        });
        if (answers.length > 0) return answers;
        throw Object.assign(new Error(`${type} ${name}`), { code: here.length > 0 ? "ENODATA" : "ENOTFOUND" });
    };
    return resolve as DNSResolver; // whose type has texts only
}
