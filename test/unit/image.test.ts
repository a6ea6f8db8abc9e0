import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { BUILD } from "../../components/image/build";
import { SettingsError } from "../../components/errors";
import { Settings } from "../../components/settings/settings";
import { withBuilt } from "../../operate/machines";
import { planStack } from "../../operate/planned";
import { settingsFrom } from "../../operate/stackFile";

let folder: string;
let context: string;
beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), "image-"));
    context = path.join(folder, "source");
    mkdirSync(context);
    for (const file of ["pnpm-lock.yaml", ".env.schema"]) writeFileSync(path.join(context, file), "");
    writeFileSync(path.join(context, "package.json"), '{"version": "2.15.0"}');
    git("init", "--quiet");
    commit();
});
afterEach(() => rmSync(folder, { recursive: true }));

const git = (...args: string[]) => execFileSync("git", ["-C", context, "-c", "user.name=x", "-c", "user.email=x@example.org", ...args]);
const commit = () => {
    git("add", ".");
    git("commit", "--quiet", "--message", "x", "--allow-empty");
};

const REPOSITORY = "registry.example.com:5000/me/forwardemail-selfhosted";
const LOCK = { "forwardemail:images": { lockFile: "test/fixtures/images.lock.json" } };
const config = (build: object = {}, more: object = {}) => ({
    ...LOCK,
    "forwardemail:host": "mail.example.com",
    "forwardemail:image": { build: { context, repository: REPOSITORY, ...build } },
    ...more,
});
const settings = (build?: object, more?: object): Settings => settingsFrom("test", config(build, more));

/** Problems as `key: message`, with the fix behind it. */
function problems(build?: object, more?: object, options?: { allowUnpinned: boolean }): string[] {
    try {
        settingsFrom("test", config(build, more), options);
        return [];
    } catch (error) {
        if (error instanceof SettingsError) return error.problems.map(({ key, message, fix }) => `${key}: ${message} | ${fix}`);
        throw error;
    }
}
const PASSWORD = { "forwardemail:registryPassword": { secure: "v1:x" } };

describe("image.build", () => {
    test("a checkout and a repository are enough; the tag says the release and what it is made of", () => {
        const { build, images } = settings();
        expect(build).toMatchObject({ context, platforms: [], login: undefined, dockerHost: "unix:///var/run/docker.sock" });
        expect(build!.tag).toMatch(/^v2\.15\.0-[0-9a-f]{12}$/);
        expect(images.forwardemail).toEqual({ tag: build!.tag, reference: `${REPOSITORY}:${build!.tag}` });
        expect(images.redis.reference).toMatch(/@sha256:/);
    });

    test("another commit of the same files is the same image; other files, arguments or platforms are not", () => {
        const tag = (build?: object) => settings(build).build!.tag;
        const first = tag();
        commit();
        expect(tag()).toBe(first);
        writeFileSync(path.join(context, "untracked"), "");
        expect(tag()).toBe(first);
        const others = [tag({ args: { RUN_BASE: "node" } }), tag({ platforms: ["linux/arm64"] })];
        commit();
        expect(new Set([first, ...others, tag()]).size).toBe(4);
    });

    test("a server elsewhere does not build: this machine does", () => {
        const servers = [{ name: "vps", kind: "ssh", address: "203.0.113.7", hostKey: `ssh-ed25519 ${"A".repeat(68)}` }];
        expect(settings({}, { "forwardemail:servers": servers }).build!.dockerHost).toBeUndefined();
    });

    const SOURCE = "git clone https://github.com/forwardemail/forwardemail.net";
    test.each<[string, object, object, RegExp]>([
        ["no repository", { repository: undefined }, {}, /^image\.build\.repository: is missing, wanted a repository with its registry/],
        [
            "a tag",
            { repository: `${REPOSITORY}:v1` },
            {},
            /^image\.build\.repository: got ".*:v1", wanted a repository with its registry and without a tag/,
        ],
        ["no registry", { repository: "me/forwardemail" }, {}, /^image\.build\.repository: got "me\/forwardemail", wanted/],
        ["a platform that nobody has", { platforms: ["linux/386"] }, {}, /^image\.build\.platforms\[0\]: .*wanted linux\/amd64 or linux\/arm64/],
        ["an argument of two lines", { args: { A: "b\nc" } }, {}, /^image\.build\.args\.A: .*wanted text of one line/],
        ["a folder that is not there", { context: "/nowhere" }, {}, new RegExp(`^image\\.build\\.context: /nowhere does not exist \\| .*${SOURCE}`)],
        [
            "a folder of something else",
            { context: "test" },
            {},
            /test has no \.git, package\.json, pnpm-lock\.yaml, \.env\.schema, wanted a git checkout/,
        ],
        ["a version", {}, { "forwardemail:version": "v2.14.0" }, /^version: got v2\.14\.0 together with image\.build.* \| git checkout v2\.14\.0 in/],
        ["a user alone", { username: "me" }, {}, /^registryPassword: is missing, wanted the password of image\.build\.username/],
        ["a password alone", {}, PASSWORD, /^image\.build\.username: is missing/],
        ["a password for nothing", {}, { ...PASSWORD, "forwardemail:image": {} }, /^registryPassword: is given, but no image is built/],
        ["a password in clear text", { username: "me" }, { "forwardemail:registryPassword": "x" }, /^registryPassword: stands in clear text/],
    ])("%s", (_, build, more, problem) => {
        expect(problems(build, more)).toEqual([expect.stringMatching(problem)]);
    });

    test("changes that are not committed, no commit, no release", () => {
        writeFileSync(path.join(context, ".env.schema"), "A=\n");
        expect(problems()).toEqual([
            expect.stringMatching(/^image\.build\.context: .* changes that are not committed.* \| commit them, or take them back$/),
        ]);
        writeFileSync(path.join(context, "package.json"), "{}");
        expect(problems()).toEqual([expect.stringMatching(/package\.json has the version "undefined", wanted one such as 2\.15\.0/)]);
        writeFileSync(path.join(context, "package.json"), '{"version": "2.15.0"}');
        rmSync(path.join(context, ".git"), { recursive: true });
        git("init", "--quiet");
        expect(problems()).toEqual([expect.stringMatching(/^image\.build\.context: git cannot read .*HEAD/i)]);
    });

    test("a plan that nobody runs does without the checkout", () => {
        expect(problems({ context: "/nowhere" }, {}, { allowUnpinned: true })).toEqual([]);
    });
});

