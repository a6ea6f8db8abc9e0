import { Interface, createInterface } from "node:readline/promises";
import { Writable } from "node:stream";

/** What is typed on the terminal. */
export function ask(question: string): Promise<string> {
    return answer(createInterface({ input: process.stdin, output: process.stdout }), question);
}

export const isConfirmed = async (question: string) => /^y(es)?$/i.test(await ask(question));

/** The same for a secret: nothing of it is shown. */
export async function askHidden(question: string): Promise<string> {
    const nowhere = new Writable({ write: (_, __, done) => done() });
    // As a terminal, readline keeps the system from showing what is typed, and shows it nowhere. That first, then the question: who
    // answers at once (a password manager does) would be shown otherwise.
    const terminal = createInterface({ input: process.stdin, output: nowhere, terminal: true });
    try {
        process.stdout.write(question);
        return await answer(terminal, "");
    } finally {
        process.stdout.write("\n");
    }
}

async function answer(terminal: Interface, question: string): Promise<string> {
    // readline keeps Ctrl-C from the process while it reads keys.
    terminal.once("SIGINT", () => process.kill(process.pid, "SIGINT"));
    const ended = new Promise<never>((_, reject) => terminal.once("close", () => reject(new Error("Nothing was typed."))));
    try {
        return (await Promise.race([terminal.question(question), ended])).trim();
    } finally {
        ended.catch(() => undefined);
        terminal.close();
    }
}
