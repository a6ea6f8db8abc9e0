import type { WithAccount } from "../providers/account";
import type { Call, CloudflareAccount } from "./account";
import { reasonOf, Refusal, told } from "./errors";

/** Cloudflare as the provider sees it, with the token that the provider was given. */
export interface Cloudflare {
    withAccount: WithAccount<CloudflareAccount>;
    token(): string | undefined;
}

/** Sends requests to the API, which knows one token. A request stays in the account's list also when it is refused. */
export function requests({ withAccount, token }: Cloudflare) {
    return async <T>(call: Call, answer: (account: CloudflareAccount) => T): Promise<T> => {
        const outcome = await withAccount((account) => {
            try {
                if (token() !== account.token) throw unauthorized();
                const answered = { answer: answer(account) };
                account.calls.push(call);
                return answered;
            } catch (error) {
                account.calls.push({ ...call, ...(error instanceof Refusal && { code: reasonOf(error) }) });
                return { error };
            }
        });
        if ("answer" in outcome) return outcome.answer;
        throw outcome.error instanceof Refusal ? told(call, outcome.error) : outcome.error;
    };
}

const unauthorized = () => new Refusal(10000, "Authentication error", "403 Forbidden");

/** What the API says of an id that cannot be one. */
export const notRouted = (path: string) => new Refusal(7003, `Could not route to /client/v4/${path}, perhaps your object identifier is invalid?`);

/** Sends requests about something of an account: `accounts/ID/PATH`. */
export function accountRequests(cloudflare: Cloudflare) {
    const send = requests(cloudflare);
    return <T>(method: Call["method"], accountId: string, path: string, answer: (account: CloudflareAccount) => T): Promise<T> => {
        const call = { method, path: `accounts/${accountId}/${path}` };
        return send(call, (account) => {
            if (!/^[0-9a-f]{32}$/.test(accountId)) throw notRouted(call.path);
            if (accountId !== account.id) throw unauthorized();
            return answer(account);
        });
    };
}
