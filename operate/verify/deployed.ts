import { setsOf } from "../backup";
import { askScriptAside, backupHost } from "../backupHost";
import { told } from "../foreignRecords";
import { SILENCE, runAside } from "../health";
import { located, resourcesOf } from "../machines";
import { preflightOn } from "../preflight";
import { Progress, knownFix } from "../progress";
import type { Session } from "../session";
import type { Deployment } from "./check";
import type { Ways } from "./world";

/** What was declared, and the ways to what is there. */
export async function deployed(session: Session, stack: string): Promise<{ deployment: Deployment; ways: Ways }> {
    const resources = await resourcesOf(session.stack);
    const settings = await located(session.stack, session.settings);
    const outputs = Object.fromEntries(Object.entries(await session.stack.outputs()).map(([key, { value }]) => [key, value as unknown]));
    const [server] = settings.servers;
    const { bindAddress, ipv6 } = settings.network;
    const isHere = server.kind === "local";
    const here = session.rehearsal?.host.address4 ?? (bindAddress === "0.0.0.0" ? "127.0.0.1" : bindAddress);
    const address = isHere ? here : (server.ipv4 ?? server.ssh?.address ?? "");
    if (!address) throw new Error(`Server ${server.name} does not exist yet. Fix: npm run up -- --stack ${stack}`);
    const addresses = [address, ...(ipv6 && server.ipv6 ? [server.ipv6] : [])];
    return {
        deployment: { stack, settings, resources, outputs, records: told(outputs), address, addresses, isHere },
        ways: waysTo({ ...session, settings }, stack),
    };
}

function waysTo(session: Session, stack: string): Ways {
    return {
        async preflight() {
            const { program, args, env } = preflightOn(session.settings, session.settings.servers[0]);
            return runAside(program, args, env);
        },
        sets: async () => setsOf(await askScriptAside(await backupHost(session, stack), ["sets"])),
        drift: () => driftOf(session),
        async canary() {
            const canary = session.settings.backups?.canary;
            // What the settings have of it is decrypted in a program only.
            return canary && { user: canary.address, pass: (await session.stack.getConfig("backupCanaryPassword")).value };
        },
    };
}

/** Names of what a preview would change. Its errors are told in the engine's words, without all that it printed. */
async function driftOf({ stack }: Session): Promise<string[]> {
    const names: string[] = [];
    const progress = new Progress(() => undefined);
    const preview = stack.preview({
        refresh: true,
        signal: AbortSignal.timeout(SILENCE),
        onEvent: (event) => {
            progress.onEvent(event);
            const step = event.resourcePreEvent?.metadata;
            if (step && !["same", "read", "refresh"].includes(step.op)) names.push(step.urn.split("::").at(-1)!);
        },
    });
    await preview.catch((error: Error) => {
        const reason = progress.errors.join("\n") || error.message;
        const fix = knownFix(reason);
        throw new Error(`${reason}${fix ? ` Fix: ${fix}` : ""}`);
    });
    return [...new Set(names)];
}
