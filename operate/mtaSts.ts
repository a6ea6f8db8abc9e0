import type { MtaSts } from "../components/dns/mtaSts";

// Senders keep an MTA-STS policy for its max_age, and under `enforce` deliver to nobody who does not fit it (RFC 8461 §5, §8.3):
// it cannot just go away.

/** The policy that the stack serves, as its outputs have it. */
const served = (outputs: Record<string, unknown>) => outputs.mtaSts as MtaSts | undefined;

/** What stands against the next policy; undefined where nothing does. */
export function refusePolicy(outputs: Record<string, unknown>, next: MtaSts | undefined): string | undefined {
    const now = served(outputs);
    if (now?.mode !== "enforce" || next) return undefined;
    return `dns.mtaSts.mode: got off while senders have a policy that enforces, for ${days(now)}: their mail would be refused by themselves.\n  fix: set it to none, run up, wait ${days(now)}, then set it to off (RFC 8461 §8.3)`;
}

/** What stands against taking the deployment away; undefined where nothing does, or `said` so. */
export function refuseLeaving(outputs: Record<string, unknown>, said: boolean): string | undefined {
    const now = served(outputs);
    if (now?.mode !== "enforce" || said) return undefined;
    return `The MTA-STS policy enforces, and senders keep it for ${days(now)}: without it, and its certificate, their mail does not come in elsewhere either. Nothing was removed.\n  fix: set dns.mtaSts.mode to none, run up, and wait ${days(now)}; or say --leave-mta-sts`;
}

const days = ({ maxAge }: MtaSts) => `${Math.ceil(maxAge / 86_400)} days`;
