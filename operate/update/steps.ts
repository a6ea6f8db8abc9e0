import { CATALOGUE, servicesOf } from "../../components/services/catalogue";
import { isOlder, notesOf } from "../../components/settings/images";
import type { Settings } from "../../components/settings/settings";
import { type Running, isService } from "../health";
import { resourcesOf } from "../machines";
import { refuse, refuseDatabases } from "../refusals";
import { isAgreed, makeSet } from "./agree";
import { baseline, update } from "./core";
import { ImageChange, Pins, changedImages, pinsBack, pinsForth, seriesOf } from "./images";
import { Entry, Phase, Step } from "./journal";
import { changesOf, tell } from "./report";
import type { Options, Result, Run } from "./run";
import { look, runningOf, targetOf } from "./target";
import { newestOf, settingsOf } from "./versions";

/** Looks, shows what would change, and does it when the operator agrees. @throws Error with the fix, before anything is changed. */
export async function begin(from: string, here: Run): Promise<Result> {
    const { options, session, command, log } = here;
    const { stack: name, version } = options;
    const { to, held } = version ? { to: version } : aimOf(from, await newestOf(session, name), here);
    if (isOlder(to, from) && !options.force)
        throw new Error(
            `--version: ${to} is older than ${from}, which runs: its data may have been changed for it. Fix: ${command("restore", "--set ID")} with a set of ${to}; or add --force.`,
        );
    const told = toldOf(options);
    const settings = await settingsOf(to, session, name, told);
    const images = changedImages(await runningOf(session), settings.images, told);
    if (to === from && images.length === 0) {
        log(`${from} runs already${version || held ? "" : ", and the lock file knows none that is newer"}.`);
        return { outcome: "nothing to do", from, to };
    }
    const isNamed = version !== undefined || Object.keys(told).length > 0;
    if (to === from && !isNamed && isHeld({ from, to, images }, here)) return { outcome: "nothing to do", from, to };
    await mustKnow({ from, images }, here);
    const resources = await resourcesOf(session.stack);
    await refuseDatabases({ ...session, settings }, resources);
    await refuse(session, resources);
    const before = baseline(await look(session, name), command, log);
    const step = { from, to, before, ...(images.length > 0 ? { images } : {}) };
    log(`Update ${changesOf(step)}`);
    if (from !== to) log(`  ${notesOf(to)}`);
    for (const line of warnings(images)) log(`  warning: ${line}`);
    if (!(await isAgreed(step, here))) return { outcome: "nothing to do", from, to };
    const set = await makeSet(here);
    await mustStillRun([from], here);
    return finish({ ...step, set }, "begun", here);
}

/** The newest release, where no other is named; what runs, where that is newer, or where the newest was tried and nobody is asked. */
export function aimOf(from: string, newest: string, here: Pick<Run, "options" | "journal" | "command" | "log">): { to: string; held?: true } {
    if (newest === from || isOlder(newest, from)) return { to: from };
    return isHeld({ from, to: newest }, here) ? { to: from, held: true } : { to: newest };
}

/** Whether it did not end well the last time, and nobody is there who could want it again: it would fail every night. Says so. */
export function isHeld(step: Step, { options, journal, command, log }: Pick<Run, "options" | "journal" | "command" | "log">): boolean {
    const bad = journal.lastBad(step);
    if (!bad) return false;
    const ended = bad.what === "failed" ? "failed" : "was rolled back";
    const again = options.yes ? ` It is not tried again by itself: ${command("update", `--version ${step.to}`)} does it.` : "";
    log(`${options.yes ? "" : "  warning: "}The update ${changesOf(bad)} ${ended} on ${bad.at}.${again}`);
    return options.yes === true;
}

/** Images that the operator named. */
export const toldOf = ({ mongodb, redis }: Options): Pins => ({ ...(mongodb ? { mongodb } : {}), ...(redis ? { redis } : {}) });

