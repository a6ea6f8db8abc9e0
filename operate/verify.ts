import * as path from "node:path";
import { parseArgs, styleText } from "node:util";
import { openExisting } from "./session";
import { domainsCheck } from "./verify/application";
import { mailCheck } from "./verify/canary";
import { Check, Finding, Report, Status, exitCode, runChecks, worst } from "./verify/check";
import { clientsCheck } from "./verify/clients";
import { deployed } from "./verify/deployed";
import { foreignCheck, mtaStsCheck, recordsCheck, reverseCheck, spfCheck } from "./verify/dns";
import { dnssecCheck } from "./verify/dnssec";
import { backupsCheck, driftCheck, hostCheck } from "./verify/host";
import { portsCheck, relayCheck } from "./verify/mail";
import { reportsCheck } from "./verify/reports";
import { servicesCheck } from "./verify/services";
import { daneCheck, tlsCheck } from "./verify/tls";
import { theWorld } from "./verify/world";
import { WORK, keep, kept } from "./workspace";

/** In the order in which one would look. */
export const CHECKS: Check[] = [
    ...[servicesCheck, portsCheck, tlsCheck, relayCheck, mailCheck, clientsCheck],
    ...[recordsCheck, foreignCheck, dnssecCheck, reverseCheck, spfCheck, reportsCheck, mtaStsCheck, daneCheck, domainsCheck],
    ...[hostCheck, backupsCheck, driftCheck],
];

const HELP = `npm run verify -- [--stack NAME] [--only CHECK ...] [--all] [--json] [--since-last] [--rehearse]

Compares a deployment with what was declared: services, ports, certificates, DNS, reverse names, backups, the server. Changes nothing; with
a canary (backups.canary) two mails are sent to it, and deleted.
Ends with 0 when all is well (warnings may be told), 1 when something fails, 3 when nothing fails but something could not be told.

  --stack NAME   default dev
  --only CHECK   one check alone; may be given again: ${CHECKS.map(({ id }) => id).join(", ")}
  --all          shows each finding, not only those that want a look
  --json         prints the findings for a program
  --since-last   shows what is another than in the last run with it and without --only, and nothing where all is the same
  --rehearse     the stack's rehearsal, not the stack itself
`;

async function main(): Promise<void> {
    const { values } = parseArgs({
        options: {
            stack: { type: "string", default: "dev" },
            only: { type: "string", multiple: true },
            all: { type: "boolean" },
            json: { type: "boolean" },
            "since-last": { type: "boolean" },
            rehearse: { type: "boolean" },
            help: { type: "boolean", short: "h" },
        },
    });
    if (values.help) return void process.stdout.write(HELP);
    const checks = chosen(values.only);
    const session = await openExisting(values.stack, { rehearse: values.rehearse }, (line) => console.error(line));
    const { deployment, ways } = await deployed(session, values.stack);
    const reports = await runChecks(checks, deployment, theWorld(deployment.settings, ways));
    const memory = memoryOf(values.stack, session.rehearsal !== undefined);
    const shown = values["since-last"] ? sinceLast(memory, reports, checks) : reports;
    if (values.json) console.log(JSON.stringify(shown, null, 2));
    else if (shown.length > 0) for (const line of table(shown, values.all ?? false)) console.log(line);
    process.exitCode = exitCode(reports);
    // A preview that hangs would keep the process alive. What was printed is out by then: a pipe takes its time.
    process.stdout.write("", () => process.exit());
}

/** @throws Error with the names that there are. */
export function chosen(only: string[] | undefined): Check[] {
    const strangers = (only ?? []).filter((id) => !CHECKS.some((check) => check.id === id));
    if (strangers.length > 0) throw new Error(`--only: got ${strangers.join(", ")}, wanted ${CHECKS.map(({ id }) => id).join(", ")}.`);
    return only ? CHECKS.filter(({ id }) => only.includes(id)) : CHECKS;
}

/** What the last run found. A rehearsal is another deployment of the same name. */
export const memoryOf = (stack: string, isRehearsal: boolean) => path.join(WORK, "verify", `${stack}${isRehearsal ? ".rehearsal" : ""}.json`);

/** What is another than the last time that this was asked. Some checks alone are compared with it, and are not kept: the others would be new. */
export function sinceLast(file: string, reports: Report[], checks: Check[]): Report[] {
    const before = kept<Report[]>(file) ?? [];
    if (checks.length === CHECKS.length) keep(file, reports);
    return changedSince(before, reports);
}

/** Findings of another status than before, new ones, and what is well again. */
export function changedSince(before: Report[], now: Report[]): Report[] {
    // A name has several records of a type, each with a finding of its own.
    const key = (id: string, { subject, status }: Finding) => `${id} ${subject} ${status}`;
    const known = new Set(before.flatMap(({ id, findings }) => findings.map((one) => key(id, one))));
    return now
        .map((report) => ({ ...report, findings: report.findings.filter((one) => !known.has(key(report.id, one))) }))
        .filter(({ findings }) => findings.length > 0);
}

const COLOURS: Record<Status, "green" | "yellow" | "red" | "magenta"> = { pass: "green", warn: "yellow", fail: "red", unknown: "magenta" };

/** For people: a line a check, and below it what wants a look. */
export function table(reports: Report[], all: boolean): string[] {
    const paint = (status: Status) => (process.stdout.isTTY ? styleText(COLOURS[status], status.padEnd(7)) : status.padEnd(7));
    const lines = reports
        .filter(({ findings }) => findings.length > 0)
        .flatMap(({ id, title, source, findings }) => {
            const shown = findings.filter(({ status }) => all || status !== "pass");
            const summary = shown.length === 0 ? (findings.length === 1 ? `: ${findings[0].got}` : ` (${findings.length})`) : "";
            return [
                `${paint(worst(findings))} ${id.padEnd(9)} ${title}${summary}`,
                ...shown.flatMap(({ status, subject, got, expected, fix }) => [
                    `        ${status.padEnd(7)} ${subject}: ${got}${expected === undefined ? "" : `; wanted ${expected}`}`,
                    ...(fix ? [`                fix: ${fix}`] : []),
                ]),
                ...(shown.some(({ status }) => status === "fail") ? [`                see: ${source}`] : []),
            ];
        });
    const counts = (["pass", "warn", "fail", "unknown"] as const).map((status) => {
        const count = reports.flatMap(({ findings }) => findings).filter((one) => one.status === status).length;
        return `${count} ${status}`;
    });
    return [...lines, "", counts.join(", ")];
}

if (require.main === module)
    main().catch((error: Error) => {
        console.error(error.message);
        process.exitCode = 2;
    });
