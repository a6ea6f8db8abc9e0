import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import * as docker from "@pulumi/docker";
import * as auto from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { applicationImage } from "../../components/image/build";
import { DockerHost } from "../../components/server/dockerHost";
import { CATALOGUE, SERVICE_NAMES } from "../../components/services/catalogue";
import { loadSettings } from "../../components/settings/load";
import { docker as dockerOn } from "../../operate/health";
import { Rehearsal, startRehearsal, stopRehearsal } from "../../operate/rehearsal";
import { PROJECT, readProject } from "../../operate/stackFile";
import { WORK, prepareWorkspace } from "../../operate/workspace";
import { nodeBases } from "../rig/node";
import { DIRECTORY, HOST, HOST_NAME } from "./world";

// image/Dockerfile on stand-in bases and a stand-in source, built by the program, pushed to a real registry. One story: in order.

const STACK = "e2e-image";
const PASSWORD = "a-password-of-the-registry";
const ENTRIES = SERVICE_NAMES.flatMap((name) => CATALOGUE[name].entry ?? []);

let rehearsal: Rehearsal;
let stack: auto.Stack;
let source: string;
let build: object;
let built = "";
const said: string[] = [];

const onHost = (...args: string[]) => dockerOn(args, rehearsal.host.dockerHost, "merge");
/** Runs a shell line in the image as it is. */
const inImage = (line: string) => onHost("run", "--rm", "--network", "none", built, "sh", "-c", line).trim();
const onOutput = (text: string) => void said.push(text);
const git = (...args: string[]) => execFileSync("git", ["-C", source, "-c", "user.name=x", "-c", "user.email=x@example.org", ...args]);
const images = () => onHost("image", "ls", "--no-trunc", "--quiet", `${rehearsal.host.registry}/me/forwardemail-selfhosted`);

async function up(): Promise<{ image: string; changes: Record<string, number>; text: string }> {
    const from = said.length;
    const { outputs, summary } = await stack.up({ onOutput, onError: onOutput });
    const changes = summary.resourceChanges as Record<string, number>;
    return { image: outputs.image.value as string, changes, text: said.slice(from).join("") };
}

beforeAll(async () => {
    rehearsal = await startRehearsal(HOST_NAME, DIRECTORY, console.log);
    const old = onHost("image", "ls", "--quiet", `${rehearsal.host.registry}/me/forwardemail-selfhosted`).split("\n").filter(Boolean);
    if (old.length > 0) onHost("image", "rm", "--force", ...new Set(old));
    const args = await nodeBases(rehearsal, console.log);
    source = mkdtempSync(path.join(tmpdir(), "source-"));
    cpSync(path.join(PROJECT, "test/rig/source"), source, { recursive: true });
    for (const entry of ENTRIES) writeFileSync(path.join(source, entry), `console.log("${entry}", require("ms")(1000));\n`);
    writeFileSync(path.join(source, "made.txt"), `${Date.now()}`); // no earlier run has pushed this
    git("init", "--quiet");
    git("add", ".");
    git("commit", "--quiet", "--message", "v2.15.0");
    writeFileSync(path.join(source, ".env"), "A=secret that is not committed\n");
    build = { context: source, repository: `${rehearsal.host.registry}/me/forwardemail-selfhosted`, username: "me", args };
    await openStack();
});
afterAll(async () => {
    if (source) rmSync(source, { recursive: true });
    if (rehearsal) await stopRehearsal(rehearsal.name, DIRECTORY);
});

/** A stack of this build and nothing else, without a state. */
async function openStack(): Promise<void> {
    const config = { "forwardemail:host": HOST, "forwardemail:image": { build }, ...rehearsal.overlay };
    const program = async () => {
        const settings = loadSettings(PROJECT);
        const image = applicationImage(settings);
        const server = new DockerHost("server", { dockerHost: rehearsal.host.dockerHost, registry: settings.build?.login });
        const { imageId } = new docker.RemoteImage("pulled", { name: image, keepLocally: true }, { provider: server.provider });
        return { image, imageId };
    };
    const open = () => {
        const { directory, env } = prepareWorkspace(STACK, config);
        return auto.LocalWorkspace.createOrSelectStack(
            { stackName: STACK, projectName: readProject().name, program },
            { workDir: directory, envVars: { ...env, ...rehearsal.env }, pulumiHome: env.PULUMI_HOME },
        );
    };
    stack = await open();
    await stack.cancel(); // a run that was killed left its lock
    await stack.workspace.removeStack(STACK, { force: true });
    stack = await open();
    await stack.setConfig("forwardemail:registryPassword", { value: PASSWORD, secret: true });
}

