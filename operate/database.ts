import type { ServerSettings } from "../components/settings/settings";
import { Running, docker, inspectStack } from "./health";
import { located } from "./machines";
import { knownFix } from "./progress";
import type { Session } from "./session";
import { readProject } from "./stackFile";

/** For mongosh. The password is in the container's environment: it is never on a command line. */
const LOG_IN = `
    const { MONGODB_USER, MONGODB_PASSWORD } = process.env;
    db.getSiblingDB("admin").auth(MONGODB_USER, MONGODB_PASSWORD);`;

/** Docker's arguments that run a script of mongosh in a MongoDB container, logged in. */
export const inMongo = (container: string, script: string): string[] => [
    "exec",
    container,
    "mongosh",
    "--quiet",
    "--norc",
    "--eval",
    LOG_IN + script,
];

/** What is asked of the Docker host. */
export const HOST = { inspectStack, docker };

/**
 * What MongoDB of a running stack answers to a script that prints one line of JSON.
 * Throws with the fix where it cannot be asked; `what` is said there: "for the domains".
 */
export async function askMongo<T>({ stack, settings }: Pick<Session, "stack" | "settings">, what: string, script: string, host = HOST): Promise<T> {
    const { server, running, up } = await look({ stack, settings }, host);
    const database = running.find(({ service, health }) => service === "mongodb" && ["healthy", "starting", "running", "unhealthy"].includes(health));
    if (!database) throw new Error(`The stack does not run: it has no MongoDB that could be asked. Fix: ${up}`);
    return attempt(
        () => parse<T>(host.docker(inMongo(database.container, script), server)),
        (said) => `MongoDB (container ${database.container}, ${database.health}) cannot be asked ${what}: ${said}\n  fix: ${up}`,
    );
}

/** The containers of a stack, where they run, and the command that mends them. */
export async function look(
    { stack, settings }: Pick<Session, "stack" | "settings">,
    host = HOST,
): Promise<{ server: ServerSettings; running: Running[]; up: string }> {
    const [server] = (await located(stack, settings)).servers;
    const up = `npm run up -- --stack ${settings.name.slice(readProject().name.length + 1)}`;
    if (server.aws && !server.ssh) throw new Error(`Server ${server.name} does not exist yet. Fix: ${up}`);
    const running = attempt(
        () => host.inspectStack(settings.name, server),
        (said) =>
            `Docker does not answer at ${server.ssh?.address ?? server.dockerHost}: ${said}\n  fix: ${knownFix(said) ?? knownFix("Docker does not answer")}`,
    );
    return { server, running, up };
}

function attempt<T>(work: () => T, explained: (said: string) => string): T {
    try {
        return work();
    } catch (error) {
        throw new Error(explained((error as Error).message.trim()), { cause: error });
    }
}

/** The JSON in what mongosh printed: the shell may greet or warn before the answer, which is one line. */
export const answerIn = (output: string): string | undefined =>
    output
        .split("\n")
        .filter((line) => /^[[{]/.test(line))
        .at(-1);

function parse<T>(output: string): T {
    const answer = answerIn(output);
    if (answer === undefined) throw new Error(`it answered ${JSON.stringify(output.slice(0, 200))}`);
    return JSON.parse(answer) as T;
}
