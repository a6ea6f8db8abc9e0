import type { MtaSts } from "../components/dns/mtaSts";
import { EXCHANGER, under } from "../components/services/catalogue";
import type { Settings } from "../components/settings/settings";

// Senders keep an MTA-STS policy for its max_age, and under `enforce` deliver to nobody who does not fit it (RFC 8461 §5, §8.3):
// neither it, nor a domain of it, nor a server that it names can just go away.

interface Served extends MtaSts {
    domains: string[];
    exchangers: string[];
}

type Next = Pick<Settings, "mtaSts" | "domains" | "host">;

/** The policy that the stack serves, as its outputs have it. */
const served = (outputs: Record<string, unknown>) => outputs.mtaSts as Served | undefined;

/** What stands against the next policy; undefined where nothing does. */
export function refusePolicy(outputs: Record<string, unknown>, next: Next): string | undefined {
    const now = served(outputs);
    if (now?.mode !== "enforce") return undefined;
    const what = dropped(now, next);
    return (
        what &&
        `${what}, while senders have a policy that enforces, for ${days(now)}: they would refuse to deliver.\n  fix: set dns.mtaSts.mode to none, run up, wait ${days(now)}, and then make this change (RFC 8461 §8.3)`
    );
}

/** What the next config takes away from senders that keep the policy. */
function dropped(now: Served, { mtaSts, domains, host }: Next): string | undefined {
    const gone = now.domains.filter((domain) => !domains.includes(domain));
    const exchanger = under(host, EXCHANGER);
    if (!mtaSts) return "dns.mtaSts.mode: got off";
    if (gone.length > 0) return `domains: ${gone.join(", ")} is left out`;
    return now.exchangers.includes(exchanger) ? undefined : `host: got ${host}, so that mail would go to ${exchanger}`;
}

/** What stands against taking the deployment away; undefined where nothing does, or `said` so. */
export function refuseLeaving(outputs: Record<string, unknown>, said: boolean): string | undefined {
    const now = served(outputs);
    if (now?.mode !== "enforce" || said) return undefined;
    return `The MTA-STS policy enforces, and senders keep it for ${days(now)}: without it, and its certificate, their mail does not come in elsewhere either. Nothing was removed.\n  fix: set dns.mtaSts.mode to none, run up, and wait ${days(now)}; or say --leave-mta-sts`;
}

const days = ({ maxAge }: MtaSts) => `${Math.ceil(maxAge / 86_400)} days`;