describe("the program", () => {
    test("builds nothing in a preview", async () => {
        await stack.preview({ onOutput });
        expect(images()).toBe("");
    });

    test("builds what is committed, pushes it, and runs it by its digest", async () => {
        const { image } = await up();
        expect(image).toMatch(/^127\.0\.0\.1:5000\/me\/forwardemail-selfhosted:v2\.15\.0-[0-9a-f]{12}@sha256:[0-9a-f]{64}$/);
        built = image;
        const file = path.join(WORK, "state", ".pulumi", "stacks", "forwardemail", `${STACK}.json`);
        expect(readFileSync(file, "utf8") + said.join("")).not.toContain(PASSWORD);
    });
});

describe("the image", () => {
    test("runs as a user of its own, in production, as a deployment of one's own", () => {
        expect(inImage("id -un; id -u; pwd; echo $NODE_ENV $SELF_HOSTED").split("\n")).toEqual([
            "forwardemail",
            expect.not.stringMatching(/^0$/),
            "/app",
            "production true",
        ]);
        expect(inImage("node web.js")).toBe("web.js 1s");
    });

    test("has every service's entry point and the assets of a production build", () => {
        expect(inImage(`ls ${ENTRIES.join(" ")} build/css/app.css`).split("\n")).toHaveLength(ENTRIES.length + 1);
        expect(JSON.parse(inImage("cat build/rev-manifest.json"))).toEqual({
            isNumber: true,
            NODE_ENV: "production",
            SELF_HOSTED: "true",
            schema: ["TTI_APPLE_IMAP_USER", "WEB_HOST"],
        });
    });

    test("asks for no key of a service that a deployment of one's own does not use", () => {
        expect(inImage("grep -v '^#' .env.schema")).toBe("TTI_APPLE_IMAP_USER=\nWEB_HOST=");
    });

    test("has folders for data and keys that belong to its user", () => {
        const owners = inImage("stat -c '%U:%G %n' /app /app/ssl /mnt/sqlite_storage /app/web.js").split("\n");
        expect(owners).toEqual(["/app", "/app/ssl", "/mnt/sqlite_storage", "/app/web.js"].map((name) => `forwardemail:forwardemail ${name}`));
        expect(inImage("touch /mnt/sqlite_storage/x /app/ssl/x && echo written")).toBe("written");
    });

    test("has what probes and set-up scripts run, and a low port needs no privilege", () => {
        const programs = ["sh", "bash", "curl", "grep", "cut", "getconf", "timeout", "find", "base64", "chown", "openssl"];
        expect(inImage(programs.map((name) => `command -v ${name} >/dev/null || echo ${name}`).join("; "))).toBe("");
        const listen = 'require("net").createServer().listen(25, () => { console.log("listens"); process.exit(); })';
        const hardened = ["--cap-drop", "ALL", "--security-opt", "no-new-privileges"];
        expect(onHost("run", "--rm", ...hardened, built, "node", "-e", listen).trim()).toBe("listens");
    });

    test("has neither compilers nor package managers, nor what is not committed", () => {
        const tools = ["cc", "gcc", "make", "python3", "git", "npm", "npx", "pnpm", "corepack", "yarn"];
        expect(inImage(`for tool in ${tools.join(" ")}; do command -v $tool; done; ls -d .git .env 2>/dev/null; true`)).toBe("");
    });
});

describe("the program, again", () => {
    test("a second up builds nothing, and neither does one that has lost its state", async () => {
        const second = await up();
        expect(Object.keys(second.changes)).toEqual(["same"]);
        const before = images();
        await openStack();
        const { image, text } = await up();
        expect([image, images()]).toEqual([built, before]);
        expect(text).not.toContain("pnpm install");
    });

    test("a source that does not build fails the up with what the build said, and is not pushed", async () => {
        writeFileSync(path.join(source, "build.js"), 'throw new Error("the assets cannot be made");\n');
        git("commit", "--quiet", "--all", "--message", "broken");
        await expect(up()).rejects.toThrow(/the assets cannot be made/);
        expect(images().trim().split("\n")).toHaveLength(1);
        git("revert", "--no-edit", "HEAD");
    });

    test("another source is another image", async () => {
        writeFileSync(path.join(source, "web.js"), 'console.log("changed");\n');
        await expect(up()).rejects.toThrow(/has changes that are not committed/);
        git("commit", "--quiet", "--all", "--message", "a change");
        const { image, changes } = await up();
        expect(changes.update).toBe(1);
        expect(image.split("@")[0]).not.toBe(built.split("@")[0]);
        expect(image.split("@")[1]).not.toBe(built.split("@")[1]);
        built = image;
        expect(inImage("node web.js")).toBe("changed");
    });
});
