import { spawnSync } from "node:child_process";
import { appendFileSync, chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { parse } from "yaml";
import { PROJECT } from "../../operate/stackFile";

type Env = Record<string, string>;

interface Step {
    id?: string;
    name?: string;
    if?: string;
    uses?: string;
    with?: Env;
    run?: string;
    env?: Env;
}

interface Job {
    if?: string;
    strategy?: { "max-parallel"?: number; "fail-fast"?: boolean };
    permissions?: Env;
    env?: Env;
    steps: Step[];
}

export interface Workflow {
    name: string;
    on: unknown;
    permissions: Env;
    defaults?: { run?: { shell?: string } };
    jobs: Record<string, Job>;
}

export const workflow = (name: string) => parse(readFileSync(path.join(PROJECT, ".github/workflows", name), "utf8")) as Workflow;

/** A runner's machine: programs that stand in for others are in `bin`, before the system's, and the checkout is `cwd`. */
export class Runner {
    readonly bin: string;
    /** Files that the steps have as $GITHUB_STEP_SUMMARY and so on. */
    readonly summary: string;
    readonly temp: string;
    private outputs = 0;

    constructor(
        private readonly folder: string,
        readonly cwd: string,
    ) {
        this.bin = path.join(folder, "bin");
        this.temp = path.join(folder, "temp");
        this.summary = path.join(folder, "summary");
        for (const name of [this.bin, this.temp]) mkdirSync(name, { recursive: true });
        writeFileSync(this.summary, "");
    }

    /** Puts a program in another's place; it notes its command line in `calls`. */
    program(name: string, script: string): void {
        const file = path.join(this.bin, name);
        const calls = path.join(this.folder, "calls");
        appendFileSync(calls, "");
        writeFileSync(file, `#!/bin/bash\necho "${name} $*" >>'${calls}'\n${script}\n`);
        chmodSync(file, 0o755);
    }

    /** Command lines since the last time. */
    calls(): string[] {
        const file = path.join(this.folder, "calls");
        const lines = readFileSync(file, "utf8").split("\n").filter(Boolean);
        writeFileSync(file, "");
        return lines;
    }

    /**
     * Runs a job's steps as GitHub does: after one that fails, those alone that say so. Those that use an action are left out.
     * @param context What expressions such as `${{ matrix.stack }}` stand for; one that is not there is an error.
     */
    run({ defaults, jobs }: Workflow, name: string, context: object): { status: number; said: string } {
        const job = jobs[name];
        const steps: Record<string, { outputs: Env }> = {};
        const values = () => ({ ...context, steps, runner: { temp: this.temp } });
        let said = "";
        let ended = 0;
        for (const step of job.steps.filter(({ run }) => run !== undefined)) {
            const isForced = step.if === "${{ !cancelled() }}";
            if (!isForced && (ended !== 0 || (step.if !== undefined && !holds(step.if, values())))) continue;
            const output = path.join(this.folder, `output-${this.outputs++}`);
            writeFileSync(output, "");
            const own = { GITHUB_OUTPUT: output, GITHUB_STEP_SUMMARY: this.summary, RUNNER_TEMP: this.temp };
            const given = Object.entries({ ...job.env, ...step.env }).map(([key, text]) => [key, filled(text, values())]);
            const env = { HOME: this.folder, PATH: `${this.bin}:${process.env.PATH}`, LANG: "C.UTF-8", ...own, ...Object.fromEntries(given) };
            // https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#jobsjob_idstepsshell
            const options = defaults?.run?.shell === "bash" ? ["--noprofile", "--norc", "-eo", "pipefail"] : ["-e"];
            const { status, stdout, stderr } = spawnSync("bash", [...options, "-c", step.run!], { cwd: this.cwd, env, encoding: "utf8" });
            said += stdout + stderr;
            if (step.id) steps[step.id] = { outputs: outputsOf(readFileSync(output, "utf8")) };
            ended ||= status ?? 1;
        }
        return { status: ended, said };
    }

    /** The same for each stack of a matrix, one after another, as far as the job's strategy lets it. */
    runAll(of: Workflow, name: string, stacks: string[]): number[] {
        const { strategy } = of.jobs[name];
        if (strategy?.["max-parallel"] !== 1) throw new Error(`${name} runs its stacks at the same time`);
        const ends: number[] = [];
        for (const stack of stacks) {
            if (strategy["fail-fast"] !== false && ends.some((status) => status !== 0)) break;
            ends.push(this.run(of, name, { matrix: { stack }, secrets: {} }).status);
        }
        return ends;
    }
}

const outputsOf = (text: string): Env => Object.fromEntries(text.split("\n").flatMap((line) => (line ? [line.split(/=(.*)/s).slice(0, 2)] : [])));

/** A secret that is not set is nothing, as on GitHub, and so is what a step says that did not run. */
function filled(text: string, context: object): string {
    return `${text}`.replace(/\$\{\{ ([\w.-]+) \}\}/g, (_, name: string) => {
        const value = valueOf(name, context);
        if (value === undefined && !/^(secrets|steps)\./.test(name)) throw new Error(`the test says nothing of ${name}`);
        return `${value ?? ""}`;
    });
}

const valueOf = (name: string, context: object) =>
    name.split(".").reduce<unknown>((value, part) => (value as Record<string, unknown> | undefined)?.[part], context) as string | undefined;

/** The one form of condition that steps have here. */
function holds(condition: string, context: object): boolean {
    const [, name, text] = /^([\w.]+) != '(.*)'$/.exec(condition) ?? [];
    if (name === undefined) throw new Error(`the test does not understand: if: ${condition}`);
    return (valueOf(name, context) ?? "") !== text;
}
