import { CATALOGUE, servicesOf } from "../../components/services/catalogue";
import { Check, Finding } from "./check";

export const servicesCheck: Check = {
    id: "services",
    title: "every service runs, is healthy by its own protocol, and is the image that was pinned",
    source: "components/services/catalogue.ts",
    async run({ settings, stack }, world) {
        const running = await world.containers();
        return servicesOf(settings.profile).map((service): Finding => {
            const up = `npm run up -- --stack ${stack}`;
            const found = running.filter((one) => one.service === service);
            if (found.length === 0) return { status: "fail", subject: service, got: "does not run", fix: up };
            const [{ container, health, restarts, image }] = found;
            if (health !== "healthy")
                return { status: "fail", subject: service, got: health, fix: `${up}; its log: npm run logs -- ${service} --stack ${stack}` };
            const { reference, tag } = settings.images[CATALOGUE[service].image];
            if (image !== reference) return { status: "warn", subject: service, expected: reference, got: image, fix: up }; // drift: it works
            if (restarts > 0)
                return { status: "warn", subject: service, got: `healthy, after ${restarts} restarts`, fix: `see why: docker logs ${container}` };
            return { status: "pass", subject: service, got: `healthy, ${tag}` };
        });
    },
};
