import { spawnSync } from "node:child_process";
import * as path from "node:path";
import { askMongo, look } from "../database";
import { told } from "../foreignRecords";
import { docker } from "../health";
import { setSecret } from "../secret";
import { DEV, Session } from "../session";
import { readStackFile, settingsFrom } from "../stackFile";
import { deployed } from "../verify/deployed";
import { apiAt } from "./api";
import { LOGIN, QUERY, Seen, Stored, seen } from "./application";
import type { Guided, Terminal } from "./guide";

/** A guide's ways to a deployment. */
export async function guidedOf(session: Session, stack: string, terminal: Terminal): Promise<Guided> {
    const { deployment } = await deployed(session, stack);
    const { settings, address, outputs } = deployment;
    const at = { address, port: 443 + settings.network.portOffset, name: `api.${settings.host}`, authority: outputs.authority as string | undefined };
    const rehearsal = session.rehearsal !== undefined;
    const lasting = !rehearsal && stack !== DEV; // each run writes the config of the others anew
    return {
        place: { settings, url: outputs.url as string, stack, rehearsal },
        terminal,
        look: () => lookAt(session, stack),
        api: (token) => apiAt({ ...at, token }),
        systemPassword: () => systemPassword(session),
        ...(lasting ? { keepSystemPassword: (password: string) => setSecret(session.stack, "smtpTransportPassword", password) } : {}),
        run: (name) => spawnSync("sh", [path.join(__dirname, "../run.sh"), name, "--stack", stack], { stdio: "inherit" }).status === 0,
    };
}

/** Config and outputs are read again each time: another terminal may have changed them. */
async function lookAt(session: Session, stack: string): Promise<Seen> {
    const stored = await askMongo<Stored>(session, "for users, domains and aliases", QUERY);
    const { applicationDomains, dns } = settingsFrom(stack, readStackFile(stack).config ?? {}, { allowUnpinned: true });
    const zone = dns && !session.rehearsal ? ((await session.stack.outputs()).zone?.value as unknown) : {};
    const names = new Set(told({ zone }).map(({ name }) => name));
    const isPublished = (selector: string, domain: string) => names.has(`${selector}._domainkey.${domain}`);
    return seen(stored, applicationDomains, isPublished, stored.admins.length > 0 ? await systemLogin(session) : "");
}

/** What submission answers to the application's own login, or why it could not be tried. */
async function systemLogin(session: Session): Promise<string> {
    try {
        return (await inSite(session, (site) => ["exec", site, "node", "-e", LOGIN])).trim();
    } catch (error) {
        return (error as Error).message.trim();
    }
}

/** Generated, or given in the config: the containers have it. */
async function systemPassword(session: Session): Promise<string> {
    const environment = JSON.parse(await inSite(session, (site) => ["inspect", "-f", "{{json .Config.Env}}", site])) as string[];
    const name = "SMTP_TRANSPORT_PASS=";
    return environment.find((pair) => pair.startsWith(name))!.slice(name.length);
}

/** Runs Docker's client on the container of the web interface. */
async function inSite(session: Session, args: (container: string) => string[]): Promise<string> {
    const { server, running, up } = await look(session);
    const site = running.find(({ service }) => service === "web");
    if (!site) throw new Error(`The web interface does not run. Fix: ${up}`);
    return docker(args(site.container), server);
}
