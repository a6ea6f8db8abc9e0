import type { X509Certificate } from "node:crypto";
import * as https from "node:https";
import * as net from "node:net";
import * as tls from "node:tls";

/** `no way`: this machine has none to such an address, which says nothing of the port. */
export type Door = "open" | "closed" | "no way";

/** Connections to the deployment, as its clients make them. All reject where nobody answers. */
export interface Dial {
    /** Whether a TCP connection is taken. Never rejects. */
    isOpen(address: string, port: number): Promise<Door>;
    /** What TLS shows there; on an SMTP port after STARTTLS (RFC 3207). */
    certificate(args: TlsArgs): Promise<Shown>;
    /**
     * Sends lines to an SMTP server, each after the answer to the one before, and the message after the one that DATA gets. Answers the
     * greeting and the answers. Once something is refused, only a QUIT follows; where the server hangs up, the answers so far are all.
     */
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
/** How long a server may think about a command. RFC 5321 §4.5.3.2 grants minutes, which nobody who waits for a report has. */
const SMTP_TIMEOUT = 30_000;
/** For a greeting and STARTTLS, within the patience of the check tls. */
const STARTTLS_TIMEOUT = 10_000;

export const dial: Dial = { isOpen, certificate, smtp, get };

function connect(address: string, port: number): Promise<net.Socket> {
    return new Promise((resolve, reject) => {
        const socket = net.connect({ host: address, port, timeout: TIMEOUT });
        socket.once("connect", () => resolve(socket)).once("error", reject);
        socket.once("timeout", () => socket.destroy(new Error(`${address}:${port} does not answer`)));
    });
}

/** Codes of an address of a kind that this machine has no network for, most often IPv6. */
const NO_WAY = ["ENETUNREACH", "EADDRNOTAVAIL", "EAFNOSUPPORT"];

async function isOpen(address: string, port: number): Promise<Door> {
    try {
        (await connect(address, port)).destroy();
        return "open";
    } catch (error) {
        return NO_WAY.includes((error as NodeJS.ErrnoException).code ?? "") ? "no way" : "closed";
    }
}

async function certificate({ address, port, servername, starttls, ca }: TlsArgs): Promise<Shown> {
    const plain = await connect(address, port);
    try {
        if (starttls) {
            const talk = conversation(plain, STARTTLS_TIMEOUT);
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
    const answers: string[] = [];
    try {
        const talk = conversation(socket, SMTP_TIMEOUT);
        answers.push(await talk.answer());
        for (const line of lines) {
            const last = answers.at(-1)!;
            if (answers.some((answer) => !/^[23]/.test(answer)) && line !== "QUIT") continue;
            talk.say(last.startsWith("354") ? message(line) : line);
            answers.push(await talk.answer());
        }
        return answers;
    } catch (error) {
        if (error instanceof HungUp && answers.length > 0) return answers;
        throw error;
    } finally {
        socket.destroy();
    }
}

/** A message as one unit; a line that begins with a dot would end it (RFC 5321 §4.5.2). */
const message = (text: string) => `${text.replace(/\r?\n/g, "\r\n").replace(/^\./gm, "..")}\r\n.`;

class HungUp extends Error {}

/** Answers of several lines come as one (RFC 5321 §4.2.1), also without text (§4.2). */
function conversation(socket: net.Socket, timeout: number) {
    let received = "";
    let waiting: (() => void) | undefined;
    let ended: Error | undefined;
    const onData = (data: Buffer) => {
        received += data.toString("latin1");
        waiting?.();
    };
    // An error of the system's is how a peer hangs up that does not say so; the other one is ours, of a peer that is silent.
    const onEnd = (error?: NodeJS.ErrnoException) => {
        ended ??= error && !error.code ? error : new HungUp("the server hung up");
        waiting?.();
    };
    socket
        .setTimeout(timeout)
        .on("data", onData)
        .once("error", onEnd)
        .once("close", () => onEnd());
    return {
        say: (line: string) => socket.write(`${line}\r\n`),
        async answer(): Promise<string> {
            for (;;) {
                const whole = /^(?:\d{3}-[^\n]*\n)*\d{3}(?: [^\n]*|\r)?\n/.exec(received);
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
