import type { Settings } from "../../components/settings/settings";

/** What does not change during a first run. */
export interface Place {
    settings: Pick<Settings, "host" | "domains" | "profile" | "dns">;
    /** The web interface. */
    url: string;
    /** Name of the stack. */
    stack: string;
    rehearsal: boolean;
}

export type Kind = "admin" | "domain" | "records" | "verified" | "sending" | "mailbox" | "system" | "roles";

/** A step of the first run. */
export interface Step {
    kind: Kind;
    /** The domain it is about, where it is about one. */
    domain?: string;
    title: string;
    done: boolean;
    /** What is left to do, by hand, in lines. */
    how: string[];
}

export const idOf = ({ kind, domain }: Pick<Step, "kind" | "domain">): string => [kind, domain].filter(Boolean).join(" ");

/** A command of this folder for this stack: `npm run domains -- --stack prod`. */
export function command({ stack, rehearsal }: Pick<Place, "stack" | "rehearsal">, name: string, ...args: string[]): string {
    const all = [...args, ...(stack === "dev" ? [] : [`--stack ${stack}`]), ...(rehearsal ? ["--rehearse"] : [])];
    return ["npm run", name, ...(all.length > 0 ? ["--", ...all] : [])].join(" ");
}

/** A page of the web interface about a domain (upstream's routes/web/my-account.js). */
export const pageOf = ({ url }: Place, domain: string, page = ""): string => `${url}/my-account/domains/${domain}${page}`;

/** The host is a mail domain too: the application sends its own mail from it. */
export const mailDomains = ({ host, domains }: Pick<Settings, "host" | "domains">): string[] => [...new Set([...domains, host])];
