import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { night } from "../../operate/schedule/night";
import { PROJECT } from "../../operate/stackFile";
import { Runner, workflow } from "./workflow";

// The steps of the workflows are run as they stand there, with programs in the place of those that need GitHub or a deployment.

const FILES = readdirSync(path.join(PROJECT, ".github/workflows"));
const PREVIEW = workflow("preview.yml");
const COMMENT = workflow("comment.yml");
const DEPLOY = workflow("deploy.yml");
const NIGHTLY = workflow("nightly.yml");

let folder: string;
let repository: string;
let runner: Runner;
beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), "workflows-"));
    repository = path.join(folder, "repository");
    mkdirSync(repository);
    runner = new Runner(folder, repository);
});
afterEach(() => rmSync(folder, { recursive: true }));

const ME = ["-c", "user.name=me", "-c", "user.email=me@example.com", "-c", "init.defaultBranch=main"];
const git = (...args: string[]) => execFileSync("git", [...ME, ...args], { cwd: repository, encoding: "utf8" }).trim();
const write = (name: string, text: string) => writeFileSync(path.join(repository, name), text);
const read = (name: string) => readFileSync(path.join(repository, name), "utf8");

/** A repository with two stacks, and the one that it was cloned from. */
function cloned(lockFile = "images.lock.json") {
    git("init", "-q");
    write("images.lock.json", "{}\n");
    write("own.lock.json", "{}\n");
    for (const stack of ["staging", "prod"]) write(`Pulumi.${stack}.yaml`, `version: v1\nlockFile: ${lockFile}\n`);
    write("other", "as it was\n");
    git("add", "-A");
    git("commit", "-q", "-m", "begin");
    git("clone", "-q", "--bare", repository, path.join(folder, "origin.git"));
    git("remote", "add", "origin", path.join(folder, "origin.git"));
    git("fetch", "-q");
    git("branch", "-q", "-u", "origin/main");
}

/** This very project, whose commands can be run. */
function copied() {
    const left = ["node_modules", ".git", ".work"].map((name) => path.join(PROJECT, name));
    cpSync(PROJECT, repository, { recursive: true, filter: (source) => !left.includes(source) });
    // Links count as installed: `npm ci` must never run in them.
    const modules = path.join(repository, "node_modules");
    mkdirSync(modules);
    const installed = readdirSync(path.join(PROJECT, "node_modules")).filter((name) => !name.startsWith(".") || name === ".bin");
    for (const name of installed) symlinkSync(path.join(PROJECT, "node_modules", name), path.join(modules, name));
    copyFileSync(path.join(PROJECT, "package-lock.json"), path.join(modules, ".package-lock.installed"));
}

const pushed = () => git("--git-dir", path.join(folder, "origin.git"), "log", "--format=%s", "main").split("\n");

/** npm, of whose scripts each ends as it should. `update` writes what it would, and leaves something behind that is nobody's. */
function npm(codes: Record<string, number>, meanwhile = "") {
    const ends = Object.entries(codes).map(([script, code]) => `${script}) exit ${code} ;;`);
    runner.program(
        "npm",
        `[ "$2" = -s ] && shift
case $2 in
images:update) file=$(sed -n 's/^lockFile: //p' "Pulumi.$6.yaml"); echo '{"v2": 1}' >"\${file:-images.lock.json}" ;;
update) echo "version: v2" >"Pulumi.$5.yaml"; echo half-done >other; ${meanwhile} ;;
esac
case $2 in ${ends.join(" ")} esac`,
    );
}

describe("all workflows", () => {
    test.each(FILES)("%s pins its actions by commit, and has no right that it does not name", (name) => {
        const { permissions, jobs } = workflow(name);
        expect(permissions).toBeDefined();
        const uses = Object.values(jobs).flatMap(({ steps }) => steps.flatMap(({ uses }) => uses ?? []));
        for (const action of uses) expect(action).toMatch(/@[0-9a-f]{40}$/);
    });

    test.each(FILES)("%s gives what others write to its steps as variables, never in their text", (name) => {
        for (const { steps } of Object.values(workflow(name).jobs)) for (const { run } of steps) expect(run ?? "").not.toContain("${{");
    });
});

