import { createInterface } from "node:readline/promises";

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
