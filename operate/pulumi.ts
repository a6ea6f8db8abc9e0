import * as path from "node:path";
import * as auto from "@pulumi/pulumi/automation";
import { WORK } from "./workspace";

/**
 * The Pulumi CLI: the one on PATH if it is new enough for the SDK, else one of our own in `.work/pulumi`, which is
 * downloaded from Pulumi's host the first time. Nothing outside the project's folder changes.
 */
export async function findPulumi(
    log: (line: string) => void,
    source: Pick<typeof auto.PulumiCommand, "get" | "install"> = auto.PulumiCommand,
): Promise<auto.PulumiCommand> {
    const root = path.join(WORK, "pulumi");
    const found = (await find(undefined, source)) ?? (await find(root, source));
    if (found) return found;
    log("Installing the Pulumi CLI into .work/pulumi (once, about 150 MB from get.pulumi.com) ...");
    try {
        return await source.install({ root });
    } catch (error) {
        throw new Error(
            `The Pulumi CLI could not be installed from get.pulumi.com (${(error as Error).message}). ` +
                "Fix: install it, https://www.pulumi.com/docs/install, and run this again.",
            { cause: error },
        );
    }
}

/** The CLI that is there already, on PATH or below `root`. */
export async function find(
    root?: string,
    source: Pick<typeof auto.PulumiCommand, "get"> = auto.PulumiCommand,
): Promise<auto.PulumiCommand | undefined> {
    return source.get({ root }).catch(() => undefined); // missing, or too old for the SDK
}

/** Whether an `up` needs Pulumi's download host. */
export async function hasPulumi(): Promise<boolean> {
    return ((await find()) ?? (await find(path.join(WORK, "pulumi")))) !== undefined;
}
