import { setTimeout as sleep } from "node:timers/promises";
import { CATALOGUE } from "../../components/services/catalogue";
import { converge } from "../converge";
import { DOCKER, Running, docker, inspectStack, isService } from "../health";
import { located } from "../machines";
import { Session, openSession } from "../session";
import { Check, Finding, Report, runChecks } from "../verify/check";
import { deployed } from "../verify/deployed";
import { portsCheck, relayCheck } from "../verify/mail";
import { servicesCheck } from "../verify/services";
import { tlsCheck } from "../verify/tls";
import { theWorld } from "../verify/world";
import { Command, Held, Target } from "./core";
import { pinsBack } from "./images";
import { configOf, settingsOf, writeVersion } from "./versions";

/** What an update may break, as it is seen from outside. */
const CHECKS: Check[] = [servicesCheck, portsCheck, tlsCheck, relayCheck];

/** To `verify`, another image is drift, for it works; after an update it is one that should not run. */
export const versionCheck = (fix: string): Check => ({
    id: "version",
    title: "every service is of the image that was asked for",
    source: "components/services/catalogue.ts",
    async run({ settings }, world) {
        // What watches the deployment is none of its services, and no update brings it back.
        const services = (await world.containers()).filter(isService);
        return services.flatMap(({ service, image }): Finding[] => {
            const expected = settings.images[CATALOGUE[service].image].reference;
            return image === expected ? [] : [{ status: "fail", subject: service, expected, got: `runs ${image}`, fix }];
        });
    },
});

/** The stack, whose file says the version; a rehearsal is told it, and its file stays as it is. */
export function targetOf(session: Session, stack: string, command: Command, log: (line: string) => void): Target {
    const rehearse = session.rehearsal !== undefined;
    let current = session;
    return {
        command,
        async bringTo(version, images) {
            const restore = rehearse ? () => undefined : writeVersion(stack, version, images);
            const opened = await openSession(stack, { rehearse, config: configOf(version, images) }, () => undefined);
            // The dev stack falls back to it where a registry is gone meanwhile.
            if (!rehearse && opened.rehearsal) throw new Error("The registries cannot be reached any more. Fix: mend the network.");
            current = opened;
            const { ok, locked } = await converge(current, log, { live: false }, DOCKER, "services");
            if (!locked) return ok;
            restore(); // an `up` of somebody else would take the version without a look
            throw new Held(
                `Another operation holds the stack. Fix: wait for it; if none is (it was killed), add --unlock: ${command("update", "--unlock")}`,
            );
        },
        async verify(version, pins) {
            // A version that could not be opened is not in the session.
            const { images } = await settingsOf(version, current, stack, pins);
            return look({ ...current, settings: { ...current.settings, images } }, stack, [...CHECKS, versionCheck(command("up"))]);
        },
        // A connection that is gone for a moment must not keep the old version away.
        back: async (images) => pinsBack(images, await patiently(() => runningOf(current))),
        close: () => closePorts(current),
    };
}

/** Asks for a minute; undefined where nobody answers. */
async function patiently<T>(ask: () => Promise<T>): Promise<T | undefined> {
    for (let tries = 0; tries < 12; tries++) {
        try {
            return await ask();
        } catch {
            await sleep(5000);
        }
    }
    return undefined;
}

/** What runs of a stack. */
export async function runningOf({ stack, settings }: Session): Promise<Running[]> {
    return inspectStack(settings.name, (await located(stack, settings)).servers[0]);
}

/** What checks say of what is there. */
export async function look(session: Session, stack: string, checks = CHECKS): Promise<Report[]> {
    const { deployment, ways } = await deployed(session, stack);
    return runChecks(checks, deployment, theWorld(deployment.settings, ways));
}

/** All that can be closed are, whatever becomes of the others. */
async function closePorts(session: Session): Promise<void> {
    const [server] = (await located(session.stack, session.settings)).servers;
    const doors = (await runningOf(session)).filter(({ service }) => CATALOGUE[service]?.publish.length > 0);
    const problems = doors.flatMap(({ container }) => {
        try {
            docker(["stop", container], server);
            return [];
        } catch (error) {
            return [(error as Error).message];
        }
    });
    if (problems.length > 0) throw new Error(problems.join("; "));
}
