import { spawnSync } from "node:child_process";
import * as path from "node:path";
import { PROJECT } from "./stackFile";

const HELP = `npm test [-- LAYER ...]

Runs the layers lint, unit, plan and e2e, or those named, and ends with how many tests passed and failed.
e2e needs root on a Debian or Ubuntu machine, Go 1.26 and about ten minutes; where it cannot run, it is named as not run.
In CI (CI=true) a layer that did not run is a failure.
`;

const LAYERS = ["lint", "unit", "plan", "e2e"];

function main(): void {
    const wanted = process.argv.slice(2);
    if (wanted.includes("--help") || wanted.includes("-h") || wanted.some((layer) => !LAYERS.includes(layer))) {
        process.stdout.write(HELP);
        process.exitCode = wanted.some((layer) => layer.startsWith("-")) ? 0 : 2;
        return;
    }
    const totals = { passed: 0, failed: 0 };
    const notRun: string[] = [];
    for (const layer of wanted.length > 0 ? wanted : LAYERS) {
        const obstacle = layer === "e2e" ? e2eObstacle() : undefined;
        if (obstacle) notRun.push(`${layer}: ${obstacle}`);
        else add(totals, layer === "lint" ? lint() : vitest(layer));
    }
    for (const line of notRun) console.log(`not run: ${line}`);
    const unrun = process.env.CI === "true" ? notRun.length : 0;
    console.log(`${totals.passed} passed, ${totals.failed + unrun} failed`);
    process.exitCode = totals.failed + unrun > 0 ? 1 : 0;
}

interface Totals {
    passed: number;
    failed: number;
}

function add(totals: Totals, more: Totals): void {
    totals.passed += more.passed;
    totals.failed += more.failed;
}

/** Why the end-to-end layer cannot run on this machine, with the fix. */
function e2eObstacle(): string | undefined {
    if (process.platform !== "linux") return "it starts a Docker daemon in a network namespace, which needs Linux";
    if (process.getuid?.() !== 0) return "it starts a Docker daemon in a network namespace, which needs root: run it with sudo";
    const go = spawnSync("go", ["version"], { encoding: "utf8" });
    if (go.status !== 0) return "it builds the engine with Go 1.26 or newer, which is not installed: https://go.dev/dl";
    return undefined;
}

/** Type check, linter and formatter; each counts as one test. */
function lint(): Totals {
    const checks = [
        ["tsc", "-p", "."],
        ["eslint", "."],
        ["prettier", "--check", "--log-level", "warn", "."],
    ];
    const failed = checks.filter(
        ([tool, ...args]) => spawnSync(path.join(PROJECT, "node_modules/.bin", tool), args, { cwd: PROJECT, stdio: "inherit" }).status !== 0,
    );
    for (const [tool] of failed) console.log(`FAIL ${tool}`);
    return { passed: checks.length - failed.length, failed: failed.length };
}

function vitest(project: string): Totals {
    const report = path.join(PROJECT, "node_modules", `.vitest-${project}.json`);
    const run = spawnSync(
        path.join(PROJECT, "node_modules/.bin/vitest"),
        ["run", "--project", project, "--reporter=default", "--reporter=json", `--outputFile=${report}`],
        {
            cwd: PROJECT,
            stdio: "inherit",
        },
    );
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- written a moment ago
    const { numPassedTests, numTotalTests, success } = require(report) as { numPassedTests: number; numTotalTests: number; success: boolean };
    const failed = numTotalTests - numPassedTests; // a skipped test did not pass
    return { passed: numPassedTests, failed: failed > 0 ? failed : run.status === 0 && success && numTotalTests > 0 ? 0 : 1 };
}

main();
