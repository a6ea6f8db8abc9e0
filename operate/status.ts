import { parseArgs } from "node:util";
import { CATALOGUE, servicesOf } from "../components/services/catalogue";
import { FOLDER_OF, sourceOf } from "../components/services/files";
import type { ServerSettings, Settings } from "../components/settings/settings";
import { inMongo } from "./database";
import { Running, dockerAside, inspectStackAside, runAside, scriptOn } from "./health";
import { openExisting } from "./session";
import { pinOf, tagOf } from "./update/images";
import type { Deployment } from "./verify/check";
import { deployed } from "./verify/deployed";
import { dial } from "./verify/dial";

const HELP = `npm run status -- [--stack NAME] [--rehearse]

How a deployment is, on one screen: services, certificate, backups, queue, disk. Looks only; npm run verify judges.

  --stack NAME   default dev
  --rehearse     the stack's rehearsal, not the stack itself
`;

async function main(): Promise<void> {
    const { values } = parseArgs({
        options: { stack: { type: "string", default: "dev" }, rehearse: { type: "boolean" }, help: { type: "boolean", short: "h" } },
    });
    if (values.help) return void process.stdout.write(HELP);
    const session = await openExisting(values.stack, { rehearse: values.rehearse }, (line) => console.error(line));
    const { deployment } = await deployed(session, values.stack);
    for (const line of await screen(deployment)) console.log(line);
}

/** What nobody tells is said to be unknown; the rest is shown all the same. */
export async function screen(deployment: Deployment): Promise<string[]> {
    const { settings, address } = deployment;
    const [server] = settings.servers;
    const running = inspectStackAside(settings.name, server);
    const host = hostFigures(settings, server);
    const queue = running.then((all) => waiting(all, server));
    // Everything has its handler before anything is waited for: a rejection that nobody handles ends Node.
    const lines = await Promise.all([
        told("services", running, (all) => services(settings, all)),
        told("certificate", daysLeft(deployment), (days) => `${days} days left`),
        settings.backups ? told("backups", host, (figures) => backupLine(figures)) : line("backups", "none (docs/backups.md)"),
        told("queue", queue, (count) => `${count} mails wait`),
        told("disk", host, ({ disk: [free, size] }) => `${gib(free)} of ${gib(size)} GiB free`),
        told("memory", host, ({ memory: [free, size] }) => `${gib(free)} of ${gib(size)} GiB free`),
        ...(server.engine && settings.firewall.bans.enabled ? [told("closed out", host, ({ bans }) => bansLine(bans))] : []),
    ]);
    const version = versionOf(settings, await running.catch(() => []));
    return [`${settings.name}  ${settings.host} at ${address}, ${version}, profile ${settings.profile}`, "", ...lines];
}

/** What runs, whatever the stack file says by now. */
export function versionOf({ images: { forwardemail } }: Settings, running: Running[]): string {
    const own = running.filter(({ service }) => CATALOGUE[service]?.image === "forwardemail");
    const tags = [...new Set(own.map(({ image }) => tagOf(pinOf(image))))].sort();
    if (tags.length === 0) return `version ${forwardemail.tag} wanted`;
    return `version ${tags.join(" and ")}${tags.join() === forwardemail.tag ? "" : ` (${forwardemail.tag} wanted)`}`;
}

const line = (label: string, text: string) => `${label.padEnd(13)}${text}`;

const told = <T>(label: string, work: Promise<T>, show: (value: T) => string): Promise<string> =>
    work.then(show).then(
        (text) => line(label, text),
        (error: Error) => line(label, `unknown: ${error.message.split("\n")[0]}`),
    );

const gib = (kib: number) => (kib / 2 ** 20).toFixed(1);

function services({ profile }: Settings, running: Running[]): string {
    const wanted = servicesOf(profile);
    const healthy = wanted.filter((service) => running.some((one) => one.service === service && one.health === "healthy"));
    const others = wanted.filter((service) => !healthy.includes(service));
    const state = (service: string) => running.find((one) => one.service === service)?.health ?? "does not run";
    const restarted = running.filter(({ restarts }) => restarts > 0);
    return [
        `${healthy.length} of ${wanted.length} healthy`,
        ...others.map((service) => `             ${service}: ${state(service)}`),
        ...restarted.map(({ service, restarts }) => `             ${service}: has restarted ${restarts} times`),
    ].join("\n");
}

async function daysLeft({ address, settings }: Deployment): Promise<number> {
    const { certificate } = await dial.certificate({ address, port: 443 + settings.network.portOffset, servername: settings.host });
    return Math.floor((Date.parse(certificate.validTo) - Date.now()) / (24 * 3600 * 1000));
}

