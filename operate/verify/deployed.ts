import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { setsOf } from "../backup";
import { askScriptAside, backupHost } from "../backupHost";
import { told } from "../foreignRecords";
import { located, resourcesOf } from "../machines";
import { preflightOn } from "../preflight";
import type { Session } from "../session";
import type { Deployment } from "./check";
import type { Ways } from "./world";

/** What was declared, and the ways to what is there. */
export async function deployed(session: Session, stack: string): Promise<{ deployment: Deployment; ways: Ways }> {
    const resources = await resourcesOf(session.stack);
    const settings = await located(session.stack, session.settings);
    const outputs = Object.fromEntries(Object.entries(await session.stack.outputs()).map(([key, { value }]) => [key, value as unknown]));
    const [server] = settings.servers;
    const { bindAddress } = settings.network;
    const isHere = server.kind === "local";
    const here = session.rehearsal?.host.address4 ?? (bindAddress === "0.0.0.0" ? "127.0.0.1" : bindAddress);
    const address = isHere ? here : (server.ipv4 ?? server.ssh?.address ?? "");
    return {
        deployment: { stack, settings, resources, outputs, records: told(outputs), address, isHere },
        ways: waysTo({ ...session, settings }, stack),
    };
}

function waysTo(session: Session, stack: string): Ways {
    return {
        async preflight() {
            const { program, args, env } = preflightOn(session.settings, session.settings.servers[0]);
            return (await promisify(execFile)(program, args, { env })).stdout;
        },
        sets: async () => setsOf(await askScriptAside(await backupHost(session, stack), ["sets"])),
        async drift() {
            const names: string[] = [];
            await session.stack.preview({
                refresh: true,
                onEvent: ({ resourcePreEvent }) => {
                    const step = resourcePreEvent?.metadata;
                    if (step && !["same", "read", "refresh"].includes(step.op)) names.push(step.urn.split("::").at(-1)!);
                },
            });
            return [...new Set(names)];
        },
    };
}
