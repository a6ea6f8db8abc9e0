import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import type { EngineEvent } from "@pulumi/pulumi/automation";
import type { Repair } from "./converge";
import type { Session } from "./session";

/**
 * Runs `pulumi up` with Pulumi's own live display, which the Automation API cannot show, and answers the engine's events.
 * Without `yes` it shows the preview and asks. The events are what the display shows: secrets are hidden in them.
 */
export async function liveUp(
    { stack }: Pick<Session, "stack">,
    { refresh, replace }: Pick<Repair, "refresh" | "replace">,
    yes: boolean,
): Promise<{ ok: boolean; events: EngineEvent[] }> {
    const { workDir, pulumiHome, envVars, pulumiCommand } = stack.workspace;
    const directory = mkdtempSync(path.join(tmpdir(), "forwardemail-")); // 0700
    const log = path.join(directory, "events");
    const args = ["up", "--stack", stack.name, "--suppress-outputs", "--event-log", log];
    if (yes) args.push("--yes", "--skip-preview");
    if (refresh) args.push("--refresh");
    for (const urn of replace) args.push("--replace", urn);
    const env = {
        ...process.env,
        ...envVars,
        PULUMI_DEBUG_COMMANDS: "true", // allows --event-log, as the Automation API does
        ...(pulumiHome ? { PULUMI_HOME: pulumiHome } : {}),
    };
    try {
        const code = await new Promise<number | null>((resolve, reject) => {
            spawn(pulumiCommand.command, args, { cwd: workDir, env, stdio: "inherit" }).on("error", reject).on("close", resolve);
        });
        return { ok: code === 0, events: eventsOf(log) };
    } finally {
        rmSync(directory, { recursive: true });
    }
}

/** Whether the preview ran to its end, and nothing after it: the operator said no. */
export const onlyPreviewed = (events: EngineEvent[]): boolean =>
    events.some(({ summaryEvent }) => summaryEvent) && events.filter(({ preludeEvent }) => preludeEvent).length === 1;

/** What was told until the end; where it was killed, it may not have begun, and its last line may be half a line. */
function eventsOf(file: string): EngineEvent[] {
    if (!existsSync(file)) return [];
    const lines = readFileSync(file, "utf8").split("\n").slice(0, -1); // every event ends its line
    return lines.map((line) => JSON.parse(line) as EngineEvent);
}
