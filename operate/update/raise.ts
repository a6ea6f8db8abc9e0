import { isSure, makeSet } from "./agree";
import { baseline } from "./core";
import { featuresOf, raiseFeatures } from "./features";
import type { Result, Run } from "./run";
import { look } from "./target";

/** MongoDB's data become those of the major release that runs. */
export async function raise(version: string, { options, session, command, log }: Run): Promise<Result> {
    const { tag, series, version: now, targetVersion } = await featuresOf(session);
    const result = { from: version, to: version };
    if (now === series && !targetVersion) {
        log(`MongoDB ${tag} has the features of ${series} already.`);
        return { ...result, outcome: "nothing to do" };
    }
    baseline(await look(session, options.stack), command, log);
    log(`MongoDB ${tag} gets the features of ${series}; it has those of ${now}. From then on only a set of backups leads back.`);
    if (!(await isSure(options))) return { ...result, outcome: "nothing to do" };
    const set = await makeSet({ session, options, log });
    await raiseFeatures(session);
    log(`MongoDB's featureCompatibilityVersion is ${series} now.`);
    return { ...result, set, outcome: "updated" };
}
