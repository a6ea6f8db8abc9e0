import * as path from "node:path";
import * as auto from "@pulumi/pulumi/automation";
import { deploy } from "../components/deploy";
import { writeKeys } from "../components/server/keyFiles";
import { loadSettings } from "../components/settings/load";
import { Settings } from "../components/settings/settings";
import { located } from "./machines";
import { needDocker, unreachable } from "./machine";
import { pinImages } from "./pin";
import { findPulumi } from "./pulumi";
import { Rehearsal, hostName, startRehearsal, withMetrics } from "./rehearsal";
import { PROJECT, readProject, readStackFile, refusePlaceholders, settingsFrom } from "./stackFile";
import { LOCAL, WORK, hasStack, prepareWorkspace } from "./workspace";

type Log = (line: string) => void;
type Config = Record<string, unknown>;

/** A stack that is ready for operations. */
export interface Session {
    stack: auto.Stack;
    settings: Settings;
    /** What stands in for the world, on a rehearsal. */
    rehearsal?: Rehearsal;
}

/** The stack that lives in `.work/` with a state and a passphrase of its own. Every other one lives where `pulumi` is logged in. */
export const DEV = "dev";

export interface OpenOptions {
    rehearse?: boolean;
    /**
     * What a rehearsal takes in place of the file's, of whose images it has the stand-ins. The plain file is checked without it: only the
     * rehearsal's lock file may know a version of it. A stack itself has what its file says.
     */
    config?: Config;
}

/**
 * Opens a stack of this project. Problems of its config are told first, before anything is installed or started. The dev
 * stack runs as a rehearsal where Pulumi's host or the image registries cannot be reached; another stack only when told to.
 */
export async function openSession(name: string, options: OpenOptions, log: Log): Promise<Session> {
    const config = readStackFile(name).config ?? {};
    const settings = settingsFrom(name, config, { allowUnpinned: true });
    if (options.rehearse) return openRehearsal(name, config, log, options.config);
    const missing = await unreachable(settings);
    if (missing.length > 0 && name === DEV) {
        log(`${missing.join(", ")} cannot be reached from here: running the rehearsal, the same program on stand-in images.`);
        return openRehearsal(name, config, log, options.config);
    }
    if (missing.length > 0)
        throw new Error(`${missing.join(", ")} cannot be reached from here. Fix: mend the network; or rehearse this stack's config with --rehearse.`);
    const [{ dockerHost, kind }] = settings.servers;
    if (kind === "local") needDocker(dockerHost, log);
    return name === DEV ? openDev(config, log) : openOwn(name, config, log);
}

/** Opens a stack that an earlier `up` made, without starting one: the real one where there is one, else its rehearsal. */
export async function openExisting(name: string, options: { rehearse?: boolean }, log: Log): Promise<Session> {
    const config = readStackFile(name).config ?? {};
    const rehearse = options.rehearse || (name === DEV && !hasStack(DEV, LOCAL));
    if (rehearse && !hasStack(name, WORK)) throw new Error(`Stack ${name} is not deployed on this machine: there is nothing to show or to remove.`);
    if (rehearse) return openRehearsal(name, config, log);
    return name === DEV ? openDev(config, log) : openOwn(name, config, log, { allowUnpinned: true });
}

/** Settings of a stack, with what is needed to reach its servers; it need not be deployed. */
export async function openConfigured(name: string, log: Log): Promise<Settings> {
    const config = readStackFile(name).config ?? {};
    const settings = settingsFrom(name, config, { allowUnpinned: true });
    // Only Pulumi can decrypt a key, and only the state knows an instance.
    if (!settings.sshKey && !settings.servers.some(({ aws }) => aws)) return settings;
    return located((await openOwn(name, config, log, { allowUnpinned: true })).stack, settings);
}

async function openDev(config: Config, log: Log): Promise<Session> {
    const all = { ...config, ...(await pinImages(config, path.join(LOCAL, "images.lock.json"), log)) };
    return openProgram(DEV, all, LOCAL, {}, log);
}

