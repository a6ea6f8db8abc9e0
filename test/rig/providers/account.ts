import * as fs from "node:fs";
import * as path from "node:path";

/** Does one thing with an account, of which no other is in the midst. It is kept only if the thing does not fail. */
export type WithAccount<Account> = <T>(use: (account: Account) => T | Promise<T>) => Promise<T>;

/** An account in a file. Other processes may use it too, but not at the same time. */
export function inFile<Account>(file: string, read: (file: string) => Account): WithAccount<Account> {
    let last: Promise<unknown> = Promise.resolve();
    return (use) => {
        const next = last.then(async () => {
            const account = read(file);
            const answer = await use(account);
            fs.mkdirSync(path.dirname(file), { recursive: true });
            fs.writeFileSync(`${file}.new`, JSON.stringify(account, null, 4));
            fs.renameSync(`${file}.new`, file);
            return answer;
        });
        last = next.catch(() => undefined);
        return next;
    };
}

/** The account that a file holds. */
export const readFile = <Account>(file: string): Account | undefined =>
    fs.existsSync(file) ? (JSON.parse(fs.readFileSync(file, "utf8")) as Account) : undefined;

/** The rig that the rehearsal's stand-ins are for, as the rehearsal names it. */
export function rigOf(provider: string): { name: string; dir: string } {
    const text = process.env.FORWARDEMAIL_RIG;
    if (!text) throw new Error(`stand-in ${provider} provider: FORWARDEMAIL_RIG does not say which rig this is for`);
    return JSON.parse(text) as { name: string; dir: string };
}
