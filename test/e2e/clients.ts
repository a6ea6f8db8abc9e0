import * as https from "node:https";
import * as net from "node:net";
import * as tls from "node:tls";
import { ImapFlow } from "imapflow";
import * as nodemailer from "nodemailer";
import { SMTPServer } from "smtp-server";

/** Mail and web clients of the tests: they connect to the address and ask for the name, as DNS would make them. */
export interface Target {
    /** Address of the Docker host. */
    address: string;
    /** Name of the deployment. */
    host: string;
    /** Certificate authority of the stack; every TLS connection is verified against it. */
    ca: string;
    /** Added to the ports of web, MX and IMAP. */
    portOffset?: number;
}

export interface Answer {
    status: number;
    headers: Record<string, string | string[] | undefined>;
    body: string;
}

export function request(
    target: Target,
    label: string,
    path: string,
    options: { method?: string; auth?: string; json?: unknown; timeout?: number } = {},
): Promise<Answer> {
    const name = label ? `${label}.${target.host}` : target.host;
    const body = options.json === undefined ? undefined : JSON.stringify(options.json);
    return new Promise((resolve, reject) => {
        const call = https.request(
            {
                host: target.address,
                port: 443 + (target.portOffset ?? 0),
                servername: name,
                ca: target.ca,
                path,
                method: options.method ?? "GET",
                auth: options.auth,
                agent: false, // each request is a new connection: what a visitor makes while a container is replaced
                timeout: options.timeout ?? 10_000,
                headers: { host: name, ...(body ? { "content-type": "application/json", "content-length": Buffer.byteLength(body) } : {}) },
            },
            (response) => {
                let text = "";
                response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
                response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text })).on("error", reject);
            },
        );
        call.on("timeout", () => call.destroy(new Error("timeout")));
        call.on("error", reject);
        call.end(body);
    });
}

/** Makes a domain and a mailbox in it, as the administrator does over the API. Answers the status of each request. */
export async function makeMailbox(
    target: Target,
    admin: { email: string; password: string },
    login: { user: string; pass: string },
): Promise<number[]> {
    const [name, domain] = login.user.split("@");
    const auth = `${admin.email}:${admin.password}`;
    const statuses: number[] = [];
    for (const [path, json] of [
        ["/v1/domains", { domain }],
        [`/v1/domains/${domain}/aliases`, { name, password: login.pass }],
        [`/v1/domains/${domain}/aliases/${name}/generate-password`, { new_password: login.pass }],
    ] as Array<[string, object]>)
        statuses.push((await request(target, "api", path, { method: "POST", auth, json })).status);
    return statuses;
}

export async function deliver(
    target: Target,
    mail: { from: string; to: string; subject: string; text: string },
    address = target.address,
): Promise<void> {
    const tlsOptions = { servername: `mx.${target.host}`, ca: target.ca };
    const transport = nodemailer.createTransport({
        host: address,
        port: 25 + (target.portOffset ?? 0),
        secure: false,
        requireTLS: true,
        name: "sender.example.org",
        tls: tlsOptions,
    });
    await transport.sendMail(mail).finally(() => transport.close());
}

export async function submit(
    target: Target,
    login: { user: string; pass: string },
    mail: { to: string; subject: string; text: string },
): Promise<void> {
    const tlsOptions = { servername: `smtp.${target.host}`, ca: target.ca };
    const transport = nodemailer.createTransport({ host: target.address, port: 465, secure: true, auth: login, tls: tlsOptions });
    await transport.sendMail({ ...mail, from: login.user }).finally(() => transport.close());
}

/** Sources of all messages in the inbox. */
export async function readImap(target: Target, login: { user: string; pass: string }): Promise<string[]> {
    const client = new ImapFlow({
        host: target.address,
        port: 993 + (target.portOffset ?? 0),
        secure: true,
        auth: login,
        logger: false,
        tls: { servername: `imap.${target.host}`, ca: target.ca },
    });
    await client.connect();
    try {
        await client.mailboxOpen("INBOX");
        const sources: string[] = [];
        for await (const message of client.fetch("1:*", { source: true })) sources.push(message.source?.toString() ?? "");
        return sources;
    } finally {
        await client.logout();
    }
}