describe("the plan", () => {
    test("builds once, and everything of the application runs what was built; no secret is in it", async () => {
        const plan = await planStack("dev", config({ username: "me" }, PASSWORD));
        const built = plan.find(({ name }) => name === "forwardemail-dev-image")!;
        expect(built.inputs).toMatchObject({ stdin: "[secret]", environment: { REGISTRY: "registry.example.com:5000", LOGIN: "me" } });
        const reference = expect.stringMatching(/^registry\.invalid\/built:planned@sha256:/) as string;
        const inputsOf = (name: string) => plan.find((one) => one.name === name)!.inputs as { image: string; name: string; create: string };
        expect(["mx", "bree"].map((name) => inputsOf(`forwardemail-dev-${name}`).image)).toEqual([reference, reference]);
        expect(inputsOf("forwardemail-dev-forwardemail").name).toEqual(reference);
        expect(inputsOf("forwardemail-dev-mailboxes-claim").create).toContain("'registry.invalid/built:planned@sha256:");
        expect(inputsOf("forwardemail-dev-redis").image).toMatch(/redis:/);
        const provider = plan.find(({ type }) => type === "pulumi:providers:docker")!.inputs;
        expect(JSON.stringify(provider)).toContain("[secret]");
    });
});

test("what runs is compared with the digest that the state has, once there is one", () => {
    const all = settings();
    const reference = `${REPOSITORY}:v2.15.0-abc@sha256:${"1".repeat(64)}`;
    const urn = `urn:pulumi:test::forwardemail::command:local:Command::${all.name}-image`;
    const found = withBuilt(all, [{ urn, type: "command:local:Command", outputs: { stdout: reference } }]);
    expect(found).toEqual({ ...all.images, forwardemail: { tag: "v2.15.0-abc", reference } });
    expect(withBuilt(all, [])).toEqual(all.images);
});

