import { isOlder } from "../components/settings/images";
import { refuseHalfRestored } from "./backupHost";
import { DnsError, findForeignRecords } from "./foreignRecords";
import { StateResource, outputsIn, resourcesOf } from "./machines";
import { refusePolicy } from "./mtaSts";
import type { Session } from "./session";

/**
 * What must not be written, whatever command would: refused before the engine starts.
 * @param known the state's resources, where they were read already.
 * @throws Error with the fix.
 */
export async function refuse({ stack, settings, rehearsal }: Session, known?: StateResource[]): Promise<void> {
    const resources = known ?? (await resourcesOf(stack));
    const refusal = refusePolicy(outputsIn(resources), settings) ?? (await refuseHalfRestored({ stack, settings }, resources));
    if (refusal) throw new Error(refusal);
    if (rehearsal || !settings.dns || settings.dns.provider === "zone-file") return;
    const foreign = await findForeignRecords(settings, resources);
    if (foreign.length > 0) throw new DnsError(foreign);
}

/**
 * An older version than the one that runs: its data may have been changed for the newer one.
 * @throws Error with the fix.
 */
export function refuseOlder({ stack, settings, rehearsal }: Session, resources: StateResource[]): void {
    const { tag } = settings.images.forwardemail;
    const { version } = outputsIn(resources);
    if (typeof version !== "string" || !isOlder(tag, version)) return;
    const force = `npm run update -- --stack ${stack.name}${rehearsal ? " --rehearse" : ""} --version ${tag} --force`;
    throw new Error(
        `version: ${tag} is older than ${version}, which runs: its data may have been changed for it. Fix: set the version that runs; or ${force}`,
    );
}
