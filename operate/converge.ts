import * as auto from "@pulumi/pulumi/automation";
import { dockerUrl, sshOptions } from "../components/server/connection";
import { Settings } from "../components/settings/settings";
import { servicesOf } from "../components/services/catalogue";
import { BOOT_SECONDS } from "../components/server/dockerHost";
import { DOCKER, Observer, Running, isService } from "./health";
import { liveUp, onlyPreviewed } from "./live";
import { StateResource, located, openSecurityGroups, refreshMachines, stateOf } from "./machines";
import { Progress, describe, knownFix } from "./progress";
import type { Session } from "./session";

export interface Converged {
    /** Whether the update succeeded and every service is healthy. */
    ok: boolean;
    /** The operator said no, and nothing was changed. */
    declined?: true;
    /** Another operation holds the stack, and nothing was changed. */
    locked?: true;
    /** Resources by what happened to them: same, create, update, replace, delete. */
    changes: Record<string, number>;
    outputs: auto.OutputMap;
}

/** How an update is shown: plain lines, or Pulumi's own display, which may ask before it changes anything. */
export type Display = { live: false } | { live: true; yes: boolean };

/** What is replaced where it is sick: all, or services alone, where what only watches them must not decide how it ends. */
export type Mended = "all" | "services";

/**
 * Brings a stack to what its config says, and says what is wrong where that fails.
 * `pulumi up` alone does not see that a container is gone or sick: Docker is asked first, what is missing is made
 * again (--refresh), what is unhealthy is replaced, and at the end *every* service must be healthy, whether it changed or not.
 */
export async function converge(
    session: Pick<Session, "stack" | "settings">,
    log: (line: string) => void,
    display: Display = { live: false },
    observer = DOCKER,
    mended: Mended = "all",
): Promise<Converged> {
    const progress = new Progress(log);
    const nothing = { ok: false, changes: {}, outputs: {} };
    const found = await find(session, log, observer, !display.live || display.yes);
    if (found.problem !== undefined) {
        log(`  error: Docker does not answer at ${whereIs(found.settings.servers[0])}: ${found.problem}`);
        log(`  fix: ${knownFix(found.problem) ?? knownFix("Docker does not answer")}`);
        return nothing;
    }
    // A machine that the update makes has an address afterwards.
    const now = () => located(session.stack, session.settings);
    try {
        // On a bare server there is nothing to ask. What the state says is there has another identity, and is made anew.
        const repair = found.bare ? NONE : await findBroken({ stack: session.stack, settings: found.settings }, log, observer, mended);
        const result = display.live ? await upLive(session, repair, display.yes, progress, log) : await upPlain(session, repair, progress);
        const settings = await now();
        if (found.silent || progress.changed.has("aws:ec2/instance:Instance")) await booted(settings, observer);
        for (const { container, service } of repair.strays) {
            log(`Left over from an earlier update, removed: ${service} (${container})`);
            observer.remove(container, settings.servers[0]);
        }
        const healthy = await allHealthy(settings, log, observer);
        return { ...result, ok: healthy };
    } catch (error) {
        if (error instanceof Declined) return { ...nothing, declined: true };
        explainFailure(error as Error, progress, log);
        if (isLocked(error as Error)) return { ...nothing, locked: true };
        const settings = await now();
        const [server] = settings.servers;
        if (!observer.isBare(server) && observer.whyNot(server) === undefined) await allHealthy(settings, log, observer);
        return nothing;
    }
}

/** Where the server is, whether there is anything on it, and why it does not answer. An instance that is gone, or silent still, is not there to answer. */
async function find(
    { stack, settings }: Pick<Session, "stack" | "settings">,
    log: (line: string) => void,
    observer: Observer,
    unasked: boolean,
): Promise<{ settings: Settings; bare: boolean; silent?: true; problem?: string }> {
    const look = async () => {
        const here = await located(stack, settings);
        const bare = observer.isBare(here.servers[0]);
        return { settings: here, bare, problem: bare ? undefined : observer.whyNot(here.servers[0]) };
    };
    const first = await look();
    if (first.problem === undefined || !settings.servers[0].aws) return first;
    log("The instance does not answer: asking AWS for it.");
    await refreshMachines(stack);
    const second = await look();
    if (second.problem === undefined) return second;
    if (unasked) {
        log("It is there: bringing its security group to firewall.sshFrom.");
        await openSecurityGroups(stack);
    }
    const third = await look();
    if (third.problem === undefined) return third;
    log(`  warning: still no answer (${third.problem.trim()}): going on without a look at what runs there, for the update may mend it.`);
    return { ...third, bare: true, silent: true, problem: undefined };
}

const whereIs = ({ ssh, dockerHost }: Settings["servers"][number]) => ssh?.address ?? dockerHost;