/** A stack that the operator made with `pulumi stack init`: its backend, its encryption, its file. */
async function openOwn(name: string, config: Config, log: Log, options: { allowUnpinned?: boolean } = {}): Promise<Session> {
    const settings = settingsFrom(name, config, options);
    refusePlaceholders(name, config);
    const pulumiCommand = await findPulumi(log);
    const workspace = await auto.LocalWorkspace.create({ workDir: PROJECT, pulumiCommand });
    try {
        const stack = await auto.Stack.select(name, workspace);
        await writeKey(stack, settings);
        return { stack, settings };
    } catch (error) {
        const said = (error as Error).message;
        const fix = /no stack named|not found/.test(said)
            ? `${pulumiCommand.command} stack init ${name}`
            : `log in to the backend that holds it, such as ${pulumiCommand.command} login --local`;
        throw new Error(`Stack ${name} cannot be opened: ${/^error: .*$/m.exec(said)?.[0] ?? said}. Fix: ${fix}`, { cause: error });
    }
}

const BUILD_KEYS = ["forwardemail:image", "forwardemail:registryPassword"];

async function openRehearsal(name: string, config: Config, log: Log, told: Config = {}): Promise<Session> {
    const rehearsal = await startRehearsal(hostName(name), path.join(WORK, `rehearsal-${name}`), log);
    const metrics = { ...(config["forwardemail:metrics"] as { server?: string } | undefined) };
    if (metrics.server) {
        await withMetrics(rehearsal, log);
        metrics.server = rehearsal.server;
    }
    const network = { ...(config["forwardemail:network"] as object), bindAddress: "0.0.0.0" }; // of a namespace of its own
    const data = { ...(config["forwardemail:data"] as object), device: undefined }; // there is no such disk
    const images = { ...(rehearsal.overlay["forwardemail:images"] as object), ...(told["forwardemail:images"] as object) };
    const overlay = { ...rehearsal.overlay, "forwardemail:images": images };
    // The stand-ins are not built from the application's source.
    const rest = Object.fromEntries(Object.entries(config).filter(([key]) => !BUILD_KEYS.includes(key)));
    const all = { ...rest, ...told, "forwardemail:network": network, "forwardemail:data": data, "forwardemail:metrics": metrics, ...overlay };
    return { ...(await openProgram(name, all, WORK, rehearsal.env, log)), rehearsal };
}

/**
 * Opens a stack whose state, passphrase and config are in `folder`. Pulumi runs there, because it writes the salt of a passphrase
 * into the stack file beside Pulumi.yaml, with `--config-file` too; the program it finds is index.ts of the package around it.
 */
async function openProgram(name: string, config: Config, folder: string, environment: Record<string, string>, log: Log): Promise<Session> {
    const settings = settingsFrom(name, config);
    const pulumiCommand = await findPulumi(log);
    const { directory, env } = prepareWorkspace(name, config, folder);
    const workspace = await auto.LocalWorkspace.create({
        workDir: directory,
        envVars: {
            ...env,
            ...environment,
            PULUMI_NODEJS_TSCONFIG_PATH: path.join(PROJECT, "tsconfig.json"),
            PULUMI_NODEJS_TRANSPILE_ONLY: "true", // types are checked by `npm test`, not again by every command
        },
        pulumiHome: env.PULUMI_HOME,
        pulumiCommand,
    });
    const stack = await auto.Stack.createOrSelect(name, workspace);
    await writeKey(stack, settings);
    return { stack, settings };
}

/** Health is looked at, and a refresh runs, before the program can write what ssh needs. */
async function writeKey(stack: auto.Stack, { servers, sshKey }: Settings): Promise<void> {
    if (sshKey) writeKeys(servers, (await stack.getConfig("sshKey")).value);
}

/** Opens a stack with this config on a rehearsal's Docker host, with the program in this process: for tests, which change the config often. */
export async function openStack(name: string, config: Config, rehearsal: Rehearsal): Promise<Session & { rehearsal: Rehearsal }> {
    const all = { ...config, ...rehearsal.overlay };
    const settings = settingsFrom(name, all);
    const { directory, env } = prepareWorkspace(name, all);
    const stack = await auto.LocalWorkspace.createOrSelectStack(
        { stackName: name, projectName: readProject().name, program: async () => ({ ...deploy(loadSettings(PROJECT)) }) },
        { workDir: directory, envVars: { ...env, ...rehearsal.env }, pulumiHome: env.PULUMI_HOME },
    );
    return { stack, settings, rehearsal };
}
