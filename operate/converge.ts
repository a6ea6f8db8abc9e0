import * as auto from "@pulumi/pulumi/automation";
import { Settings } from "../components/settings/settings";
import { servicesOf } from "../components/services/catalogue";
import { Running, dockerAnswers, explain, inspectStack } from "./health";
import { Progress, knownFix } from "./progress";

export interface Converged {
    /** Whether the update succeeded and every service is healthy. */
    ok: boolean;
    /** Resources by what happened to them: same, create, update, replace, delete. */
    changes: Record<string, number>;
    outputs: auto.OutputMap;
}

/**
 * Brings a stack to what its config says, and says what is wrong where that fails.
 * `pulumi up` alone does not see that a container is gone or sick: Docker is asked first (refresh), what is missing is made
 * again, what is unhealthy is replaced, and at the end *every* service must be healthy, whether it changed or not.
 */
export async function converge(stack: auto.Stack, settings: Settings, log: (line: string) => void): Promise<Converged> {
    const dockerHost = settings.servers[0].dockerHost;
    const known = await stack.exportStack();
    const resources = (known.deployment.resources ?? []) as StateResource[];
    const replace = resources.length > 0 ? sick(resources, inspectStack(settings.name, dockerHost)) : [];
    if (resources.length > 0) await stack.refresh({ onOutput: () => undefined });
    if (replace.length > 0) log(`Unhealthy, to be replaced: ${replace.map((urn) => urn.split("::").at(-1)).join(", ")}`);

    const progress = new Progress(log);
    const result = await stack.up({ onEvent: progress.onEvent, replace, color: "never", suppressProgress: true }).catch((error: Error) => error);
    if (result instanceof Error) explainFailure(result, progress, log);
    if (result instanceof Error && !dockerAnswers(dockerHost)) return { ok: false, changes: {}, outputs: {} };
    const sickNow = await waitForHealth(settings, dockerHost);
    for (const line of report(settings, sickNow, dockerHost)) log(line);
    if (result instanceof Error) return { ok: false, changes: {}, outputs: {} };
    return { ok: sickNow.length === 0, changes: result.summary.resourceChanges ?? {}, outputs: result.outputs };
}

/** The fix of each error, where it is known; an error that the engine did not report as an event is told here. */
function explainFailure(failure: Error, { errors }: Progress, log: (line: string) => void): void {
    if (errors.length === 0) log(/^error: .*$/m.exec(failure.message)?.[0] ?? failure.message);
    for (const fix of new Set([...errors, failure.message].map(knownFix))) if (fix) log(`  fix: ${fix}`);
}

interface StateResource {
    urn: string;
    type: string;
    outputs?: { name?: string };
    delete?: boolean;
}

/** URNs of containers that Docker calls unhealthy or that do not run. One that is gone is found by refresh. */
function sick(resources: StateResource[], running: Running[]): string[] {
    const bad = new Set(running.filter((c) => c.health !== "healthy" && c.health !== "starting").map((c) => c.container));
    return resources.filter((r) => r.type === "docker:index/container:Container" && !r.delete && bad.has(r.outputs?.name ?? "")).map((r) => r.urn);
}

/** Services that are not healthy, after those that are still starting had their time. */
async function waitForHealth(settings: Settings, dockerHost?: string): Promise<Running[]> {
    const deadline = Date.now() + settings.startTimeout * 1000;
    for (;;) {
        const bad = inspectStack(settings.name, dockerHost).filter((c) => c.health !== "healthy");
        if (bad.every((c) => c.health !== "starting") || Date.now() > deadline) return bad;
        await new Promise((resolve) => setTimeout(resolve, 1000));
    }
}

/** What an operator needs to see of each sick service: its name, what the probe said, its last lines, and the fix if it is known. */
function report(settings: Settings, bad: Running[], dockerHost?: string): string[] {
    const present = new Set(inspectStack(settings.name, dockerHost).map((c) => c.service));
    const missing = servicesOf(settings.profile).filter((service) => !present.has(service));
    const lines = bad.flatMap(({ service, container, health, restarts }) => {
        const { probe, log, fix } = explain(container, dockerHost);
        return [
            "",
            `Service ${service} is ${health}${restarts > 0 ? `, restarted ${restarts} times` : ""} (container ${container}).`,
            ...(probe ? [`  its probe says: ${probe}`] : []),
            ...log.map((line) => `  | ${line}`),
            `  fix: ${fix ?? `look at docker logs ${container}; the next \`npm run up\` replaces it`}`,
        ];
    });
    return missing.length > 0 ? [...lines, "", `Not running: ${missing.join(", ")}. The next \`npm run up\` starts them.`] : lines;
}
