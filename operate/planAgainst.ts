import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { PROJECT } from "./stackFile";

/** GitHub takes no longer comment, and nobody reads one. */
const MOST_CHARACTERS = 50_000;

/**
 * What the present files change in the plan of each stack since a commit, as Markdown. Needs neither state nor credentials, so it can be
 * shown of any pull request. The program of that commit runs on the node modules that are here.
 * @throws Error where there is no such commit.
 */
export function planAgainst(ref: string): string {
    const folder = mkdtempSync(path.join(tmpdir(), "plan-"));
    const base = path.join(folder, "base");
    try {
        git(["worktree", "add", "--detach", base, ref]);
        symlinkSync(path.join(PROJECT, "node_modules"), path.join(base, "node_modules"));
        const stacks = [...new Set([...stacksOf(base), ...stacksOf(PROJECT)])].sort();
        return stacks.map((stack) => section(stack, plan(base, stack), plan(PROJECT, stack), folder)).join("\n");
    } finally {
        rmSync(folder, { recursive: true, force: true });
        spawnSync("git", ["worktree", "prune"], { cwd: PROJECT });
    }
}

function git(args: string[]): void {
    const { status, stderr } = spawnSync("git", args, { cwd: PROJECT, encoding: "utf8" });
    if (status !== 0) throw new Error(`--against: ${stderr.trim()}. Fix: name a commit that is here (git fetch), such as origin/main`);
}

const stacksOf = (folder: string) => readdirSync(folder).flatMap((name) => /^Pulumi\.(.+)\.yaml$/.exec(name)?.[1] ?? []);

/** As JSON; or why there is none, which is a change as well. */
function plan(folder: string, stack: string): string {
    if (!stacksOf(folder).includes(stack)) return "";
    const tsx = path.join(PROJECT, "node_modules/.bin/tsx");
    const { status, stdout, stderr } = spawnSync(tsx, [path.join(folder, "operate/plan.ts"), stack, "--json"], {
        cwd: folder,
        encoding: "utf8",
        maxBuffer: 64 << 20,
    });
    return status === 0 ? stdout : stderr;
}

export function section(stack: string, before: string, after: string, folder: string): string {
    if (before === after) return `### ${stack}: no change\n`;
    mkdirSync(path.join(folder, "plans"), { recursive: true });
    const files = Object.entries({ before, after }).map(([name, text]) => {
        const file = path.join(folder, "plans", name);
        writeFileSync(file, text);
        return file;
    });
    const { stdout } = spawnSync("git", ["diff", "--no-index", "--unified=2", ...files], { encoding: "utf8", maxBuffer: 64 << 20 });
    const lines = stdout.slice(stdout.indexOf("@@")); // without the names of the two files
    const shown = lines.length > MOST_CHARACTERS ? `${lines.slice(0, MOST_CHARACTERS)}\n… and more: npm run plan -- --against COMMIT\n` : lines;
    return `### ${stack}\n\n\`\`\`\`diff\n${shown}\`\`\`\`\n`;
}
