import { HOST, answerIn, inMongo } from "../database";
import type { Running } from "../health";
import { located } from "../machines";
import type { Session } from "../session";
import { pinOf, seriesOf, tagOf } from "./images";

/** A MongoDB that runs: its release, and what it lets its data become. */
export interface Features {
    tag: string;
    /** The release series of its binary, such as 8.0. */
    series: string;
    /** featureCompatibilityVersion: data stay as this series reads them. */
    version: string;
    /** Where a change of it was begun and not ended, its aim. */
    targetVersion?: string;
}

const ASK = `print(EJSON.stringify(db.adminCommand({ getParameter: 1, featureCompatibilityVersion: 1 }).featureCompatibilityVersion));`;
/** It wants a confirmation from 7.0 on, because no binary goes back afterwards. */
const raiseTo = (series: string) =>
    `db.adminCommand({ setFeatureCompatibilityVersion: "${series}"${Number.parseInt(series) >= 7 ? ", confirm: true" : ""} });`;

/** Asks a stack's MongoDB in its container. @throws Error in words of MongoDB or Docker, where it cannot be asked. */
export async function featuresOf(session: Pick<Session, "stack" | "settings">, host = HOST): Promise<Features> {
    const { container, image } = await mongodbOf(session, host);
    const tag = tagOf(pinOf(image));
    const answer = answerIn(await mongosh(session, container, ASK, host));
    const { version, targetVersion } = JSON.parse(answer ?? "{}") as { version?: string; targetVersion?: string };
    const series = seriesOf(tag);
    if (!series || !version) throw new Error(`MongoDB (${tag}) does not tell its featureCompatibilityVersion`);
    return { tag, series, version, ...(targetVersion ? { targetVersion } : {}) };
}

/** Lets the data become what only this series reads. @throws Error where MongoDB does not do it, or says another afterwards. */
export async function raiseFeatures(session: Pick<Session, "stack" | "settings">, host = HOST): Promise<void> {
    const { series } = await featuresOf(session, host);
    await mongosh(session, (await mongodbOf(session, host)).container, raiseTo(series), host);
    const { version, targetVersion } = await featuresOf(session, host);
    if (version !== series || targetVersion)
        throw new Error(
            `MongoDB's featureCompatibilityVersion is ${version}${targetVersion ? ", and a change of it has not ended" : ""}; wanted ${series}`,
        );
}

/** Why MongoDB must not be started as another series yet; undefined, where it may. */
export function whyNotReady({ tag, series, version, targetVersion }: Features, fix: string): string | undefined {
    if (version === series && !targetVersion) return undefined;
    return `MongoDB ${tag} runs with featureCompatibilityVersion ${version}${targetVersion ? ` (on its way to ${targetVersion})` : ""}, and the next major release wants ${series}. Fix: ${fix}`;
}

async function mongodbOf({ stack, settings }: Pick<Session, "stack" | "settings">, host: typeof HOST): Promise<Running> {
    const [server] = (await located(stack, settings)).servers;
    const found = host.inspectStack(settings.name, server).find(({ service, health }) => service === "mongodb" && health === "healthy");
    if (!found) throw new Error("The stack has no MongoDB that is healthy");
    return found;
}

async function mongosh({ stack, settings }: Pick<Session, "stack" | "settings">, container: string, script: string, host: typeof HOST) {
    const [server] = (await located(stack, settings)).servers;
    return host.docker(inMongo(container, script), server);
}
