import { spawnSync } from "node:child_process";
import { FOLDER_OF, sourceOf } from "../components/services/files";
import { BackupSettings, ServerSettings } from "../components/settings/settings";
import { runAside, scriptOn } from "./health";
import { hasContainers, located } from "./machines";
import { Session } from "./session";

/** Where a stack's backups are made: the server whose script is run. */
export interface BackupHost {
    session: Session;
    server: ServerSettings;
    backups: BackupSettings;
}

/** Throws with the fix where the stack has no backups, or no server yet. */
export async function backupHost(session: Session, stack: string): Promise<BackupHost> {
    const { backups } = session.settings;
    if (!backups)
        throw new Error(
            `Stack ${stack} has no backups. Fix: set backups in Pulumi.${stack}.yaml (docs/backups.md), then npm run up -- --stack ${stack}`,
        );
    const [server] = (await located(session.stack, session.settings)).servers;
    if (server.aws && !server.ssh) throw new Error(`Server ${server.name} does not exist yet. Fix: npm run up -- --stack ${stack}`);
    if (!server.ssh && process.getuid?.() !== 0)
        throw new Error("The backup script reads what belongs to several users of the containers. Fix: run this as root (sudo -E npm run …).");
    return { session, server, backups };
}

/** Runs a command of the backup script on the server, which is shown as it goes. Answers its exit status. */
export function runScript({ session, server }: BackupHost, words: string[], input?: string): number {
    const { program, args, env } = onServer(session, server, words);
    return spawnSync(program, args, { env, stdio: ["pipe", "inherit", "inherit"], input: input ?? "" }).status ?? 1;
}

/** The same for what is to be read. Throws with the script's own words. */
export function askScript({ session, server }: BackupHost, words: string[]): string {
    const { program, args, env } = onServer(session, server, words);
    const { status, stdout, stderr } = spawnSync(program, args, { env, encoding: "utf8" });
    if (status !== 0) throw new Error(stderr.trim());
    return stdout;
}

/** The same without holding up what else goes on. */
export async function askScriptAside({ session, server }: BackupHost, words: string[]): Promise<string> {
    const { program, args, env } = onServer(session, server, words);
    return runAside(program, args, env);
}

/** Why services must not be started: a restore was cut short, and they would run on a part of the data. */
export async function refuseHalfRestored(
    session: Pick<Session, "stack" | "settings">,
    resources: Array<{ type: string }>,
): Promise<string | undefined> {
    const { backups } = session.settings;
    if (!backups || !hasContainers(resources)) return undefined;
    try {
        const [server] = (await located(session.stack, session.settings)).servers;
        if (askScript({ session, server, backups }, ["state"]).trim() !== "unfinished") return undefined;
    } catch {
        return undefined; // a server that does not answer, or a script that is older, is for others to tell
    }
    return "A restore was cut short, and the data from before it are put aside: services would start on a part of the data. Fix: npm run restore -- --undo";
}

/** The command that runs the backup script's command. */
function onServer({ settings }: Pick<Session, "settings">, server: ServerSettings, words: string[]) {
    const { name, data } = settings;
    return scriptOn(server, SCRIPT, { BACKUP: sourceOf("backup", { name, directory: data.directory }), WORDS: words.join(" ") });
}

/** Said where the deployment has no data on the server, and never had or lost them. */
export const NO_SCRIPT = "There is no backup script on the server yet";

const SCRIPT = `set -eu
export DOCKER_HOST
${FOLDER_OF}
here=$(folder_of "$BACKUP" 2>/dev/null) || here=/nowhere
[ -e "$here/backup" ] || { echo "${NO_SCRIPT}. Fix: npm run up" >&2; exit 1; }
# shellcheck disable=SC2086
exec sh "$here/backup" $WORDS`;
