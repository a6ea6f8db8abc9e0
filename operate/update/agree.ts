import { CATALOGUE, servicesOf } from "../../components/services/catalogue";
import { isConfirmed } from "../ask";
import { setsOf } from "../backup";
import { askScript, backupHost, runScript } from "../backupHost";
import { describe, knownFix } from "../progress";
import type { Step } from "./journal";
import type { Options, Run } from "./run";

/** Shows what would change, and asks. */
export async function isAgreed({ from, to, images = [] }: Step, here: Run): Promise<boolean> {
    const { session, options, log } = here;
    const changed = [...(from === to ? [] : ["forwardemail"]), ...images.map(({ name }) => name as string)];
    const services = servicesOf(session.settings.profile).filter((service) => changed.includes(CATALOGUE[service].image));
    log(`  makes anew: ${services.join(", ")}`);
    const others = await previewed(here);
    if (others.length > 0) log(`  and what \`npm run up\` would change as it is: ${others.join(", ")}`);
    return isSure(options);
}

/** Whether the operator wants what was shown. */
export async function isSure(options: Options): Promise<boolean> {
    if (options.yes) return true;
    if (!process.stdin.isTTY || !process.stdout.isTTY) throw new Error("There is no terminal to ask on. Fix: add --yes.");
    return isConfirmed("Change it? [y/N] ");
}

/** What an `up` would change by the stack's file. */
async function previewed({ session, command }: Run): Promise<string[]> {
    const names = new Set<string>();
    try {
        await session.stack.preview({
            onEvent: ({ resourcePreEvent }) => {
                const step = resourcePreEvent?.metadata;
                if (step && !["same", "read"].includes(step.op)) names.add(describe(step.urn));
            },
        });
    } catch (error) {
        const { message } = error as Error;
        throw new Error(
            `Nothing was changed, because a preview fails: ${/^error: .*$/m.exec(message)?.[0] ?? message}\nFix: ${knownFix(message) ?? command("up")}`,
            { cause: error },
        );
    }
    return [...names];
}

/** Id of a set of what there is now; nothing, where there are no backups. */
export async function makeSet({ session, options, log }: Pick<Run, "session" | "options" | "log">): Promise<string | undefined> {
    if (!session.settings.backups || options["without-set"]) {
        log("  warning: no set of backups is made, so what a new version does to the data is not to be undone.");
        return undefined;
    }
    log("Making a set of backups");
    const host = await backupHost(session, options.stack);
    if (runScript(host, ["run"]) !== 0)
        throw new Error("No set of backups could be made, so nothing was changed. Fix: see above; or go on with --without-set.");
    return setsOf(askScript(host, ["sets"])).at(-1);
}