/** An instance that changed its type has been rebooted: it gets its time. */
async function booted({ servers: [server] }: Settings, observer: Observer): Promise<void> {
    const deadline = Date.now() + BOOT_SECONDS * 1000;
    while (server.ssh && observer.whyNot(server) !== undefined && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 3000));
}

class Declined extends Error {}

type Update = Omit<Converged, "ok">;

/** What an update does beside what the config asks for. */
export interface Repair {
    /** Read what is there first, so that what is gone is made again. */
    refresh: boolean;
    /** URNs of what must be made anew though its inputs are the same. */
    replace: string[];
    /** Containers that nobody needs: removed after an update that succeeded, for who declines one wants nothing changed. */
    strays: Running[];
}

const NONE: Repair = { refresh: false, replace: [], strays: [] };

async function upPlain({ stack }: Pick<Session, "stack">, repair: Repair, progress: Progress): Promise<Update> {
    const { refresh, replace } = repair;
    const result = await stack.up({ onEvent: progress.onEvent, refresh, replace, color: "never", suppressProgress: true });
    return { changes: result.summary.resourceChanges ?? {}, outputs: result.outputs };
}

/** The display has told the errors already; they are kept for their fixes. */
async function upLive(
    session: Pick<Session, "stack">,
    repair: Repair,
    yes: boolean,
    { errors, changed }: Progress,
    log: (line: string) => void,
): Promise<Update> {
    const { ok, events } = await liveUp(session, repair, yes);
    const silent = new Progress(() => undefined);
    for (const event of events) silent.onEvent(event);
    errors.push(...silent.errors);
    for (const type of silent.changed) changed.add(type);
    for (const warning of silent.warnings) log(`  ${warning}`); // the display showed it for a moment only
    if (!ok && errors.length === 0 && onlyPreviewed(events)) throw new Declined();
    if (!ok) throw new Error("The update did not run to its end: it was stopped, or its error is above.");
    const summary = events.map((event) => event.summaryEvent).filter((event) => event !== undefined);
    return { changes: (summary.at(-1)?.resourceChanges ?? {}) as Record<string, number>, outputs: await session.stack.outputs() };
}

/** Scripts that look at what is in a volume or a folder, or put something into it, and the one that mounts the folder's disk. */
const FILLS_VOLUMES = /-(disk|claim|files|acme-account|certificate-secrets|certificate|backup-(repository|open|secrets|timer))$/;

/** Asks Docker what became of the stack. */
async function findBroken(
    { stack, settings }: Pick<Session, "stack" | "settings">,
    log: (line: string) => void,
    observer: Observer,
    mended: Mended,
): Promise<Repair> {
    const { resources: before, pending } = await stateOf(stack);
    if (before.length === 0) return NONE;
    // An update that also refreshes does not say so by itself.
    for (const { type, resource } of pending)
        log(`  warning: an operation was killed while ${type} of ${describe(resource.urn)}: look whether there is one that the stack does not know`);
    const running = observer.inspectStack(settings.name, settings.servers[0]);
    const unhealthy = sick(before, mended === "all" ? running : running.filter(isService));
    if (unhealthy.length > 0) log(`Unhealthy, to be replaced: ${unhealthy.map((urn) => urn.split("::").at(-1)).join(", ")}`);
    const volumes = observer.volumes(settings.servers[0]);
    const lost = before.filter(({ type, outputs }) => type === "docker:index/volume:Volume" && !volumes.includes(outputs?.name as string));
    if (lost.length > 0) log(`Volumes that are gone, to be made anew: ${lost.map(({ urn }) => urn.split("::").at(-1)).join(", ")}`);
    // A disk that was lost or replaced takes the folders with it, and no resource is there to miss them.
    const { directory } = settings.data;
    const claimed = before.some(({ urn }) => urn.endsWith("-mongodb-claim"));
    const emptied = claimed && directory !== undefined && !observer.exists(`${directory}/mongodb/.forwardemail`, settings.servers[0]);
    if (emptied) log(`The data are gone from ${directory}: what was put there is put there again, and what must not begin anew says so.`);
    const complete = servicesOf(settings.profile).every((service) => running.some((c) => c.service === service));
    const strays = strayContainers(before, running);
    // The engine reads by the way that the state knows: where that is another, reading would fail, and the update brings the new one.
    const refresh = sameWay(before, settings.servers[0]);
    if (!refresh) log("The way to the server has changed: what is missing on it is looked for by the next `npm run up`.");
    if (complete && lost.length === 0 && !emptied) return { refresh, replace: unhealthy, strays };
    // Containers are about to start on data that nobody has looked at since: claims and checks run again, and files are written
    // again, because a script with the same inputs would else count as done.
    const files = lost.length > 0 || emptied ? FILLS_VOLUMES : /-(claim|files)$/;
    const again = before.filter(({ urn }) => files.test(urn)).map(({ urn }) => urn);
    return { refresh, replace: [...unhealthy, ...again], strays };
}

