import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";

/** What is typed on the terminal. */
export async function ask(question: string): Promise<string> {
    const terminal = createInterface({ input: process.stdin, output: process.stdout });
    try {
        return (await terminal.question(question)).trim();
    } finally {
        terminal.close();
    }
}

export const isConfirmed = async (question: string) => /^y(es)?$/i.test(await ask(question));

/** The same for a secret: nothing of it is shown. */
export async function askHidden(question: string): Promise<string> {
    process.stdout.write(question);
    const nowhere = new Writable({ write: (_, __, done) => done() });
    // As a terminal, readline itself echoes, into nowhere.
    const terminal = createInterface({ input: process.stdin, output: nowhere, terminal: true });
    const ended = new Promise<never>((_, reject) => {
        // readline keeps Ctrl-C from the process while it reads keys: without an answer, nothing would be left to wait for.
        terminal.once("SIGINT", () => process.kill(process.pid, "SIGINT"));
        terminal.once("close", () => reject(new Error("Nothing was typed.")));
    });
    try {
        return (await Promise.race([terminal.question(""), ended])).trim();
    } finally {
        ended.catch(() => undefined);
        terminal.close();
        process.stdout.write("\n");
    }
}
