import { CATALOGUE, servicesOf } from "../../components/services/catalogue";
import type { Running } from "../health";
import { Check, Deployment, Finding, unknown } from "./check";
import type { World } from "./world";

export const servicesCheck: Check = {
    id: "services",
    title: "every service runs, is healthy by its own protocol, and is the image that was pinned",
    source: "components/services/catalogue.ts",
    async run(deployment, world) {
        const { settings, stack } = deployment;
        const running = await world.containers();
        const services = servicesOf(settings.profile).map((service): Finding => {
            const up = `npm run up -- --stack ${stack}`;
            const found = running.filter((one) => one.service === service);
            if (found.length === 0) return { status: "fail", subject: service, got: "does not run", fix: up };
            const sick = found.find(({ health }) => health !== "healthy");
            if (sick)
                return { status: "fail", subject: service, got: sick.health, fix: `${up}; its log: npm run logs -- ${service} --stack ${stack}` };
            const { reference, tag } = settings.images[CATALOGUE[service].image];
            const other = found.find(({ image }) => image !== reference);
            if (other) return { status: "warn", subject: service, expected: reference, got: other.image, fix: up }; // drift: it works
            if (found.length > 1) return { status: "warn", subject: service, expected: "one container", got: names(found), fix: up };
            const { better } = settings.images[CATALOGUE[service].image];
            // What an update went back to is without security fixes for as long as it is held, and no night says so.
            if (better)
                return {
                    ...{ status: "warn", subject: service, expected: better, got: `held at ${reference}` },
                    fix: `take images.${CATALOGUE[service].image} out of Pulumi.${stack}.yaml, and npm run update -- --stack ${stack}`,
                };
            const [{ container, restarts }] = found;
            if (restarts > 0)
                return { status: "warn", subject: service, got: `healthy, after ${restarts} restarts`, fix: `see why: docker logs ${container}` };
            return { status: "pass", subject: service, got: `healthy, ${tag}` };
        });
        return [...services, await compatibility(deployment, world)];
    },
};

const names = (running: Running[]) => running.map(({ container }) => container).join(", ");

/** Data that stay behind their MongoDB keep its next major release from starting. */
async function compatibility({ settings: { images }, stack }: Deployment, world: World): Promise<Finding> {
    const subject = "mongodb's data";
    const { tag } = images.mongodb;
    try {
        const { compatibility: found } = await world.application();
        const expected = /^\d+\.\d+/.exec(tag)?.[0];
        if (!expected || found === expected) return { status: "pass", subject, got: `of ${found}` };
        const fix = `when all has been well for a while: npm run update -- --mongodb-features --stack ${stack}`;
        return { status: "warn", subject, expected: `of ${expected}`, got: `of ${found}`, fix };
    } catch (error) {
        return unknown(subject, (error as Error).message);
    }
}