/** Mails that wait to be sent, of the states in upstream's app/models/emails.js. */
async function waiting(running: Running[], server: ServerSettings): Promise<number> {
    const database = running.find(({ service }) => service === "mongodb");
    if (!database) throw new Error("MongoDB does not run");
    const answer = await dockerAside(inMongo(database.container, QUEUE), server);
    const count = /^(\d+)\s*$/m.exec(answer)?.[1];
    if (count === undefined) throw new Error(`MongoDB answered ${answer.trim().slice(0, 80)}`);
    return Number(count);
}

const QUEUE = `
    const count = (name) => db.getSiblingDB(name).emails.countDocuments({ status: { $in: ["pending", "queued", "deferred"] } });
    print(["forwardemail_production", "forwardemail_emails_production"].map(count).reduce((a, b) => a + b));`;

interface Figures {
    /** Free and in all, in KiB. */
    disk: [number, number];
    memory: [number, number];
    /** What the backup script left (components/backups/host/backup.ts). */
    backup?: { lastSuccess: number; exitStatus: number };
    drill?: { exitStatus: number; at: number; error: string };
    /** Addresses that fail2ban closes out (components/server/host/bans.ts); none of a jail that does not run. */
    bans?: { ssh?: number; mail?: number };
}

async function hostFigures({ name, data: { directory } }: Settings, server: ServerSettings): Promise<Figures> {
    const variables = { DATA: directory ?? "/var/lib/docker", BACKUP: sourceOf("backup", { name, directory }) };
    const { program, args, env } = scriptOn(server, FIGURES, variables);
    return figuresOf(await runAside(program, args, env));
}

/** Reads DATA and BACKUP. One line a figure. */
export const FIGURES = `set -u
${FOLDER_OF}
there=$DATA
while [ ! -d "$there" ]; do there=$(dirname "$there"); done
df -Pk "$there" | awk 'NR == 2 { print "disk", $4, $2 }'
awk '/^MemTotal:/ { all = $2 } /^MemAvailable:/ { free = $2 } END { print "memory", free, all }' /proc/meminfo
here=$(folder_of "$BACKUP" 2>/dev/null) || here=/nowhere
for name in status drill; do if [ -e "$here/$name.json" ]; then printf '%s ' "$name"; tr -d '\\n' <"$here/$name.json"; echo; fi; done
banned() { fail2ban-client status "$1" 2>/dev/null | sed -n 's/.*Currently banned:[^0-9]*\\([0-9]*\\)$/\\1/p'; }
if [ -n "$(command -v fail2ban-client)" ] && systemctl is-active --quiet forwardemail-logins && fail2ban-client ping >/dev/null 2>&1; then
    ssh=$(banned sshd) mail=$(banned forwardemail)
    echo "bans \${ssh:-off} \${mail:-off}"
fi`;

export function figuresOf(text: string): Figures {
    const found = new Map(text.split("\n").map((line) => [line.split(" ")[0], line.slice(line.indexOf(" ") + 1)]));
    const pair = (name: string) => {
        const [free, size] = (found.get(name) ?? "").split(" ").map(Number);
        if (!(size > 0)) throw new Error(`the server does not tell its ${name}`);
        return [free, size] as [number, number];
    };
    const json = <T>(name: string) => (found.has(name) ? (JSON.parse(found.get(name)!) as T) : undefined);
    const [, ssh, mail] = /^(\d+|off) (\d+|off)$/.exec(found.get("bans") ?? "") ?? [];
    const count = (text: string) => (text === "off" ? undefined : Number(text));
    return {
        disk: pair("disk"),
        memory: pair("memory"),
        backup: json("status"),
        drill: json("drill"),
        bans: ssh ? { ssh: count(ssh), mail: count(mail) } : undefined,
    };
}

export function bansLine(bans: Figures["bans"]): string {
    if (!bans) return "nobody, for fail2ban does not run: systemctl status fail2ban forwardemail-logins on the server";
    const part = (count: number | undefined, from: string) =>
        count === undefined ? `nobody from ${from}, whose jail does not run` : `${count} from ${from}`;
    return `${part(bans.ssh, "SSH")}, ${part(bans.mail, "mail")}`;
}

export function backupLine({ backup, drill }: Pick<Figures, "backup" | "drill">, now = Date.now()): string {
    if (!backup?.lastSuccess) return "no set yet";
    const hours = (now / 1000 - backup.lastSuccess) / 3600;
    const failed = backup.exitStatus ? "; the last run failed" : "";
    const days = drill && Math.floor((now / 1000 - drill.at) / (24 * 3600));
    const drilled = !drill
        ? "never drilled"
        : drill.exitStatus === 0
          ? `drilled ${days} days ago`
          : `the drill failed ${days} days ago: ${drill.error}`;
    return `the newest set is ${hours.toFixed(1)} h old${failed}; ${drilled}`;
}

if (require.main === module)
    main().catch((error: Error) => {
        console.error(error.message);
        process.exitCode = 1;
    });