describe("the script", () => {
    const DIGEST = `sha256:${"a".repeat(64)}`;
    /** A docker that keeps its arguments, its standard input at a log-in, and the source that it is given. */
    const FAKE = `#!/bin/sh
echo "$*" >>"$CALLS"
case $1 in
context) echo unix:///run/other.sock ;;
login) cat >"$CALLS.stdin"; [ -z "$REFUSED" ] || { echo "unauthorized" >&2; exit 1; } ;;
pull)
    [ -z "$THERE" ] || { echo "Digest: ${DIGEST}"; exit; }
    echo "\${PULL:-Error response from daemon: manifest for r.example.com/x:v1 not found: manifest unknown}" >&2
    exit 1 ;;
build) for last; do :; done; ls -A "$last" >"$CALLS.source" ;;
push) echo "v1: digest: ${DIGEST} size: 1" ;;
buildx)
    if [ "$2" = version ]; then [ -n "$BUILDX" ]; exit; fi
    while [ "$1" != --metadata-file ]; do shift; done
    printf '{\\n  "containerimage.digest": "${DIGEST}"\\n}' >"$2" ;;
esac
`;
    const calls = () => readFileSync(path.join(folder, "calls"), "utf8").trim().split("\n");

    function build(environment: Record<string, string> = {}, input = "") {
        writeFileSync(path.join(folder, "docker"), FAKE);
        chmodSync(path.join(folder, "docker"), 0o755);
        const tree = git("rev-parse", "HEAD^{tree}").toString().trim();
        const values = {
            CONTEXT: context,
            TREE: tree,
            IMAGE: "r.example.com/x:v1",
            DOCKERFILE: "FROM x",
            PLATFORMS: "",
            ARGUMENTS: "",
            LOGIN: "",
            REGISTRY: "r",
        };
        const fake = { CALLS: path.join(folder, "calls"), THERE: "", REFUSED: "", BUILDX: "", TMPDIR: folder };
        const env = { ...values, ...fake, ...environment, PATH: `${folder}:${process.env.PATH}` };
        return spawnSync("sh", ["-c", BUILD], { env, input, encoding: "utf8" });
    }

    test("builds only what is committed, pushes it, and says its digest", () => {
        writeFileSync(path.join(context, ".env"), "SECRET=x");
        const { status, stdout } = build({ ARGUMENTS: "A=1\nB=two words\n" });
        expect([status, stdout]).toEqual([0, `r.example.com/x:v1@${DIGEST}`]);
        expect(calls().map((line) => line.split(" ")[0])).toEqual(["pull", "build", "push"]);
        expect(calls()[1]).toMatch(/--tag r\.example\.com\/x:v1 .*--build-arg A=1 --build-arg B=two words /);
        expect(readFileSync(path.join(folder, "calls.source"), "utf8").trim().split("\n")).toEqual([".env.schema", "package.json", "pnpm-lock.yaml"]);
        expect(existsSync(path.join(folder, "docker"))).toBe(true);
    });

    test("does not build again what the registry has", () => {
        const { stdout } = build({ THERE: "yes", PLATFORMS: "linux/arm64,linux/amd64" });
        expect(stdout).toBe(`r.example.com/x:v1@${DIGEST}`);
        expect(calls()).toEqual(["pull --platform linux/arm64 r.example.com/x:v1"]);
    });

    test("does not build again what the registry does not answer for", () => {
        const { status, stdout, stderr } = build({ PULL: "Error response from daemon: Head https://r.example.com/v2/: net/http: timeout" });
        expect([status, stdout]).toEqual([1, ""]);
        expect(stderr).toMatch(/net\/http: timeout\n.* cannot be asked for at its registry\. Fix: /);
        expect(calls()).toHaveLength(1);
    });

    test("builds several platforms at once, where there is buildx", () => {
        const platforms = { PLATFORMS: "linux/amd64,linux/arm64" };
        expect(build(platforms)).toMatchObject({ status: 1, stdout: "", stderr: expect.stringContaining("Fix: install docker-buildx-plugin") });
        const { stdout } = build({ ...platforms, BUILDX: "yes" });
        expect(stdout).toBe(`r.example.com/x:v1@${DIGEST}`);
        expect(calls().at(-1)).toMatch(/^buildx build --push --platform linux\/amd64,linux\/arm64 /);
    });

    test("logs in aside, with the password on standard input; a refusal names the key", () => {
        const { status } = build({ LOGIN: "me" }, "a-password");
        expect(status).toBe(0);
        expect(calls()[1]).toBe("login --username me --password-stdin r");
        expect(readFileSync(path.join(folder, "calls.stdin"), "utf8")).toBe("a-password");
        const refused = build({ LOGIN: "me", REFUSED: "yes" }, "a-password");
        expect(refused).toMatchObject({
            status: 1,
            stderr: expect.stringMatching(/unauthorized\n.*Fix: image\.build\.username, and pulumi config set --secret/),
        });
    });
});
