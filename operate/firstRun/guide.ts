import { Api, Refused, meaningOf } from "./api";
import type { Seen } from "./application";
import { perform } from "./perform";
import { Place, Step, command, idOf } from "./place";
import { stepsOf } from "./steps";

/** Who is led. */
export interface Terminal {
    say(line: string): void;
    /** One line that the next one replaces. */
    progress(line: string): void;
    ask(question: string): Promise<string>;
    /** The same for a secret. */
    askHidden(question: string): Promise<string>;
    confirm(question: string): Promise<boolean>;
    wait(seconds: number): Promise<void>;
}

/** What a guide has to do with. */
export interface Guided {
    place: Place;
    terminal: Terminal;
    look(): Promise<Seen>;
    api(token: string): Api;
    /** The password that the deployment has for the application's own mail. */
    systemPassword(): Promise<string>;
    /** Sets another one in the stack's config; unset where that does not last, on dev and in a rehearsal. */
    keepSystemPassword?(password: string): void;
    /** Runs `npm run NAME` for this stack on this terminal; whether it succeeded. */
    run(name: "domains" | "up"): boolean;
}

/** Seconds between two looks. */
const INTERVAL = 4;
/** Seconds until the application is asked to look at DNS once more. */
const AGAIN = 20;

/** A step as a line of a list. */
export const line = ({ done, title }: Step): string => `${done ? "✓" : "·"} ${title}`;

/**
 * Leads through what is left of the first run, to its end. What is done already, by hand or by an earlier run, is found done: it can be
 * stopped at any time, and goes on where one is.
 */
export async function guide(guided: Guided): Promise<void> {
    const told = new Map<string, string>();
    const done = new Set<string>();
    let hands: { api?: Api } | undefined;
    for (;;) {
        const seen = await guided.look();
        const steps = stepsOf(seen, guided.place);
        for (const step of steps.filter((one) => one.done && !done.has(idOf(one)))) {
            guided.terminal.say(line(step));
            done.add(idOf(step));
        }
        const step = steps.find((one) => !one.done);
        if (!step) return;
        if (step.kind !== "admin") hands ??= { api: await askForToken(guided) };
        const isNew = !told.has(idOf(step));
        if (isNew) begin(step, told, guided);
        if (isNew && hands?.api && step.kind !== "records") {
            await perform(step, seen, hands.api, guided);
            continue;
        }
        tell(step, told, guided);
        if (isNew) await help(step, seen, guided);
        else await untilDone(step, told, hands?.api, guided);
    }
}

function begin(step: Step, told: Map<string, string>, { terminal }: Guided): void {
    terminal.say("");
    terminal.say(`→ ${step.title}`);
    told.set(idOf(step), "");
}

/** What is left to be done by hand; again where that is something else now. */
function tell(step: Step, told: Map<string, string>, { terminal }: Guided): void {
    const how = step.how.map((one) => `  ${one}`).join("\n");
    if (told.get(idOf(step)) !== how) terminal.say(how);
    told.set(idOf(step), how);
}

/** With what no API is asked for. */
async function help(step: Step, seen: Seen, guided: Guided): Promise<void> {
    if (step.kind === "records") await publish(seen, step, guided);
    if (step.kind === "system") await takePassword(guided);
}

/** Until the application's own state shows it. */
async function untilDone(step: Step, told: Map<string, string>, api: Api | undefined, guided: Guided): Promise<void> {
    let trouble = "";
    for (let seconds = 0; ; seconds += INTERVAL) {
        guided.terminal.progress(`  waiting for it … ${seconds} s (Ctrl-C ends this; the next run goes on from here)${trouble}`);
        await guided.terminal.wait(INTERVAL);
        const seen = await guided.look().catch((error: Error) => error);
        trouble = seen instanceof Error ? `; ${seen.message.split("\n")[0]}` : ""; // an `up` elsewhere may restart what is asked
        if (seen instanceof Error) continue;
        const now = stepsOf(seen, guided.place).find((one) => idOf(one) === idOf(step));
        if (!now || now.done) return;
        tell(now, told, guided);
        const isLookedUp = step.kind === "verified" || step.kind === "sending";
        if (api && isLookedUp && (seconds + INTERVAL) % AGAIN === 0) await perform(step, seen, api, guided);
    }
}

/** The API as the administrator; unset where he would rather do it by hand. */
async function askForToken({ terminal, place, api }: Guided): Promise<Api | undefined> {
    terminal.say("");
    terminal.say(`Most of the rest can be done from here with the administrator's API token, of ${place.url}/my-account/security`);
    terminal.say("It is used during this run, and kept nowhere.");
    for (;;) {
        const token = await terminal.askHidden("API token (empty: by hand): ");
        if (!token) return undefined;
        const hands = api(token);
        try {
            await hands.call("GET", "/v1/account");
            return hands;
        } catch (error) {
            terminal.say(meaningOf(error));
            if (!(error instanceof Refused)) return undefined;
        }
    }
}

/** The application's keys and codes into DNS. The commands ask before they change anything. */
async function publish({ configured }: Seen, { domain }: Step, { place, terminal, run }: Guided): Promise<void> {
    if (!place.settings.dns || !(await terminal.confirm("  Run that now? [y/N] "))) return;
    if (configured.includes(domain!) || run("domains")) run("up");
}

/** A password that was generated in the web interface is brought to the deployment. */
async function takePassword(guided: Guided): Promise<void> {
    const { terminal, place, keepSystemPassword } = guided;
    if (!keepSystemPassword) return;
    const password = await terminal.askHidden("  When it is generated: its password, for the deployment (empty: not now): ");
    if (!password) return;
    keepSystemPassword(password);
    terminal.say(`  It is in Pulumi.${place.stack}.yaml now, encrypted. Its containers get it by: ${command(place, "up")}`);
    if (await terminal.confirm("  Run that now? [y/N] ")) guided.run("up");
}
