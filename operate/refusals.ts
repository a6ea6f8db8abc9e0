import { containerName } from "../components/services/container";
import { isOlder } from "../components/settings/images";
import { refuseHalfRestored } from "./backupHost";
import { DnsError, findForeignRecords } from "./foreignRecords";
import { StateResource, outputsIn, resourcesOf } from "./machines";
import { refusePolicy } from "./mtaSts";
import type { Session } from "./session";
import { featuresOf, whyNotReady } from "./update/features";
import { pinOf, seriesOf, tagOf, whyNotFrom } from "./update/images";

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
    const key = settings.build ? "image.build.context" : "version";
    const force = settings.build
        ? `pulumi up --stack ${stack.name}, which does not look at it`
        : `npm run update -- --stack ${stack.name}${rehearsal ? " --rehearse" : ""} --version ${tag} --force`;
    throw new Error(
        `${key}: ${tag} is older than ${version}, which runs: its data may have been changed for it. Fix: set the version that runs; or ${force}`,
    );
}

/**
 * A release of MongoDB or Redis that does not read the data of the one that runs. Before MongoDB's next major release, the one that runs is
 * asked whether its data are its own: featureCompatibilityVersion must be its series (MongoDB's release notes, "Upgrade Version Path").
 * @throws Error with the fix.
 */
export async function refuseDatabases(session: Session, resources: StateResource[], ask: typeof featuresOf = featuresOf): Promise<void> {
    const { settings, stack, rehearsal } = session;
    const running = (name: "mongodb" | "redis") => {
        const end = `docker:index/container:Container::${containerName(settings, name)}`;
        const image = resources.find(({ urn, delete: old }) => !old && urn.endsWith(end))?.inputs?.image;
        return typeof image === "string" ? tagOf(pinOf(image)) : undefined;
    };
    for (const name of ["mongodb", "redis"] as const) {
        const from = running(name);
        const refusal = from && whyNotFrom(name, from, settings.images[name].tag);
        if (refusal) throw new Error(refusal);
    }
    const from = running("mongodb");
    const { tag } = settings.images.mongodb;
    if (!from || seriesOf(from) === seriesOf(tag)) return;
    const npm = (script: string) => `npm run ${script} -- --stack ${stack.name}${rehearsal ? " --rehearse" : ""}`;
    const features = await ask(session).catch((error: Error) => {
        throw new Error(
            `images.mongodb: ${tag} is another major release than ${from}, which cannot be asked: ${error.message}. Fix: ${npm("status")}`,
            {
                cause: error,
            },
        );
    });
    const reason = whyNotReady(features, `${npm("update")} --mongodb-features`);
    if (reason) throw new Error(reason);
}
