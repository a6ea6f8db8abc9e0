import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { createInterface } from "node:readline";
import { converge } from "../operate/converge";
import type { Rehearsal } from "../operate/rehearsal";
import { Session, openStack } from "../operate/session";
import { Target, baseline, update } from "../operate/update/core";
import { Journal } from "../operate/update/journal";
import { look } from "../operate/update/target";
import { composeFile } from "./compose";
import { Graph, readGraph } from "./graph";
import { Compose, Place, bench, empty, forget, loadConfig, machineOf, mustBe, wipe } from "./host";
import { median } from "./report";
import type { Seen, Where } from "./watch";

const HELP = `npm run bench:update [-- --rounds N]

Measures what clients see of an update from one release to the next, by npm run update and by docker compose pull && docker compose up --detach
with upstream's dependencies and probes, in turn on the same machine and the same images, and writes bench/UPDATE.md. It runs on the rehearsal's
Docker host (Debian or Ubuntu, root, Go 1.26) and takes about twenty minutes.

  --rounds N   how often it is measured; the report shows medians (default: 3)
`;

const STACK = "bench";
const NAME = `forwardemail-${STACK}`;
const [FROM, TO] = ["v2.15.0", "v2.15.1"];
const PORTS = [25, 465, 993, 995];
const EVERY_MS = 50;

/** The same deployment by both releases. */
interface Graphs {
    from: Graph;
    to: Graph;
}

/** What one update did. */
interface Reading extends Seen {
    /** Until the command has ended and every port answers. */
    seconds: number;
}

async function measure({ rehearsal, compose, rounds }: Place): Promise<string> {
    const ours: Reading[] = [];
    const theirs: Reading[] = [];
    for (let round = 1; round <= rounds; round++) {
        console.log(`round ${round} of ${rounds}`);
        const { reading, graphs, where } = await byUpdate(rehearsal);
        ours.push(told("npm run update", reading));
        theirs.push(told("docker compose", await byCompose(compose, graphs, where, rehearsal)));
    }
    return report(ours, theirs, machineOf(rehearsal));
}

function told(name: string, reading: Reading): Reading {
    console.log(`  ${name}: ${JSON.stringify(reading)}`);
    return reading;
}

const withVersion = (rehearsal: Rehearsal, version: string) =>
    openStack(STACK, { ...loadConfig(rehearsal), "forwardemail:version": version }, rehearsal);

/** A fresh stack of the first release, and its update: what `npm run update` does after its question. */
async function byUpdate(rehearsal: Rehearsal): Promise<{ reading: Reading; graphs: Graphs; where: Where }> {
    wipe(rehearsal.host.dockerHost);
    await forget((await withVersion(rehearsal, FROM)).stack);
    let session: Session = await withVersion(rehearsal, FROM);
    const { ok, outputs } = await converge(session, () => undefined);
    mustBe(ok);
    const from = readGraph(NAME, rehearsal.host.dockerHost);
    const where = {
        address: rehearsal.host.address4,
        host: session.settings.host,
        ca: outputs.authority.value as string,
        portOffset: session.settings.network.portOffset,
        ports: PORTS,
        every: EVERY_MS,
    };
    const target: Target = {
        command: (script) => script,
        async bringTo(version) {
            session = await withVersion(rehearsal, version);
            return (await converge(session, () => undefined)).ok;
        },
        verify: () => look(session, STACK),
        back: () => Promise.resolve({}),
        close: () => Promise.reject(new Error("the update failed")),
    };
    const folder = mkdtempSync(path.join(tmpdir(), "bench-"));
    try {
        const before = baseline(await look(session, STACK), target.command, console.log);
        const reading = await watched(where, async () => {
            const outcome = await update({ from: FROM, to: TO, before }, target, new Journal(path.join(folder, "updates.jsonl")), console.log);
            mustBe(outcome === "updated");
        });
        return { reading, graphs: { from, to: readGraph(NAME, rehearsal.host.dockerHost) }, where };
    } finally {
        rmSync(folder, { recursive: true });
    }
}