describe("preview.yml", () => {
    test("says which stacks a change affects, in the summary and for comment.yml", () => {
        copied();
        rmSync(path.join(repository, "Pulumi.aws.example.yaml")); // two stacks are enough, and faster
        git("init", "-q");
        git("add", "-A");
        git("commit", "-q", "-m", "before");
        write("Pulumi.dev.yaml", read("Pulumi.dev.yaml").replace("profile: full", "profile: forwarding"));
        const { status, said } = runner.run(PREVIEW, "plan", { github: { event: { pull_request: { base: { sha: git("rev-parse", "HEAD") } } } } });
        expect({ status, said }).toEqual({ status: 0, said: "" });
        const plan = readFileSync(path.join(runner.temp, "plan.md"), "utf8");
        expect(plan).toMatch(/^### dev\n\n````diff\n@@/m);
        expect(plan).toMatch(/^### prod\.example: no change$/m);
        expect(readFileSync(runner.summary, "utf8")).toBe(plan);
    });

    test("has no secret and no right but to read", () => {
        expect(PREVIEW.permissions).toEqual({ contents: "read" });
        expect(JSON.stringify(PREVIEW)).not.toContain("secrets.");
        const upload = PREVIEW.jobs.plan.steps.find(({ uses }) => uses?.startsWith("actions/upload-artifact@"));
        expect(upload?.with).toMatchObject({ name: "plan", path: "${{ runner.temp }}/plan.md" });
    });
});

describe("comment.yml", () => {
    const SHA = "a".repeat(40);
    const RUN = {
        id: 7,
        head_sha: SHA,
        head_branch: "fix",
        head_repository: { full_name: "stranger/mail", owner: { login: "stranger" } },
        html_url: "https://github.com/me/mail/actions/runs/7",
    };
    const pull = (number: number, sha = SHA, from = "stranger/mail") => ({ number, head: { sha, repo: { full_name: from } } });
    const comment = (id: number, login: string, body = "<!-- plan -->\nold") => ({ id, user: { login }, body });
    const bot = "github-actions[bot]";

    /** Runs the job where GitHub has these pull requests and comments, and preview.yml left this text. */
    function run(plan: string | undefined, pulls: object[], comments: object[] = []) {
        const file = (name: string, text: string) => {
            writeFileSync(path.join(folder, name), text);
            return `'${path.join(folder, name)}'`;
        };
        const left = plan === undefined ? "" : `mkdir -p "$RUNNER_TEMP/plan"; cat ${file("left.md", plan)} >"$RUNNER_TEMP/plan/plan.md"`;
        // Pages follow each other.
        runner.program(
            "gh",
            `case "$*" in
"run download 7 --name plan --dir $RUNNER_TEMP/plan") ${left || "exit 1"} ;;
*"--method GET repos/me/mail/pulls -f state=open -f head=stranger:fix "*) cat ${file("pulls", JSON.stringify(pulls))} ;;
*"--paginate repos/me/mail/issues/"*"/comments?"*) cat ${file("comments", comments.map((one) => JSON.stringify([one])).join("\n") || "[]")} ;;
*"--method P"*) cp "$RUNNER_TEMP/comment.md" '${path.join(folder, "body")}' ;;
*) echo "unexpected: $*" >&2; exit 9 ;;
esac`,
        );
        const github = { token: "t", repository: "me/mail", event: { workflow_run: RUN } };
        const { status, said } = runner.run(COMMENT, "comment", { github });
        const end = ` -F body=@${path.join(runner.temp, "comment.md")} --silent`;
        const calls = runner.calls().filter((call) => / --method P/.test(call));
        const sent = calls.map((call) => call.replace(end, ""));
        const body = existsSync(path.join(folder, "body")) ? readFileSync(path.join(folder, "body"), "utf8") : "";
        return { status, said, sent, body };
    }

    const CHANGE = "### dev\n\n````diff\n@@ -1 +1 @@\n-a\n+b\n````\n\n### prod: no change\n";

    test("puts a new comment under the pull request that has the commit", () => {
        const { status, said, sent, body } = run(CHANGE, [pull(3, "b".repeat(40)), pull(4), pull(5, SHA, "other/mail")]);
        expect({ status, said }).toEqual({ status: 0, said: "" });
        expect(sent).toEqual(["gh api --method POST repos/me/mail/issues/4/comments"]);
        const fence = "`".repeat(8);
        const text = `### dev\n\n@@ -1 +1 @@\n-a\n+b\n\n### prod: no change\n`;
        expect(body).toBe(`<!-- plan -->\nWhat this changes in the plan of each stack, as of ${SHA}:\n\n${fence}diff\n${text}\n${fence}\n`);
    });

    test("changes its own comment, and nobody else's", () => {
        const others = [comment(1, "stranger"), comment(2, bot, "another workflow's"), comment(3, bot), comment(4, bot)];
        expect(run(CHANGE, [pull(4)], others).sent).toEqual(["gh api --method PATCH repos/me/mail/issues/comments/3"]);
        expect(run(CHANGE, [pull(4)], [comment(1, "stranger")]).sent).toEqual(["gh api --method POST repos/me/mail/issues/4/comments"]);
    });

    test("a plan without a change is no comment, unless there is one to correct", () => {
        const none = "### dev: no change\n\n### prod: no change\n";
        expect(run(none, [pull(4)])).toMatchObject({ status: 0, sent: [] });
        expect(run(none, [pull(4)], [comment(3, bot)])).toMatchObject({
            sent: [expect.stringContaining("PATCH")],
            body: expect.stringMatching(/dev: no/),
        });
    });

    test.each([
        ["that is long", `### dev\n${"x".repeat(200_000)}`],
        ["of characters of four bytes", `### dev\n${"𝕏".repeat(60_000)}`],
        ["of quotes, which JSON makes longer", `### dev\n${'"\\'.repeat(50_000)}`],
    ])("a text %s is cut off, and it is said where the rest is", (_, plan) => {
        const { status, body } = run(plan, [pull(4)]);
        expect(status).toBe(0);
        expect(Buffer.byteLength(body)).toBeGreaterThan(59_000);
        expect(Buffer.byteLength(body)).toBeLessThan(65_536);
        expect(body).toMatch(
            /\n`{8}\n\nIt was cut off here; more is in \[the summary of the run\]\(https:\/\/github\.com\/me\/mail\/actions\/runs\/7\)\.\n$/,
        );
        expect(body.includes("\ufffd")).toBe(false);
    });

    test.each(["`".repeat(8), "`".repeat(50_000), "~~~~~~~~\n````````", `\r${"`".repeat(9)}\r@everyone <img src=x>`, "a\0b\x1b[31m"])(
        "a text cannot leave its fence, nor bring control characters: %#",
        (evil) => {
            const { status, body } = run(`### dev\n${evil}\n[click](https://evil.example)\n`, [pull(4)]);
            expect(status).toBe(0);
            const lines = body.split(/\r\n|[\r\n]/);
            const fences = lines.flatMap((line, at) => (/^ {0,3}`{8,}/.test(line) ? [at] : []));
            expect(fences).toEqual([3, lines.length - 2]);
            // eslint-disable-next-line no-control-regex
            expect(/[\0-\x08\x0b-\x1f\x7f]/.test(body)).toBe(false);
        },
    );

    test.each([
        ["none has the commit any more", [pull(4, "b".repeat(40))]],
        ["none is open", []],
        ["two have it, with a plan each", [pull(4), pull(5)]],
    ])("where %s, it says so and writes nothing", (_, pulls) => {
        const { status, said, sent } = run(CHANGE, pulls);
        expect({ status, sent }).toEqual({ status: 0, sent: [] });
        expect(said).toMatch(/^::notice::Not one open pull request .*actions\/runs\/7$/m);
    });

    test("a plan that is not there, or is a link, fails it", () => {
        expect(run(undefined, [pull(4)])).toMatchObject({ sent: [], status: 1 });
        mkdirSync(path.join(runner.temp, "plan"));
        symlinkSync("/etc/passwd", path.join(runner.temp, "plan/plan.md"));
        runner.program("gh", `case "$*" in *pulls*) echo '${JSON.stringify([pull(4)])}' ;; esac`);
        expect(runner.run(COMMENT, "comment", { github: { token: "t", repository: "me/mail", event: { workflow_run: RUN } } }).status).toBe(1);
    });

    test("follows preview.yml, checks nothing out, and may only comment and read what was left", () => {
        expect(COMMENT.on).toEqual({ workflow_run: { workflows: [PREVIEW.name], types: ["completed"] } });
        expect(COMMENT.permissions).toEqual({});
        expect(COMMENT.jobs.comment.permissions).toEqual({ actions: "read", "pull-requests": "write" });
        expect(COMMENT.jobs.comment.if).toBe(
            "github.event.workflow_run.event == 'pull_request' && github.event.workflow_run.conclusion == 'success'",
        );
        expect(Object.values(COMMENT.jobs).flatMap(({ steps }) => steps.flatMap(({ uses }) => uses ?? []))).toEqual([]);
    });
});

describe("deploy.yml", () => {
    const STACKS = ["staging", "prod"];
    const up = (stack: string) => `npm run up -- --stack ${stack} --yes`;
    const verify = (stack: string) => `npm run -s verify -- --stack ${stack} --all`;

    test("brings up one stack after another, each looked at before the next", () => {
        npm({ verify: 3 });
        expect(runner.runAll(DEPLOY, "up", STACKS)).toEqual([0, 0]);
        expect(runner.calls()).toEqual(STACKS.flatMap((stack) => [up(stack), verify(stack)]));
    });

    test.each([
        ["an up", { up: 1 }, [up("staging")]],
        ["a look", { verify: 1 }, [up("staging"), verify("staging")]],
    ])("%s that fails stops the rest", (_, codes, calls) => {
        npm(codes);
        expect(runner.runAll(DEPLOY, "up", STACKS)).toEqual([1]);
        expect(runner.calls()).toEqual(calls);
    });
});

/** What the timer of an operator's own machine runs. */
function ownNight(commit = true, lockFile = "images.lock.json") {
    const env = { ...process.env, HOME: folder, PATH: `${runner.bin}:${process.env.PATH}` };
    const by = (program: string, ...args: string[]) => spawnSync(program, args, { cwd: repository, env }).status ?? 1;
    return night({ stack: "prod", commit, lockFile }, { run: by, ask: by });
}

const NIGHTS: Array<[string, (lockFile?: string) => number]> = [
    ["nightly.yml", () => runner.runAll(NIGHTLY, "update", ["prod"])[0]],
    ["npm run schedule -- run --commit", (lockFile) => ownNight(true, lockFile).status],
];

describe.each(NIGHTS)("a night by %s", (_, act) => {
    const scripts = () => runner.calls().map((call) => call.replace(/^npm run (-s )?/, ""));
    const VERIFY = "verify -- --stack prod";
    const ALL = ["images:update -- --newest --stack prod", "update -- --stack prod --yes", VERIFY];
    const COMMIT = "prod: the version that runs since tonight";

    test.each([
        ["that updated", {}, true],
        ["that had nothing newer", { update: 3 }, true],
        ["that went back to the old version", { update: 4 }, false],
        ["of which something could not be told", { verify: 3 }, true],
        ["after which a check fails", { verify: 1 }, false],
    ])("%s commits and pushes the stack's file and the lock file, and nothing else", (_, codes, isWell) => {
        cloned();
        npm(codes);
        expect(act() === 0).toBe(isWell);
        expect(scripts()).toEqual(ALL);
        expect(pushed()).toEqual([COMMIT, "begin"]);
        expect(git("show", "--name-only", "--format=", "origin/main").split("\n")).toEqual(["Pulumi.prod.yaml", "images.lock.json"]);
        expect(git("status", "--porcelain")).toBe("M other");
    });

    test("of a stack with a lock file of its own commits that one", () => {
        cloned("own.lock.json");
        npm({});
        expect(act("own.lock.json")).toBe(0);
        expect(scripts()).toEqual(ALL);
        expect(git("show", "--name-only", "--format=", "origin/main").split("\n")).toEqual(["Pulumi.prod.yaml", "own.lock.json"]);
    });

    test("whose update failed commits nothing, is looked at, and fails", () => {
        cloned();
        npm({ update: 1 });
        expect(act()).toBe(1);
        expect(scripts()).toEqual(ALL);
        expect([pushed(), git("log", "--format=%s")]).toEqual([["begin"], "begin"]);
    });

    test("without a list of releases updates nothing, and fails", () => {
        cloned();
        npm({ "images:update": 1 });
        expect(act()).toBe(1);
        expect(scripts()).toEqual([ALL[0], VERIFY]);
        expect(pushed()).toEqual(["begin"]);
    });

    test("in which somebody merges has both in the repository", () => {
        cloned();
        git("clone", "-q", path.join(folder, "origin.git"), path.join(folder, "theirs"));
        npm({}, `(cd '${path.join(folder, "theirs")}' && git ${ME.join(" ")} commit -q --allow-empty -m merged && git push -q)`);
        expect(act()).toBe(0);
        expect(pushed()).toEqual([COMMIT, "merged", "begin"]);
    });
});

test("nightly.yml keeps the log of the updates from night to night, of those that went wrong too", () => {
    const { steps } = NIGHTLY.jobs.update;
    const at = (part: string) => steps.findIndex(({ id, uses }) => id === part || uses?.startsWith(`${part}@`));
    const [restore, update, save] = [at("actions/cache/restore"), at("update"), at("actions/cache/save")];
    expect([restore, update, save].every((place, index, all) => place > (all[index - 1] ?? -1))).toBe(true);
    expect(save).toBe(update + 1);
    expect(steps[save].if).toBe("always()");
    const { "restore-keys": known, ...kept } = steps[restore].with!;
    expect(kept).toEqual(steps[save].with);
    expect(kept.path).toBe(".work/updates");
    expect(kept.key.startsWith(known)).toBe(true);
});

describe("a night of the operator's own machine", () => {
    test("takes what was merged before, and updates nothing where it cannot", () => {
        cloned();
        npm({});
        git("clone", "-q", path.join(folder, "origin.git"), path.join(folder, "theirs"));
        git("-C", path.join(folder, "theirs"), "commit", "-q", "--allow-empty", "-m", "merged");
        git("-C", path.join(folder, "theirs"), "push", "-q");
        expect(ownNight()).toEqual({ status: 0, said: "updated" });
        expect(pushed()).toEqual(["prod: the version that runs since tonight", "merged", "begin"]);
        runner.calls();
        rmSync(path.join(folder, "origin.git"), { recursive: true });
        expect(ownNight()).toEqual({ status: 1, said: "went wrong: git pull" });
        expect(runner.calls()).toEqual(["npm run -s verify -- --stack prod"]);
    });

    test.each<[string, Record<string, number>]>([
        ["update", { update: 1 }],
        ["list of releases", { "images:update": 1 }],
    ])("whose %s failed takes back the lock file, which would keep the next one from committing", (_, codes) => {
        cloned();
        npm(codes, "git checkout -q Pulumi.prod.yaml");
        expect(ownNight().status).toBe(1);
        expect(read("images.lock.json")).toBe("{}\n");
        npm({});
        expect(ownNight()).toEqual({ status: 0, said: "updated" });
    });

    test("whose update failed leaves the lock file to a stack file that was changed, and to who has begun to change it", () => {
        cloned();
        npm({ update: 1 });
        ownNight();
        expect(read("images.lock.json")).toBe('{"v2": 1}\n');
        git("checkout", "-q", ".");
        write("images.lock.json", "mine\n");
        npm({ update: 1 }, "git checkout -q Pulumi.prod.yaml");
        ownNight();
        expect(read("images.lock.json")).not.toBe("{}\n");
    });

    test("updates, but does not commit what somebody has begun to change", () => {
        cloned();
        npm({});
        write("Pulumi.prod.yaml", "version: v1\nhalf: done\n");
        const { status, said } = ownNight();
        expect(status).toBe(1);
        expect(said).toMatch(
            /^updated; went wrong: commit \(images\.lock\.json or Pulumi\.prod\.yaml had changes before.*commit them, or undo them\)$/,
        );
        expect(git("log", "--format=%s")).toBe("begin");
    });

    test("commits in a repository without an upstream, and pushes nothing", () => {
        cloned();
        npm({});
        git("branch", "--unset-upstream");
        expect(ownNight()).toEqual({ status: 0, said: "updated" });
        expect([pushed(), git("log", "--format=%s").split("\n").length]).toEqual([["begin"], 2]);
    });

    test("says that a commit could not be pushed", () => {
        cloned();
        npm({}, `rm -r '${path.join(folder, "origin.git")}'`);
        expect(ownNight()).toEqual({
            status: 1,
            said: "updated; went wrong: git pull (the commit is in the checkout: git pull --rebase there, and push)",
        });
    });

    test("of which somebody has merged the opposite leaves files that can be read, and a branch", () => {
        cloned();
        git("clone", "-q", path.join(folder, "origin.git"), path.join(folder, "theirs"));
        const merge = `echo 'version: v3' >Pulumi.prod.yaml && git ${ME.join(" ")} commit -qam merged && git push -q`;
        npm({}, `(cd '${path.join(folder, "theirs")}' && ${merge})`);
        expect(ownNight()).toMatchObject({ status: 1, said: expect.stringContaining("git pull (the commit is in the checkout") });
        expect([read("Pulumi.prod.yaml"), git("symbolic-ref", "--short", "HEAD"), pushed()[0]]).toEqual(["version: v2\n", "main", "merged"]);
    });

    test.each([
        [{ update: 4 }, 4, "rolled back: the old version runs again"],
        [{ update: 1 }, 1, "went wrong: update (it ended with 1)"],
        [{ update: 3, verify: 1 }, 1, "nothing to do; went wrong: verify"],
    ])("without --commit leaves git alone: %o", (codes, status, said) => {
        npm(codes); // in a folder that is no repository
        for (const name of ["images.lock.json", "other"]) write(name, "");
        expect(ownNight(false)).toEqual({ status, said });
    });

    test("is kept, to be shown, and its webhook is tried where it went wrong", () => {
        copied();
        npm({ verify: 1 });
        const tsx = path.join(PROJECT, "node_modules/.bin/tsx");
        const env = { ...process.env, PATH: `${runner.bin}:${process.env.PATH}` };
        const args = [path.join(repository, "operate/schedule.ts"), "run", "--stack", "dev"];
        const { status, stdout, stderr } = spawnSync(tsx, args, { cwd: folder, env, encoding: "utf8" });
        const said = "updated; went wrong: verify";
        expect([status, stdout]).toEqual([1, `\nforwardemail-dev-nightly: ${said}.\n`]);
        expect(stderr).toMatch(/^ {2}warning: the webhook could not be told: Stack dev is not deployed/m);
        expect(JSON.parse(read(".work/nightly/dev.json"))).toMatchObject({ began: expect.any(String), ended: expect.any(String), status, said });
    });
});
