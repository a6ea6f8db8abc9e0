import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { SCRIPT } from "../components/backups/backups";
import { OPEN, RESTORE_AT_START, SCHEDULE, UNDO_SCHEDULE } from "../components/backups/host/setUp";
import { RENEW } from "../components/certificates/host/renew";
import { REGISTER, SECRETS, SET_UP, UNDO_SECRETS, UNDO_SET_UP } from "../components/certificates/host/setUp";
import { BUILD } from "../components/image/build";
import { MONGODB, REDIS } from "../components/services/databases";
import { DOCKER_SOCKET, SshConnection, overSsh } from "../components/server/connection";
import { BANS, UNDO_BANS } from "../components/server/host/bans";
import { DISK } from "../components/server/host/disk";
import { ENGINE, UNDO_ENGINE } from "../components/server/host/engine";
import { CONFIRM, FIREWALL, UNDO_FIREWALL } from "../components/server/host/firewall";
import { LOGINS } from "../components/server/host/logins";
import { MUST_PASS } from "../components/server/host/preflight";
import { SYSTEM, UNDO_SYSTEM } from "../components/server/host/system";
import { INSTALL } from "../components/services/files";
import { CLAIM, TOGETHER } from "../components/services/store";
import { obstacle } from "../test/rig/obstacle";
import { PROJECT } from "./stackFile";

const HELP = `npm test [-- LAYER ...]

Runs the layers lint, unit, plan and e2e, or those named, and ends with how many tests passed and failed. The layer long
(npm run test:long) runs only when it is named: end-to-end tests that take minutes each.
e2e and long need root on a Debian or Ubuntu machine, Go 1.26 and about half an hour; where they cannot run, they are named as not run.
In CI (CI=true) a layer that did not run is a failure.
`;

const LAYERS = ["lint", "unit", "plan", "e2e"];
const ON_REQUEST = ["long"];

function main(): void {
    const wanted = process.argv.slice(2);
    if (wanted.includes("--help") || wanted.includes("-h") || wanted.some((layer) => ![...LAYERS, ...ON_REQUEST].includes(layer))) {
        process.stdout.write(HELP);
        process.exitCode = wanted.includes("--help") || wanted.includes("-h") ? 0 : 2;
        return;
    }
    const totals = { passed: 0, failed: 0 };
    const notRun: string[] = [];
    for (const layer of wanted.length > 0 ? wanted : LAYERS) {
        const reason = ["e2e", "long"].includes(layer) ? obstacle() : undefined;
        if (layer === "lint") notRun.push(...missingLinters());
        if (reason) notRun.push(`${layer}: ${reason}`);
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

/** Type check, linter, formatter, ShellCheck and actionlint; each counts as one test. */
function lint(): Totals {
    const bin = (tool: string) => path.join(PROJECT, "node_modules/.bin", tool);
    const checks: Record<string, string[]> = {
        tsc: [bin("tsc"), "-p", "."],
        eslint: [bin("eslint"), "."],
        prettier: [bin("prettier"), "--check", "--log-level", "warn", "."],
        ...(has("shellcheck", "--version") ? { shellcheck: ["shellcheck", "operate/run.sh", ".ci/run", ...writtenScripts()] } : {}),
        ...(has("go", "version") ? { actionlint: ["go", "run", ACTIONLINT] } : {}),
    };
    const failed = Object.entries(checks).filter(([, [tool, ...args]]) => spawnSync(tool, args, { cwd: PROJECT, stdio: "inherit" }).status !== 0);
    for (const [name] of failed) console.log(`FAIL ${name}`);
    return { passed: Object.keys(checks).length - failed.length, failed: failed.length };
}

/** Checks the workflows in .github; Go fetches and builds it, once. */
const ACTIONLINT = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12";

const has = (program: string, version: string) => spawnSync(program, [version]).status === 0;

function missingLinters(): string[] {
    return [
        ...(has("shellcheck", "--version") ? [] : ["lint: shellcheck is not installed: apt-get install shellcheck"]),
        ...(has("go", "version") ? [] : ["lint: actionlint needs Go 1.26 or newer, which is not installed: https://go.dev/dl"]),
    ];
}

const EXAMPLE: SshConnection = {
    alias: "x",
    address: "192.0.2.1",
    port: 22,
    user: "debian",
    hostKey: "ssh-ed25519 AAAA",
    socket: DOCKER_SOCKET,
    ownKey: true,
};

/** The host scripts of the program, as the golden plan has them, in files of their own. */
function writtenScripts(): string[] {
    const plan = JSON.parse(readFileSync(path.join(PROJECT, "test/plan/golden/dev.json"), "utf8")) as Array<{
        type: string;
        name: string;
        inputs: { create: string };
    }>;
    const directory = mkdtempSync(path.join(tmpdir(), "scripts-"));
    const scripts = Object.fromEntries(plan.filter(({ type }) => type === "command:local:Command").map(({ name, inputs }) => [name, inputs.create]));
    return Object.entries({
        ...scripts,
        claim: CLAIM,
        together: TOGETHER,
        install: INSTALL,
        preflight: MUST_PASS,
        system: SYSTEM,
        engine: ENGINE,
        disk: DISK,
        firewall: FIREWALL,
        confirm: CONFIRM,
        bans: BANS,
        logins: LOGINS,
        register: REGISTER,
        renew: RENEW,
        secrets: SECRETS,
        "set-up": SET_UP,
        backup: SCRIPT,
        open: OPEN,
        schedule: SCHEDULE,
        "restore-at-start": RESTORE_AT_START,
        undo: [UNDO_SYSTEM, UNDO_ENGINE, UNDO_FIREWALL, UNDO_BANS, UNDO_SECRETS, UNDO_SET_UP, UNDO_SCHEDULE]
            .map((script) => `(${script}\n)`)
            .join("\n"),
        confirmed: overSsh(EXAMPLE, { variables: ["A", "B"], confirm: CONFIRM, patience: 9 })[2],
        ssh: overSsh(EXAMPLE, { variables: ["A", "B"] })[2],
        mongodb: MONGODB,
        redis: REDIS,
        build: BUILD,
    }).map(([name, script]) => {
        const file = path.join(directory, `${name}.sh`);
        writeFileSync(file, `#!/bin/${name === "mongodb" ? "bash" : "sh"}\n${script}\n`);
        return file;
    });
}

function vitest(project: string): Totals {
    const report = path.join(PROJECT, "node_modules", `.vitest-${project}.json`);
    rmSync(report, { force: true });
    const run = spawnSync(
        path.join(PROJECT, "node_modules/.bin/vitest"),
        [
            "run",
            "--project",
            project,
            `--reporter=${["e2e", "long"].includes(project) ? "verbose" : "default"}`,
            "--reporter=json",
            `--outputFile=${report}`,
        ],
        {
            cwd: PROJECT,
            stdio: "inherit",
        },
    );
    if (!existsSync(report)) return { passed: 0, failed: 1 }; // it died before it could report
    const { numPassedTests, numTotalTests, success } = JSON.parse(readFileSync(report, "utf8")) as {
        numPassedTests: number;
        numTotalTests: number;
        success: boolean;
    };
    const failed = numTotalTests - numPassedTests; // a skipped test did not pass
    return { passed: numPassedTests, failed: failed > 0 ? failed : run.status === 0 && success && numTotalTests > 0 ? 0 : 1 };
}

main();