/** The same containers by a compose file, on empty data, and the same update. */
async function byCompose(compose: Compose, { from, to }: Graphs, where: Where, { host }: Rehearsal): Promise<Reading> {
    empty(from, host.dockerHost);
    compose.write(composeFile(from, { kind: "upstream" }));
    compose.run("up", "--detach", "--wait");
    const names = Object.fromEntries(from.containers.map(({ service, name }) => [service, name])); // ours get another for each release
    const containers = to.containers.map((container) => ({ ...container, name: names[container.service] }));
    compose.write(composeFile({ ...to, containers }, { kind: "upstream" }));
    return watched(where, async () => {
        compose.run("pull");
        compose.run("up", "--detach");
    });
}

/** What clients see while something is done, and how long it takes until all is there again. */
async function watched(where: Where, action: () => Promise<void>): Promise<Reading> {
    const script = path.join(__dirname, "watch.ts");
    const child = spawn(process.execPath, ["--import", require.resolve("tsx"), script], { stdio: ["pipe", "pipe", "inherit"] });
    const closed = once(child, "close");
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const line = async (): Promise<string> => {
        const { value, done } = await lines.next();
        if (done) throw new Error("The process that watches the ports has ended: its error is above.");
        return value;
    };
    try {
        child.stdin.write(`${JSON.stringify(where)}\n`);
        await line();
        const start = performance.now();
        await action();
        child.stdin.end();
        const seen = JSON.parse(await line()) as Seen;
        return { ...seen, seconds: (performance.now() - start) / 1000 };
    } finally {
        child.kill();
        await closed;
    }
}

function report(ours: Reading[], theirs: Reading[], machine: string): string {
    const seconds = (readings: number[]) =>
        `${median(readings).toFixed(1)} s (${Math.min(...readings).toFixed(1)}–${Math.max(...readings).toFixed(1)})`;
    const row = (what: string, of: (reading: Reading) => number, target?: number) => {
        const [a, b] = [ours.map(of), theirs.map(of)];
        const ratio = median(a) / median(b);
        const met = target === undefined ? "|" : `≤ ${target} | ${ratio <= target ? "met" : "**missed**"}`;
        return `| ${what} | ${seconds(a)} | ${seconds(b)} | ${ratio.toFixed(2)} | ${met} |`;
    };
    const failures = (readings: Reading[]) => readings.map(({ failed, requests }) => `${failed} of ${requests}`).join(", ");
    const isNone = ours.every(({ failed }) => failed === 0);
    return `# What an update costs those who use the server

From one release of the application to the next (its stand-in; the same two images and the same machine for both, in turn, ${ours.length} rounds): \`npm run update\`, from its
question to its end, looks from outside included, without a set of backups; and \`docker compose pull && docker compose up --detach\` of the same fifteen
containers with upstream's dependencies and probes. A client connects to each mail port every ${EVERY_MS} ms and waits for the greeting; four more ask web, API, CalDAV and
CardDAV, each time over a new connection. Medians, with the smallest and the largest reading.

${new Date().toISOString().slice(0, 10)}, ${machine}. Made by \`npm run bench:update\`.

| what | npm run update | docker compose | ratio | wanted | |
|---|---|---|---|---|---|
| HTTPS requests that failed | ${failures(ours)} | ${failures(theirs)} |  | 0 | ${isNone ? "met" : "**missed**"} |
${PORTS.map((port) => row(`longest time without a greeting on ${port}`, ({ gaps }) => gaps[port] / 1000, 0.5)).join("\n")}
${row("until all is done and every port answers", (reading) => reading.seconds)}
`;
}

bench(HELP, STACK, "UPDATE.md", measure).catch((error: Error) => {
    console.error(error.message);
    process.exitCode = 1;
});
