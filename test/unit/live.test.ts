import type { EngineEvent } from "@pulumi/pulumi/automation";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { liveUp, onlyPreviewed } from "../../operate/live";
import type { Session } from "../../operate/session";

let folder: string;
beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), "live-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** A stack whose `pulumi` is a shell script; the script finds the file of `--event-log` in $log. */
function stack(script: string): Pick<Session, "stack"> {
    const command = path.join(folder, "pulumi");
    const findLog = 'while [ "$1" != --event-log ]; do shift; done; log=$2';
    writeFileSync(command, `#!/bin/sh\nprintf '%s\\n' "$@" >arguments\n${findLog}\n${script}\n`, { mode: 0o700 });
    const workspace = { workDir: folder, pulumiHome: "/its/home", envVars: { OF_THE_STACK: "yes" }, pulumiCommand: { command } };
    return { stack: { name: "home", workspace } as unknown as Session["stack"] };
}
const NOTHING = { refresh: false, replace: [] };
const written = (file: string) => readFileSync(path.join(folder, file), "utf8").trim().split("\n");

test("Pulumi asks unless told not to, and reads and replaces what it is told to", async () => {
    await liveUp(stack("true"), NOTHING, false);
    const asking = written("arguments");
    expect(asking.slice(0, 5)).toEqual(["up", "--stack", "home", "--suppress-outputs", "--event-log"]);
    expect(asking).toHaveLength(6);
    await liveUp(stack("true"), { refresh: true, replace: ["urn:a", "urn:b"] }, true);
    expect(written("arguments").slice(6)).toEqual(["--yes", "--skip-preview", "--refresh", "--replace", "urn:a", "--replace", "urn:b"]);
});

test("it runs in the stack's folder, home and environment", async () => {
    await liveUp(stack('echo "$OF_THE_STACK $PULUMI_HOME $PULUMI_DEBUG_COMMANDS ${PATH:+has a path}" >environment'), NOTHING, true);
    expect(written("environment")).toEqual(["yes /its/home true has a path"]);
});

test("its events are answered and their file is gone, which nobody else could read", async () => {
    const script = 'echo \'{"sequence":1}\' >"$log"; echo \'{"sequence":2}\' >>"$log"; stat -c %a "$(dirname "$log")" >mode; echo "$log" >where';
    expect(await liveUp(stack(script), NOTHING, true)).toEqual({ ok: true, events: [{ sequence: 1 }, { sequence: 2 }] });
    expect(written("mode")).toEqual(["700"]);
    expect(existsSync(path.dirname(written("where")[0]))).toBe(false);
});

test("a failed or killed update keeps what it told until then, without half a line", async () => {
    const script = 'printf \'{"sequence":1}\\n{"seque\' >"$log";';
    for (const end of ["exit 255", "kill -9 $$"])
        expect(await liveUp(stack(`${script} ${end}`), NOTHING, true)).toEqual({ ok: false, events: [{ sequence: 1 }] });
});

test("an update that ended before it began has no events; a CLI that is gone is an error with its name", async () => {
    expect(await liveUp(stack("exit 1"), NOTHING, true)).toEqual({ ok: false, events: [] });
    const gone = stack("true");
    rmSync(path.join(folder, "pulumi"));
    await expect(liveUp(gone, NOTHING, true)).rejects.toThrow(/pulumi ENOENT/);
});

test("an update that was declined has a preview only; one that failed or was killed is not taken for it", () => {
    const [prelude, summary] = [{ preludeEvent: {} }, { summaryEvent: {} }] as EngineEvent[];
    expect(onlyPreviewed([prelude, summary])).toBe(true);
    for (const events of [[], [prelude], [prelude, summary, prelude], [prelude, summary, prelude, summary]])
        expect(onlyPreviewed(events)).toBe(false);
});
