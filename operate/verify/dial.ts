import type { X509Certificate } from "node:crypto";
import * as https from "node:https";
import * as net from "node:net";
import * as tls from "node:tls";

/** Connections to the deployment, as its clients make them. All reject where nobody answers. */
export interface Dial {
    /** Whether a TCP connection is taken. Never rejects. */
    isOpen(address: string, port: number): Promise<boolean>;
    /** What TLS shows there; on an SMTP port after STARTTLS (RFC 3207). */
    certificate(args: TlsArgs): Promise<Shown>;
    /** Sends lines to an SMTP server, each after the answer to the one before; answers the greeting and the answers. */
    smtp(address: string, port: number, lines: string[]): Promise<string[]>;
    /** GET over HTTPS, without following anywhere. */
    get(args: Omit<TlsArgs, "starttls"> & { path: string }): Promise<{ status: number; type: string; body: string }>;
}

export interface TlsArgs {
    address: string;
    port: number;
    servername: string;
    starttls?: boolean;
    /** A private authority to trust beside the public ones, PEM. */
    ca?: string;
}

export interface Shown {
    certificate: X509Certificate;
    /** Why a client would not trust it; undefined, when it would. */
    problem?: string;
    /** `TLSv1.3`. */
    protocol: string;
}

const TIMEOUT = 5000;

export const dial: Dial = { isOpen, certificate, smtp, get };

function connect(address: string, port: number): Promise<net.Socket> {
    return new Promise((resolve, reject) => {
        const socket = net.connect({ host: address, port, timeout: TIMEOUT });
        socket.once("connect", () => resolve(socket)).once("error", reject);
        socket.once("timeout", () => socket.destroy(new Error(`${address}:${port} does not answer`)));
    });
}

async function isOpen(address: string, port: number): Promise<boolean> {
    try {
        (await connect(address, port)).destroy();
        return true;
    } catch {
        return false;
    }
}

async function certificate({ address, port, servername, starttls, ca }: TlsArgs): Promise<Shown> {
    const plain = await connect(address, port);
    try {
        if (starttls) {
            const talk = conversation(plain);
            for (const line of ["EHLO verify.invalid", "STARTTLS"]) {
                await talk.answer();
                talk.say(line);
            }
            const ready = await talk.answer();
            if (!ready.startsWith("220")) throw new Error(`STARTTLS is refused: ${ready}`);
            talk.end();
        }
        return await shown(plain, servername, ca);
    } finally {
        plain.destroy();
    }
}

function shown(socket: net.Socket, servername: string, ca?: string): Promise<Shown> {
    return new Promise((resolve, reject) => {
        const secure = tls.connect({ socket, servername, rejectUnauthorized: false, ...(ca ? { ca: [...tls.rootCertificates, ca] } : {}) });
        secure.once("error", reject);
        secure.once("secureConnect", () => {
            const problem = secure.authorizationError as Error | string | undefined;
            resolve({
                certificate: secure.getPeerX509Certificate()!,
                problem: problem ? String((problem as Error).message ?? problem) : undefined,
                protocol: secure.getProtocol() ?? "",
            });
            secure.destroy();
        });
    });
}

async function smtp(address: string, port: number, lines: string[]): Promise<string[]> {
    const socket = await connect(address, port);
    try {
        const talk = conversation(socket);
        const answers = [await talk.answer()];
        for (const line of lines) {
            talk.say(line);
            answers.push(await talk.answer());
        }
        return answers;
    } finally {
        socket.destroy();
    }
}

/** Answers of several lines come as one (RFC 5321 §4.2.1). */
function conversation(socket: net.Socket) {
    let received = "";
    let waiting: (() => void) | undefined;
    let ended: Error | undefined;
    const onData = (data: Buffer) => {
        received += data.toString("latin1");
        waiting?.();
    };
    const onEnd = (error?: Error) => {
        ended = error ?? new Error("the server hung up");
        waiting?.();
    };
    socket
        .on("data", onData)
        .once("error", onEnd)
        .once("close", () => onEnd());
    return {
        say: (line: string) => socket.write(`${line}\r\n`),
        async answer(): Promise<string> {
            for (;;) {
                const whole = /^(?:\d{3}-[^\n]*\n)*\d{3}(?: [^\n]*)?\n/.exec(received);
                if (whole) {
                    received = received.slice(whole[0].length);
                    return whole[0].trim();
                }
                if (ended) throw ended;
                await new Promise<void>((resolve) => (waiting = resolve));
            }
        },
        end: () => void socket.off("data", onData),
    };
}

function get({ address, port, servername, ca, path }: Parameters<Dial["get"]>[0]): ReturnType<Dial["get"]> {
    return new Promise((resolve, reject) => {
        const trust = ca ? { ca: [...tls.rootCertificates, ca] } : {};
        const headers = { host: servername };
        const call = https.request({ host: address, port, servername, path, headers, agent: false, timeout: TIMEOUT, ...trust }, (response) => {
            let body = "";
            response.setEncoding("utf8").on("data", (part: string) => (body += part));
            response
                .on("end", () => resolve({ status: response.statusCode ?? 0, type: response.headers["content-type"] ?? "", body }))
                .on("error", reject);
        });
        call.on("timeout", () => call.destroy(new Error(`${address}:${port} does not answer`)));
        call.on("error", reject);
        call.end();
    });
}
