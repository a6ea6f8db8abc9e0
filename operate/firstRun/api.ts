import * as https from "node:https";
import { rootCertificates } from "node:tls";

/** The application's API (upstream's routes/api/v1/index.js), as one account. */
export interface Api {
    /** Rejects with `Refused` where it does not do it, in its own words, and with `Unanswered` where it says nothing: it may have done it then. */
    call(method: "GET" | "POST", path: string, body?: object): Promise<unknown>;
}

/** Where the API is, and as whom. */
export interface ApiArgs {
    /** IP address; DNS may not lead there yet. */
    address: string;
    port: number;
    /** `api.HOST` */
    name: string;
    /** A private authority to trust beside the public ones, PEM. */
    authority?: string;
    /** API token of an account: the user name of basic authentication, without a password. */
    token: string;
}

/** An answer that is not a success. */
export class Refused extends Error {
    constructor(
        readonly status: number,
        message: string,
    ) {
        super(message);
    }
}

/** No answer: nobody listens, it takes too long, or the connection ends. */
export class Unanswered extends Error {}

/** What a failed call means, in a sentence; another error is thrown on. */
export function meaningOf(error: unknown): string {
    if (error instanceof Refused) return `The application refuses it (${error.message}).`;
    if (error instanceof Unanswered) return `The API cannot be asked: ${error.message}.`;
    throw error;
}

/** A rekeyed mailbox takes its time; nothing else does. */
const TIMEOUT = 60_000;

export function apiAt({ address, port, name, authority, token }: ApiArgs): Api {
    const options: https.RequestOptions = {
        host: address,
        port,
        servername: name,
        auth: `${token}:`,
        agent: false,
        timeout: TIMEOUT,
        ...(authority ? { ca: [...rootCertificates, authority] } : {}),
    };
    return {
        call: (method, path, body) =>
            new Promise((resolve, reject) => {
                const fail = ({ message }: Error) => reject(new Unanswered(message));
                const content = body === undefined ? "" : JSON.stringify(body);
                const headers = {
                    host: name,
                    accept: "application/json",
                    "content-type": "application/json",
                    "content-length": Buffer.byteLength(content),
                };
                const request = https.request({ ...options, method, path, headers }, (response) => {
                    let text = "";
                    response.setEncoding("utf8").on("data", (part: string) => (text += part));
                    response.on("error", fail).on("end", () => {
                        const answer = parsed(text);
                        const status = response.statusCode ?? 0;
                        if (status >= 200 && status < 300) resolve(answer);
                        else reject(new Refused(status, `${status}: ${messageOf(answer)}`));
                    });
                });
                request.on("timeout", () => request.destroy(new Error(`${name} (${address}:${port}) does not answer`)));
                request.on("error", fail).end(content);
            }),
    };
}

function parsed(text: string): unknown {
    try {
        return JSON.parse(text);
    } catch {
        return text; // verify-records and verify-smtp answer a sentence
    }
}

/** Upstream has one sentence, or one for each record that is wrong; a proxy in the way has a page, of which a line will do. */
function messageOf(answer: unknown): string {
    const { message } = (typeof answer === "object" && answer !== null ? answer : {}) as { message?: unknown };
    const sentences = Array.isArray(message) ? message : [message ?? answer];
    return (
        sentences
            .map(String)
            .join(" ")
            .replace(/<[^>]*>/g, "")
            .trim()
            .slice(0, 500) || "no reason given"
    );
}
