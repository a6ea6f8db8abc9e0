import { Resolver } from "node:dns/promises";
import { EXAMPLE, dnsPlan } from "../components/dns/plan";
import { DnsRecord, records } from "../components/dns/records";
import type { Problem } from "../components/errors";
import type { Settings } from "../components/settings/settings";

/** What is asked of DNS; Node's own resolver fits. */
export type Lookup = Pick<Resolver, "resolveMx" | "resolveTxt" | "resolveCname">;

/**
 * Records of others that ours would not go with, though the provider takes both: another MX, a second SPF or DMARC record, an alias.
 * Asked of DNS before anything is written. A name that cannot be asked for is passed over: the provider has the last word.
 */
export async function findForeignRecords(
    settings: Settings,
    outputs: Record<string, unknown>,
    lookup: Lookup = new Resolver({ timeout: 3000, tries: 2 }),
): Promise<Problem[]> {
    if (!settings.dns) return [];
    const ours = records(dnsPlan(settings, EXAMPLE));
    // What an earlier `up` wrote is not foreign, though the config wants something else now.
    const written = Object.values((outputs.zone ?? {}) as Record<string, string>).join("\n");
    const found = await Promise.all([...new Set(ours.map(({ name }) => name))].map((name) => at(name, ours, written, lookup)));
    return found.flat();
}

async function at(name: string, all: DnsRecord[], written: string, lookup: Lookup): Promise<Problem[]> {
    const here = all.filter((record) => record.name === name);
    const has = (type: string) => here.some(({ data }) => data.type === type);
    const [aliases, exchanges, texts] = await Promise.all([
        has("CNAME") ? [] : ask(lookup.resolveCname(name)),
        has("MX") ? ask(lookup.resolveMx(name)) : [],
        has("TXT") ? ask(lookup.resolveTxt(name)) : [],
    ]);
    const problem = (message: string, fix: string): Problem => ({ key: name, message, fix });
    const targets = here.flatMap(({ data }) => (data.type === "MX" ? [data.target] : []));
    const strange = (text: string) => !written.includes(text) && !here.some(({ data }) => data.type === "TXT" && data.text === text);
    const others = exchanges.filter(({ exchange }) => !targets.includes(exchange || ".") && !written.includes(` ${exchange}.`));
    return [
        ...aliases.map((target) => problem(`is an alias of ${target}, beside which nothing else may be`, "remove the CNAME record")),
        ...others.map(({ exchange }) =>
            problem(
                `has the MX ${exchange}, which would go on getting some of the mail`,
                "remove it when this server is to take over, and run this again at once",
            ),
        ),
        ...texts
            .map((strings) => strings.join(""))
            .filter((text) => /^v=(spf1|DMARC1)\b/i.test(text) && strange(text))
            .map((text) =>
                problem(
                    `has the record "${text}"; two of its kind count as none`,
                    "remove it; senders that it names beside this server have no place in ours",
                ),
            ),
    ];
}

const ask = <T>(question: Promise<T[]>): Promise<T[]> => question.catch(() => []);

/** All of them at once, each with what to do. */
export class DnsError extends Error {
    constructor(problems: Problem[]) {
        const lines = problems.map(({ key, message, fix }) => `  - ${key} ${message}\n      fix: ${fix}`);
        super(["DNS has records that ours do not go with; nothing was created or changed.", ...lines].join("\n"));
    }
}
