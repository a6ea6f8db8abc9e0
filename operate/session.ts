import * as path from "node:path";
import * as auto from "@pulumi/pulumi/automation";
import { deploy } from "../components/deploy";
import { loadSettings } from "../components/settings/load";
import { Settings } from "../components/settings/settings";
import { Rehearsal, hostName, startRehearsal } from "./rehearsal";
import { PROJECT, readProject, readStackFile, settingsFrom } from "./stackFile";
import { WORK, prepareWorkspace } from "./workspace";

/** A stack that is ready for operations. */
export interface Session {
    stack: auto.Stack;
    settings: Settings;
    rehearsal: Rehearsal;
}

/** Starts the rehearsal and opens a stack of this project on it. */
export async function openSession(name: string, log: (line: string) => void): Promise<Session> {
    const config = readStackFile(name).config ?? {};
    settingsFrom(name, config, { allowUnpinned: true }); // its problems are told before anything is built or started
    const rehearsal = await startRehearsal(hostName(name), path.join(WORK, `rehearsal-${name}`), log);
    const network = { ...(config["forwardemail:network"] as object), bindAddress: "0.0.0.0" }; // of a namespace of its own
    return openStack(name, { ...config, "forwardemail:network": network }, rehearsal);
}

/**
 * Opens a stack with this config on a rehearsal's Docker host. The program runs in this process: no language host is
 * needed, which the rehearsal does not have, and the program is the same `deploy()`.
 */
export async function openStack(name: string, config: Record<string, unknown>, rehearsal: Rehearsal): Promise<Session> {
    const all = { ...config, ...rehearsal.overlay };
    const settings = settingsFrom(name, all);
    const { directory, env } = prepareWorkspace(name, all);
    const stack = await auto.LocalWorkspace.createOrSelectStack(
        { stackName: name, projectName: readProject().name, program: async () => ({ ...deploy(loadSettings(PROJECT)) }) },
        { workDir: directory, envVars: { ...env, ...rehearsal.env }, pulumiHome: env.PULUMI_HOME },
    );
    return { stack, settings, rehearsal };
}
