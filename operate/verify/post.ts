import { ImapFlow } from "imapflow";
import { createTransport } from "nodemailer";
import type { TlsArgs } from "./dial";

export interface Login {
    user: string;
    pass: string;
}

/** A port of the deployment, and the name that clients use there; the certificate must be for it. */
export type Where = Omit<TlsArgs, "starttls">;

/** What the owner of a mailbox does with a mail program. All reject in the server's words. */
export interface Post {
    /** Hands a mail to oneself in for sending (RFC 8314 §3.3). */
    submit(where: Where, login: Login, mail: { subject: string; text: string }): Promise<void>;
    open(where: Where, login: Login): Promise<Mailbox>;
}

export interface Mailbox {
    /** The mail of this subject among those that came in; undefined as long as there is none. */
    find(subject: string): Promise<Mail | undefined>;
    /** Deletes from every folder, for good, what `isOurs` says of those whose subject begins so. */
    remove(prefix: string, isOurs: (subject: string) => boolean): Promise<void>;
    close(): Promise<void>;
}

export interface Mail {
    /** Path of the folder; `INBOX`, or where the server puts what it takes for spam. */
    folder: string;
    source: Buffer;
}

const TIMEOUT = 10_000;

export const post: Post = { submit, open };

const tlsOf = ({ servername, ca }: Where) => ({ servername, ...(ca ? { ca } : {}) });

async function submit(where: Where, login: Login, mail: { subject: string; text: string }): Promise<void> {
    const { address: host, port } = where;
    const timeouts = { connectionTimeout: TIMEOUT, greetingTimeout: TIMEOUT, socketTimeout: 3 * TIMEOUT };
    const transport = createTransport({ host, port, secure: true, auth: login, tls: tlsOf(where), name: "verify.invalid", ...timeouts });
    await transport.sendMail({ ...mail, from: login.user, to: login.user }).finally(() => transport.close());
}

async function open(where: Where, login: Login): Promise<Mailbox> {
    const { address: host, port } = where;
    const timeouts = { connectionTimeout: TIMEOUT, greetingTimeout: TIMEOUT, socketTimeout: 6 * TIMEOUT };
    const client = new ImapFlow({ host, port, secure: true, auth: login, logger: false, tls: tlsOf(where), ...timeouts });
    client.on("error", () => undefined); // whoever waits for an answer is told by a rejection
    try {
        await client.connect();
    } catch (error) {
        // What the server says is more than "Command failed".
        throw new Error((error as { responseText?: string }).responseText ?? (error as Error).message, { cause: error });
    }
    const folders = await client.list();
    const inTurn = turns();
    const incoming = folders.filter(({ path, specialUse }) => path === "INBOX" || specialUse === "\\Junk").map(({ path }) => path);
    return {
        find: (subject) => inTurn(() => findIn(client, incoming, subject)),
        remove: (prefix, isOurs) =>
            inTurn(async () => {
                for (const { path, flags } of folders) if (!flags.has("\\Noselect")) await removeIn(client, path, prefix, isOurs);
            }),
        close: () => client.logout(),
    };
}

/** One connection has one folder open at a time: whoever else wants one waits. */
function turns() {
    let last: Promise<unknown> = Promise.resolve();
    return <T>(work: () => Promise<T>): Promise<T> => {
        const turn = last.then(work);
        last = turn.catch(() => undefined);
        return turn;
    };
}

async function findIn(client: ImapFlow, folders: string[], subject: string): Promise<Mail | undefined> {
    for (const folder of folders) {
        const [uid] = await search(client, folder, subject);
        const mail = uid !== undefined && (await client.fetchOne(String(uid), { source: true }, { uid: true }));
        if (mail && mail.source) return { folder, source: mail.source };
    }
    return undefined;
}

async function removeIn(client: ImapFlow, folder: string, prefix: string, isOurs: (subject: string) => boolean): Promise<void> {
    const found = await search(client, folder, prefix);
    if (found.length === 0) return;
    const ours: number[] = [];
    for await (const { uid, envelope } of client.fetch(found, { envelope: true }, { uid: true })) if (isOurs(envelope?.subject ?? "")) ours.push(uid);
    if (ours.length > 0) await client.messageDelete(ours, { uid: true });
}

/** Opens the folder anew: a server that tells of new mail only then is asked, too. */
async function search(client: ImapFlow, folder: string, subject: string): Promise<number[]> {
    await client.mailboxOpen(folder);
    return (await client.search({ subject }, { uid: true })) || [];
}
