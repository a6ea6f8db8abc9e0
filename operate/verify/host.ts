import { parsePreflight } from "../../components/server/host/preflight";
import { Check, Finding, unknown } from "./check";

/** What a look at a server says of one that has a deployment already, too. */
export const hostCheck: Check = {
    id: "host",
    title: "the server has room, time, a resolver and a way out, and is on no block list",
    source: "RFC 5782 (lists), RFC 5905 (time)",
    patience: 60_000,
    async run({ settings }, world) {
        const [{ kind }] = settings.servers;
        if (kind === "local") return []; // the operator's own machine
        const checks = parsePreflight(await world.preflight());
        if (checks.length === 0) return [unknown("server", "it says nothing")];
        return checks.map(({ level, check, found, fix }): Finding => {
            if (found.includes("cannot be asked")) return unknown(check, `${found}: ${fix}`);
            return { status: level, subject: check, got: found, ...(fix ? { fix } : {}) };
        });
    },
};

/** What is in the bucket, not what a log says. */
export const backupsCheck: Check = {
    id: "backups",
    title: "the bucket has a complete set that is young enough",
    source: "backups.rpo",
    patience: 60_000,
    async run({ settings, stack }, world) {
        if (!settings.backups) return [];
        const { rpoHours } = settings.backups;
        const newest = (await world.sets()).at(-1);
        const fix = `npm run backup -- --stack ${stack}, and see why the timer made none: journalctl -u ${settings.name}-backup on the server`;
        const subject = "newest set"; // the same whichever it is: --since-last compares by it
        if (!newest) return [{ status: "fail", subject, expected: `one of the last ${rpoHours} h`, got: "none", fix }];
        const hours = (world.now().getTime() - timeOf(newest)) / 3_600_000;
        const got = `${newest}, ${Math.round(hours * 10) / 10} h old, wanted every ${rpoHours} h`;
        return [hours <= rpoHours ? { status: "pass", subject, got } : { status: "fail", subject, got, fix }];
    },
};

/** When a set was made: its id tells. */
export function timeOf(id: string): number {
    return Date.parse(id.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"));
}

export const driftCheck: Check = {
    id: "drift",
    title: "what is there is what was declared",
    source: "pulumi preview, after a refresh",
    patience: 120_000,
    async run({ stack }, world) {
        const changed = await world.drift();
        if (changed.length === 0) return [{ status: "pass", subject: stack, got: "nothing would change" }];
        return changed.map((name) => ({
            status: "warn",
            subject: name,
            got: "would change",
            fix: `npm run plan -- ${stack} shows what was declared; npm run up -- --stack ${stack} makes it so`,
        }));
    },
};
