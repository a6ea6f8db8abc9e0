import { domainToASCII } from "node:url";
import { Records, StoredDomain, foundDomains, mergeDomains } from "../domainRecords";

// What the application has, as far as the first run asks: users, domains and aliases in MongoDB (upstream's app/models).

export interface Domain {
    /** In ASCII form. */
    name: string;
    /** What the application has seen in DNS. `has_mx_record` and `has_txt_record` let it take mail, the others let it send. */
    records: Record<(typeof RECORDS)[number], boolean>;
    /** Whether an administrator lets it send (`has_smtp`). */
    maySend: boolean;
    /** How many passwords of the whole domain there are. */
    passwords: number;
}

export interface Alias {
    /** Local part; `*` takes whatever has no alias of its own. */
    name: string;
    /** Name of its domain, in ASCII form. */
    domain: string;
    enabled: boolean;
    /** Whether mail to it is kept in a mailbox here (`has_imap`). */
    mailbox: boolean;
    passwords: number;
}

/** What is known of a deployment during its first run. */
export interface Seen {
    /** An administrator: one with a mail address that the application has verified, if there is one. */
    admin?: { email: string; verified: boolean };
    domains: Domain[];
    aliases: Alias[];
    /** Domains whose key and code the config has as the application wants them. */
    configured: string[];
    /** Those that an `up` has put into the records since. */
    published: string[];
    /** What submission answers when the application logs in for its own mail: `235 …` when it may (RFC 4954 §6). */
    login: string;
}

/** The flags of a domain that upstream's verify-records and verify-smtp set. */
export const RECORDS = ["has_mx_record", "has_txt_record", "has_dkim_record", "has_return_path_record", "has_dmarc_record"] as const;

/** For mongosh. Passwords are counted there: their hashes do not leave the container, nor do private keys. */
export const QUERY = `
    const store = db.getSiblingDB("forwardemail_production");
    const count = ({ tokens = [], ...rest }) => ({ ...rest, passwords: tokens.length });
    const all = (name, wanted, which = {}) => store[name].find(which, wanted).toArray().map(count);
    const keys = { name: 1, dkim_key_selector: 1, dkim_public_key: 1, return_path: 1, verification_record: 1 };
    const flags = { ${[...RECORDS, "has_smtp"].map((flag) => `${flag}: 1`).join(", ")} };
    print(EJSON.stringify({
        admins: all("users", { email: 1, has_verified_email: 1 }, { group: "admin" }),
        domains: all("domains", { ...keys, ...flags, tokens: 1 }),
        aliases: all("aliases", { name: 1, domain: 1, is_enabled: 1, has_imap: 1, tokens: 1 }),
    }));`;

type Flags = Partial<Record<(typeof RECORDS)[number] | "has_smtp", boolean>>;

/** What `QUERY` prints, in MongoDB's relaxed extended JSON. */
export interface Stored {
    admins: Array<{ email: string; has_verified_email?: boolean }>;
    domains: Array<StoredDomain & Flags & { _id: unknown; passwords: number }>;
    aliases: Array<{ name: string; domain: unknown; is_enabled?: boolean; has_imap?: boolean; passwords: number }>;
}

const key = (id: unknown) => JSON.stringify(id);
const ascii = (name = "") => domainToASCII(name);

/** Reads what `QUERY` printed. `inRecords` tells whether an `up` has put the DKIM key of a selector and domain into the records. */
export function seen(
    { admins, domains, aliases }: Stored,
    configured: Records,
    inRecords: (selector: string, domain: string) => boolean,
    login: string,
): Seen {
    const names = new Map(domains.map(({ _id, name }) => [key(_id), ascii(name)]));
    const same = mergeDomains(foundDomains(domains), configured).filter(({ kind }) => kind === "same");
    const admin = admins.find(({ has_verified_email }) => has_verified_email) ?? admins[0];
    return {
        admin: admin && { email: admin.email, verified: admin.has_verified_email === true },
        domains: domains.map((domain) => ({
            name: ascii(domain.name),
            records: Object.fromEntries(RECORDS.map((flag) => [flag, domain[flag] === true])) as Domain["records"],
            maySend: domain.has_smtp === true,
            passwords: domain.passwords,
        })),
        aliases: aliases.flatMap(({ name, domain, is_enabled, has_imap, passwords }) => {
            const of = names.get(key(domain));
            return of ? [{ name, domain: of, enabled: is_enabled !== false, mailbox: has_imap === true, passwords }] : [];
        }),
        configured: same.map(({ name }) => name),
        published: same.filter(({ name, after }) => inRecords(after!.selector, name)).map(({ name }) => name),
        login,
    };
}

/**
 * For `node -e` in the container of the site. Logs in to submission as the application does for its own mail (upstream's helpers/email.js):
 * by the same names, with the same certificates and the same password, which stays in the container. Prints the answer.
 */
export const LOGIN = `
    const { WEB_HOST, SMTP_TRANSPORT_USER = "support@" + WEB_HOST, SMTP_TRANSPORT_PASS } = process.env;
    const { SMTP_HOST, SMTP_PORT, SMTP_TRANSPORT_HOST: host = SMTP_HOST, SMTP_TRANSPORT_PORT: port = SMTP_PORT } = process.env;
    const login = Buffer.from(["", SMTP_TRANSPORT_USER, SMTP_TRANSPORT_PASS].join("\\0")).toString("base64");
    const lines = ["EHLO " + WEB_HOST, "AUTH PLAIN " + login];
    const end = (answer) => { console.log(answer.trim().split("\\n").at(-1)); process.exit(); };
    const socket = require("node:tls").connect({ host, port, servername: host, timeout: 10000 });
    let answer = "";
    socket.setEncoding("utf8").on("error", (error) => end(error.message)).on("timeout", () => end("no answer from " + host));
    socket.on("close", () => end(answer || "it hung up")).on("data", (part) => {
        answer += part;
        if (!/^\\d{3}( .*)?\\r?\\n$/m.test(answer)) return;
        if (lines.length === 0 || !/^[23]/.test(answer)) return end(answer);
        answer = "";
        socket.write(lines.shift() + "\\r\\n");
    });`;