/** Whether the Docker provider of the state connects as the settings say. */
function sameWay(resources: StateResource[], { dockerHost, ssh }: Settings["servers"][number]): boolean {
    const known = resources.find((r) => r.type === "pulumi:providers:docker" && !r.delete)?.inputs;
    if (!known) return true;
    const options = ssh ? JSON.stringify(sshOptions(ssh)) : undefined;
    return known.host === (ssh ? dockerUrl(ssh) : dockerHost) && known.sshOpts === options;
}

const isLocked = (error: Error) => error instanceof auto.ConcurrentUpdateError || /currently locked/.test(error.message);

/** The fix of each error, where it is known; an error that the engine did not report as an event is told here. */
function explainFailure(failure: Error, { errors }: Progress, log: (line: string) => void): void {
    if (errors.length === 0) log(/^error: .*$/m.exec(failure.message)?.[0] ?? failure.message);
    for (const fix of new Set([...errors, failure.message].map(knownFix))) if (fix) log(`  fix: ${fix}`);
}

/** URNs of containers that Docker calls unhealthy or that do not run. One that is gone is found by refresh. */
function sick(resources: StateResource[], running: Running[]): string[] {
    const bad = new Set(running.filter((c) => c.health !== "healthy" && c.health !== "starting").map((c) => c.id));
    return resources.filter((r) => r.type === "docker:index/container:Container" && !r.delete && bad.has(r.id ?? "")).map((r) => r.urn);
}

/**
 * Containers of a service that the state knows another container of. The engine forgets one when it is replaced while the
 * server before this one is still waiting to be deleted; it would stay on the network, under the service's name, for good.
 */
function strayContainers(resources: StateResource[], running: Running[]): Running[] {
    const ours = resources.filter((r) => r.type === "docker:index/container:Container");
    const known = new Set(ours.map((r) => r.outputs?.name));
    const alive = new Set(running.filter((c) => known.has(c.container)).map((c) => c.service));
    return running.filter((c) => !known.has(c.container) && alive.has(c.service));
}

/**
 * True when every service of the profile runs and is healthy; those that still start get their time. Says what is wrong with the others, and
 * warns of what only watches them: mail goes on without it.
 */
export async function allHealthy(
    settings: Pick<Settings, "name" | "profile" | "servers" | "startTimeout">,
    log: (line: string) => void,
    observer = DOCKER,
): Promise<boolean> {
    const [server] = settings.servers;
    const deadline = Date.now() + settings.startTimeout * 1000;
    for (;;) {
        const running = observer.inspectStack(settings.name, server);
        const bad = running.filter((c) => c.health !== "healthy" && isService(c));
        const blind = running.filter((c) => !["healthy", "starting"].includes(c.health) && !isService(c));
        const missing = servicesOf(settings.profile).filter((service) => !running.some((c) => c.service === service));
        if (bad.some((c) => c.health === "starting") && Date.now() < deadline) {
            await new Promise((resolve) => setTimeout(resolve, 1000));
            continue;
        }
        for (const container of bad) for (const line of report(container, settings, observer)) log(line);
        for (const container of blind) log(watcher(container, server, observer));
        for (const { service, container, restarts, health } of running)
            if (health === "healthy" && restarts > 0)
                log(`  warning: ${service} is healthy now, but has restarted ${times(restarts)} since it was made: look at docker logs ${container}`);
        if (missing.length > 0) log(`\nNot running: ${missing.join(", ")}. The next \`npm run up\` starts them.`);
        return bad.length === 0 && missing.length === 0;
    }
}

/** What an operator needs to see of a sick service: its name, what the probe said, its last lines, and the fix if it is known. */
function report(
    { service, container, health, restarts }: Running,
    { servers, startTimeout }: Pick<Settings, "servers" | "startTimeout">,
    observer: Observer,
): string[] {
    const { probe, log, fix } = observer.explain(container, servers[0]);
    const late = health === "starting";
    const advice = late ? "if it only needs longer, raise startTimeout" : "the next `npm run up` replaces it";
    return [
        "",
        `Service ${service} is ${late ? `starting still, after ${startTimeout} s` : health}${restarts > 0 ? `, restarted ${times(restarts)}` : ""} (container ${container}).`,
        ...(probe ? [`  its probe says: ${probe}`] : []),
        ...log.map((line) => `  | ${line}`),
        `  fix: ${fix ?? `look at docker logs ${container}; ${advice}`}`,
    ];
}

function watcher({ service, container, health }: Running, server: Settings["servers"][number], observer: Observer): string {
    const { probe, fix } = observer.explain(container, server);
    const advice = fix ?? `look at docker logs ${container}; the next \`npm run up\` replaces it`;
    return `  warning: ${service}, which only watches, is ${health} (container ${container})${probe ? `: ${probe}` : ""}. Fix: ${advice}`;
}

const times = (count: number) => (count === 1 ? "once" : `${count} times`);