/** Databases that do not go back. */
const warnings = (images: ImageChange[]): string[] =>
    images
        .filter(({ name, from, to }) => name !== "nginx" && seriesOf(from) !== seriesOf(to))
        .map(({ name, from, to }) => `${name} does not go back from ${seriesOf(to)} to ${seriesOf(from)}: only a set of backups does.`);

/** Goes on with what another run began, as far as that was agreed to. */
export async function resume(entry: Entry & { what: Phase }, here: Run): Promise<Result> {
    const { options, session, journal, log } = here;
    const { from, to, at, what, images } = entry;
    const isBack = what === "going back";
    log(`The update ${changesOf(entry)} was cut short on ${at}${isBack ? `, on its way back to ${from}` : ""}: going on with it.`);
    const host = journal.elsewhere(entry);
    if (host)
        log(`  warning: it was begun on ${host} (process ${entry.process.pid}), which cannot be asked from here: see that it does not run there.`);
    if (!isBack) await settingsOf(to, session, options.stack, pinsForth(images));
    const known = await mustKnow(entry, here);
    await refuse(session);
    log(isBack ? `Back to ${from}` : `Update ${changesOf(entry)}`);
    if (!(await isAgreed(entry, here))) return { outcome: "nothing to do", from, to };
    // What came in since the old set would be lost with it.
    const isOld = !isBack && isUntouched(known, await runningOf(session));
    const set = isOld ? ((await makeSet(here)) ?? entry.set) : entry.set;
    await mustStillRun([from, to], here);
    return finish({ ...entry, set }, what, here);
}

/** Whether every service is of these images still, so that nothing newer has seen the data. */
export function isUntouched({ profile, images }: Pick<Settings, "profile" | "images">, running: Running[]): boolean {
    const isOf = ({ service, image }: Running) => image === images[CATALOGUE[service].image].reference;
    const services = running.filter(isService);
    return services.every(isOf) && servicesOf(profile).every((service) => services.some((one) => one.service === service));
}

/** Another run may have changed the version while this one asked, or made a set: going on could bring an older one. @throws Error */
export async function mustStillRun(versions: string[], { session, command }: Pick<Run, "session" | "command">): Promise<void> {
    const now = (await session.stack.outputs()).version?.value as string | undefined;
    if (now === undefined || !versions.includes(now))
        throw new Error(
            `${now ?? "No version"} runs by now, and ${versions[0]} did before, so nothing was changed. Fix: look again: ${command("update")}`,
        );
}

/** There must be a way back, before anything is written: its settings. */
async function mustKnow({ from, images = [] }: Pick<Step, "from" | "images">, { options, session }: Run): Promise<Settings> {
    return settingsOf(from, session, options.stack, pinsBack(images, [])).catch((error: Error) => {
        throw new Error(`There would be no way back to ${from}, which runs. ${error.message}`, { cause: error });
    });
}

async function finish(step: Step, phase: Phase, { options, session, journal, command, log }: Run): Promise<Result> {
    journal.unfinished(); // another run may have begun while this one asked
    const { from, to, set, images } = step;
    const changes = changesOf(step);
    const outcome = await update(step, targetOf(session, options.stack, command, log), journal, log, phase);
    const text = {
        updated: `updated ${changes}`,
        "rolled back": from === to ? `it was not well (${changes}): the images from before run again` : `${to} was not well: ${from} runs again`,
        failed: `the update ${changes} failed, and going back did not end well`,
    };
    const { name } = session.settings;
    log(`\n${name}: ${text[outcome]}.`);
    await tell(session, `${name}: update${session.rehearsal ? " (rehearsal)" : ""}: ${text[outcome]}`, log);
    if (outcome === "updated" && images?.some(({ name, ...pins }) => name === "mongodb" && seriesOf(pins.from) !== seriesOf(pins.to)))
        log(
            `MongoDB keeps to what the release before reads. When you are sure of it, some weeks from now: ${command("update", "--mongodb-features")}`,
        );
    if (outcome === "rolled back" && images && !session.rehearsal)
        log(`images in Pulumi.${options.stack}.yaml holds what runs again: take it out when the lock file has a better one.`);
    return { outcome, from, to, set, ...(images ? { images } : {}) };
}
