import * as auto from "@pulumi/pulumi/automation";
import { converge } from "../operate/converge";
import { docker } from "../operate/health";
import type { Rehearsal } from "../operate/rehearsal";
import { openStack } from "../operate/session";
import { prepareWorkspace } from "../operate/workspace";
import { bareProgram, bareRest } from "./bare";
import { Probes, composeFile } from "./compose";
import { Graph, readGraph } from "./graph";
import { Compose, Place, bench, empty, forget, loadConfig, machineOf, mustBe, wipe } from "./host";
import { measureLoad } from "./load/measure";
import { Readings, report } from "./report";
import { SshBench } from "./ssh";

const HELP = `npm run bench [-- --rounds N]

Measures what this program costs against doing the same without it, each pair in turn on the same machine and the same
images, and writes bench/REPORT.md. It runs on the rehearsal's Docker host (Debian or Ubuntu, root, Go 1.26) and takes
about twenty minutes.

  --rounds N   how often each thing is measured; the report shows medians (default: 3)
`;

const STACK = "bench";
const NAME = `forwardemail-${STACK}`;

async function measure({ rehearsal, compose, rounds }: Place): Promise<string> {
    const load = await measureLoad(loadConfig(rehearsal), Math.max(rounds, 5));
    const readings = await new Bench(rehearsal, compose).run(rounds);
    return report(readings, load, machineOf(rehearsal), rounds);
}

class Bench {
    private readonly dockerHost: string;
    private readonly apiVersion: string;
    private readonly readings: Readings = {};

    constructor(
        private readonly rehearsal: Rehearsal,
        private readonly compose: Compose,
    ) {
        this.dockerHost = rehearsal.host.dockerHost;
        this.apiVersion = docker(["version", "--format", "{{.Server.APIVersion}}"], this.dockerHost).trim();
    }

    /** Interleaved, so that a slow minute of the machine meets everyone. The first round is for warming up. */
    async run(rounds: number): Promise<Readings> {
        await this.ours();
        for (const name of Object.keys(this.readings)) delete this.readings[name];
        for (let round = 1; round <= rounds; round++) {
            console.log(`round ${round} of ${rounds}`);
            const { graph, rest } = await this.ours();
            await this.bare(graph, rest);
            await this.composed(graph, "compose", { kind: "ours", apiVersion: this.apiVersion });
            await this.composed(graph, "upstream", { kind: "upstream" });
        }
        wipe(this.dockerHost);
        await this.overSsh(rounds);
        return this.readings;
    }

    /** Against the same on this machine's Docker in the rounds before; a server with systemd in a container would slow those down. */
    private async overSsh(rounds: number): Promise<void> {
        const ssh = await SshBench.start(this.rehearsal, loadConfig(this.rehearsal));
        try {
            mustBe(await ssh.up(await ssh.fresh()));
            for (let round = 1; round <= rounds; round++) {
                const session = await ssh.fresh();
                await this.time("ssh up", async () => mustBe(await ssh.up(session)));
                await this.time("ssh up again", async () => onlySame(await session.stack.up()));
                await this.time("ssh npm run up again", async () => mustBe(await ssh.up(session)));
                await this.time("set-up again", async () => ssh.setUpAgain(session));
                await this.time("round trips", async () => ssh.roundTrips(session));
            }
        } finally {
            await ssh.stop();
        }
    }

    private async ours(): Promise<{ graph: Graph; rest: Record<string, number> }> {
        wipe(this.dockerHost);
        const open = () => openStack(STACK, loadConfig(this.rehearsal), this.rehearsal);
        await forget((await open()).stack);
        const session = await open();
        await this.time("ours up", async () => mustBe((await converge(session, () => undefined)).ok));
        await this.time("ours up again", async () => onlySame(await session.stack.up()));
        await this.time("ours npm run up again", async () => mustBe((await converge(session, () => undefined)).ok));
        await this.time("ours preview", () => session.stack.preview());
        const { deployment } = await session.stack.exportStack();
        return { graph: readGraph(NAME, this.dockerHost), rest: countRest(deployment.resources as Array<{ type: string }>) };
    }

    private async bare(graph: Graph, counts: Record<string, number>): Promise<void> {
        empty(graph, this.dockerHost);
        let rest: Record<string, number> = {};
        const program = async () => {
            bareProgram(graph, this.dockerHost, this.apiVersion);
            bareRest(rest, this.dockerHost);
        };
        const open = () => {
            const { directory, env } = prepareWorkspace("bench-bare", { "forwardemail:host": "bench.example" });
            return auto.LocalWorkspace.createOrSelectStack(
                { stackName: "bench-bare", projectName: "forwardemail", program },
                { workDir: directory, envVars: { ...env, ...this.rehearsal.env }, pulumiHome: env.PULUMI_HOME },
            );
        };
        await forget(await open());
        const stack = await open();
        await this.time("bare up", () => stack.up());
        rest = counts;
        await stack.up();
        await this.time("bare up again", async () => onlySame(await stack.up()));
        await this.time("bare preview", () => stack.preview());
    }

    private async composed(graph: Graph, name: string, probes: Probes): Promise<void> {
        empty(graph, this.dockerHost);
        this.compose.write(composeFile(graph, probes));
        const up = async () => this.compose.run("up", "--detach", "--wait");
        await this.time(`${name} up`, up);
        await this.time(`${name} up again`, up);
    }

    private async time(name: string, action: () => Promise<unknown>): Promise<void> {
        const start = performance.now();
        await action();
        const seconds = (performance.now() - start) / 1000;
        (this.readings[name] ??= []).push(seconds);
        console.log(`  ${name}: ${seconds.toFixed(1)} s`);
    }
}

/** Resources of a stack by type, but for those that the bare program has anyway. */
function countRest(resources: Array<{ type: string }>): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { type } of resources)
        if (!/^pulumi:|^docker:index\/(container|remoteImage|network):/.test(type)) counts[type] = (counts[type] ?? 0) + 1;
    return counts;
}

function onlySame({ summary }: auto.UpResult): void {
    const others = Object.entries(summary.resourceChanges ?? {}).filter(([change, count]) => change !== "same" && count);
    if (others.length > 0) throw new Error(`A second up changed something: ${JSON.stringify(others)}. A figure of it would mean nothing.`);
}

bench(HELP, STACK, "REPORT.md", measure).catch((error: Error) => {
    console.error(error.message);
    process.exitCode = 1;
});
