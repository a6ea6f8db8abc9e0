import type { Call } from "./account";

interface Answer {
    code: number;
    message: string;
    error_chain?: Answer[];
}

/** An answer of the API that says no. */
export class Refusal extends Error {
    constructor(
        readonly code: number,
        message: string,
        readonly status = "400 Bad Request",
        readonly chain?: Answer[],
    ) {
        super(message);
    }
}

/** What the API says of a record that is wrong by itself. */
export const invalid = (code: number, message: string): Refusal => new Refusal(1004, "DNS Validation Error", "400 Bad Request", [{ code, message }]);

/** The code that says why: the innermost. */
export const reasonOf = ({ code, chain }: Refusal): number => chain?.[0].code ?? code;

/** The refusal as the provider passes it on. */
export function told({ method, path }: Call, { code, message, status, chain }: Refusal): Error {
    const body = { result: null, success: false, errors: [{ code, message, ...(chain && { error_chain: chain }) }], messages: [] };
    return new Error(`failed to make http request: ${method} "https://api.cloudflare.com/client/v4/${path}": ${status} ${JSON.stringify(body)}`);
}

/** Refuses what the real API takes, and what nobody should send it all the same. */
export const unwise = (why: string): string => `stand-in cloudflare provider: the real API would take this, but ${why}`;
