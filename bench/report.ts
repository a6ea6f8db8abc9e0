import { parseArgs } from "node:util";
import type { Load } from "./load/program";

/** Seconds by what was measured, a reading each round. */
export type Readings = Record<string, number[]>;

interface Row {
    what: string;
    ours: number[];
    reference: number[];
    unit: "s" | "ms" | "MiB";
    /** Largest ratio that we want; undefined where the figure is only for information. */
    target?: number;
    /** Seconds over the reference that we want at most. */
    over?: number;
}

/** A report that a person can read: medians, their ratio, and whether it is what we want. */
export function report(readings: Readings, load: { ours: Load[]; bare: Load[]; resources: number }, machine: string, rounds: number): string {
    const row = (what: string, ours: string, reference: string, target?: number): Row => ({
        what,
        ours: readings[ours],
        reference: readings[reference],
        unit: "s",
        target,
    });
    const rows: Row[] = [
        row("fresh `up` to fifteen healthy services, against a bare Pulumi program of the same containers", "ours up", "bare up", 1.15),
        row("the same against `docker compose up --wait` with upstream's probes", "ours up", "upstream up", 0.2),
        row("the same against `docker compose up --wait` with our probes", "ours up", "compose up"),
        row("`preview` without a change, against as many bare resources", "ours preview", "bare preview", 1.3),
        row("`up` without a change, against as many bare resources", "ours up again", "bare up again"),
        row("`up` without a change, against `docker compose up --wait`", "ours up again", "compose up again"),
        row(
            "`npm run up` without a change (it also refreshes and checks health), against `docker compose up --wait`",
            "ours npm run up again",
            "compose up again",
        ),
        row("fresh `up` over SSH on a server that is set up, against this machine's Docker", "ssh up", "ours up"),
        row("`up` without a change over SSH, against this machine's Docker", "ssh up again", "ours up again"),
        row("`npm run up` without a change over SSH, against this machine's Docker", "ssh npm run up again", "ours npm run up again"),
        {
            ...row("every host script on a server that is right already, against as many bare SSH connections", "set-up again", "round trips"),
            over: 3,
        },
        {
            what: "loading and running the program, against the bare SDK",
            ours: of(load.ours, "milliseconds"),
            reference: of(load.bare, "milliseconds"),
            unit: "ms",
            target: 1.5,
        },
        { what: "its memory", ours: of(load.ours, "mebibytes"), reference: of(load.bare, "mebibytes"), unit: "MiB", target: 1.5 },
    ];
    return `# What it costs

Each line is measured in one run, in turn, on the same Docker host and the same images (those of the rehearsal). The time of a
fresh \`up\` is ours with everything it does: secrets, keys, certificates, claims of the data, files, and the look at every service's
health. The references find keys and empty volumes ready. Medians of ${rounds} rounds, with the smallest and the largest reading.

${new Date().toISOString().slice(0, 10)}, ${machine}. Made by \`npm run bench\`.

| what | ours | reference | ratio | wanted | |
|---|---|---|---|---|---|
${rows.map(line).join("\n")}

Loading is measured with Pulumi's mocks in a new process, compiled as Pulumi's language host does it; ${load.resources} resources on both sides.
`;
}

const of = (loads: Load[], key: keyof Load) => loads.map((load) => load[key]);

function line({ what, ours, reference, unit, target, over }: Row): string {
    const ratio = median(ours) / median(reference);
    const wanted = target !== undefined ? `≤ ${target}` : over !== undefined ? `≤ ${over} s more` : "";
    const isMet = target !== undefined ? ratio <= target : median(ours) - median(reference) <= (over ?? 0);
    const met = wanted === "" ? "" : isMet ? "met" : "**missed**";
    return `| ${what} | ${shown(ours, unit)} | ${shown(reference, unit)} | ${ratio.toFixed(2)} | ${wanted} | ${met} |`;
}

function shown(values: number[], unit: Row["unit"]): string {
    const text = (value: number) => value.toFixed(unit === "s" ? 1 : 0);
    return `${text(median(values))} ${unit} (${text(Math.min(...values))}–${text(Math.max(...values))})`;
}

/** What a bench is told: how often. Undefined where only its help was asked for, which is printed. */
export function readRounds(help: string): number | undefined {
    const { values } = parseArgs({ options: { rounds: { type: "string", default: "3" }, help: { type: "boolean", short: "h" } } });
    const rounds = Number(values.rounds);
    if (values.help) return void process.stdout.write(help);
    if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds: got ${values.rounds}, wanted a whole number from 1 on.`);
    return rounds;
}

export function median(values: number[]): number {
    const sorted = [...values].sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