/** Sources of all messages, over POP3 (RFC 1939). */
export async function readPop3(target: Target, login: { user: string; pass: string }): Promise<string[]> {
    const socket = tls.connect({ host: target.address, port: 995, servername: `pop3.${target.host}`, ca: target.ca });
    socket.setEncoding("latin1");
    let buffer = "";
    socket.on("data", (chunk: string) => (buffer += chunk));
    const until = async (end: string) => {
        const deadline = Date.now() + 10_000;
        while (!buffer.includes(end)) {
            if (Date.now() > deadline) throw new Error(`POP3: no answer, got ${JSON.stringify(buffer)}`);
            await new Promise((resolve) => setTimeout(resolve, 10));
        }
        const answer = buffer.slice(0, buffer.indexOf(end));
        buffer = buffer.slice(buffer.indexOf(end) + end.length);
        if (!answer.startsWith("+OK")) throw new Error(`POP3: ${answer}`);
        return answer;
    };
    try {
        await until("\r\n");
        for (const line of [`USER ${login.user}`, `PASS ${login.pass}`, "STAT"]) socket.write(`${line}\r\n`);
        await until("\r\n");
        await until("\r\n");
        const count = Number((await until("\r\n")).split(" ")[1]);
        const sources: string[] = [];
        for (let at = 1; at <= count; at++) {
            socket.write(`RETR ${at}\r\n`);
            sources.push(await until("\r\n.\r\n"));
        }
        return sources;
    } finally {
        socket.destroy();
    }
}

/** A mail server of somebody else: keeps what it is sent. */
export async function startSink(
    address: string,
): Promise<{ port: number; received: string[]; /** Envelope senders of `received`. */ senders: string[]; close(): void }> {
    const received: string[] = [];
    const senders: string[] = [];
    const server = new SMTPServer({
        authOptional: true,
        disabledCommands: ["STARTTLS", "AUTH"],
        onData(stream, { envelope }, done) {
            let text = "";
            stream.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
            stream.on("end", () => {
                received.push(text);
                senders.push(envelope.mailFrom === false ? "" : envelope.mailFrom.address);
                done();
            });
        },
    });
    await new Promise<void>((resolve) => server.listen(0, address, resolve));
    return { port: (server.server.address() as net.AddressInfo).port, received, senders, close: () => server.close() };
}

/** Which of the ports take a connection. */
export async function openPorts(address: string, ports: number[]): Promise<number[]> {
    const open: number[] = [];
    const attempt = (port: number) =>
        new Promise<void>((resolve) => {
            const socket = net.connect({ host: address, port, timeout: 2000 });
            socket.on("connect", () => open.push(port));
            for (const event of ["connect", "error", "timeout"]) socket.on(event, () => resolve(void socket.destroy()));
        });
    for (let at = 0; at < ports.length; at += 500) await Promise.all(ports.slice(at, at + 500).map(attempt));
    return open.sort((a, b) => a - b);
}

/** Asks for a page again and again, each time over a new connection, until `stop`; counts what failed. */
export function poll(target: Target, labels: string[]): { stop(): Promise<{ requests: number; failures: string[]; slowestMs: number }> } {
    let running = true;
    const result = { requests: 0, failures: [] as string[], slowestMs: 0 };
    const loop = async (label: string) => {
        while (running) {
            const start = Date.now();
            const failure = await request(target, label, "/").then(
                ({ status }) => (status >= 500 ? `status ${status}` : undefined),
                (error: Error) => error.message,
            );
            result.requests++;
            result.slowestMs = Math.max(result.slowestMs, Date.now() - start);
            if (failure) result.failures.push(`${label || "web"}: ${failure}`);
            await new Promise((resolve) => setTimeout(resolve, 20));
        }
    };
    const loops = labels.map(loop);
    return {
        async stop() {
            running = false;
            await Promise.all(loops);
            return result;
        },
    };
}

export async function eventually<T>(what: string, seconds: number, attempt: () => Promise<T | undefined>): Promise<T> {
    const deadline = Date.now() + seconds * 1000;
    for (;;) {
        const found = await attempt();
        if (found !== undefined) return found;
        if (Date.now() > deadline) throw new Error(`not within ${seconds} s: ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 250));
    }
}
