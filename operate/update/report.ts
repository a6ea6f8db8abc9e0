import type { Session } from "../session";
import type { Step } from "./journal";
import { changeText } from "./images";

/** What changes, in words. */
export function changesOf({ from, to, images = [] }: Pick<Step, "from" | "to" | "images">): string {
    return [...(from === to ? [] : [`from ${from} to ${to}`]), ...images.map(changeText)].join(", ");
}

/** The webhook of the config, if there is one; it is a secret. The update has ended, whatever becomes of this. */
export async function tell({ stack, settings }: Session, text: string, log: (line: string) => void): Promise<void> {
    if (!settings.alertWebhook) return;
    try {
        const url = (await stack.getConfig("alertWebhook")).value;
        const body = JSON.stringify({ text });
        const { ok } = await fetch(url, {
            method: "POST",
            headers: { "content-type": "application/json" },
            body,
            signal: AbortSignal.timeout(20_000),
        });
        if (!ok) throw new Error("refused");
    } catch {
        log("  warning: the webhook could not be told"); // its address is a secret, and may be in the error
    }
}
