import { hostname } from "node:os";
import { keep, kept } from "../workspace";

export interface Night {
    stack: string;
    commit: boolean;
    /** The lock file that the stack names. */
    lockFile: string;
}

/** How a night runs what it is made of, in the checkout. Both answer the exit status. */
export interface Hands {
    /** Shown as it goes. */
    run(program: string, ...args: string[]): number;
    /** A question, of which nothing is shown. */
    ask(program: string, ...args: string[]): number;
}

export interface Result {
    /** 0: updated, or nothing to do. 4: rolled back. 1: something went wrong. */
    status: 0 | 1 | 4;
    said: string;
}

const SAID: Record<number, string> = { 0: "updated", 3: "nothing to do", 4: "rolled back: the old version runs again" };

/**
 * What nightly.yml does, on a machine of the operator's own: a new release into the lock file, the update, the version that runs into the
 * repository, and a look at everything, drift included.
 * @param wasCut when the last night began, if it never ended: it could not tell that itself.
 */
export function night({ stack, commit, lockFile }: Night, hands: Hands, wasCut?: string): Result {
    const npm = (script: string, ...args: string[]) => hands.run("npm", "run", "-s", script, "--", ...args);
    const repository = commit ? new Repository(stack, lockFile, hands) : undefined;
    const wrong: string[] = repository?.begin() ?? [];
    let code: number | undefined;
    if (wrong.length === 0) {
        if (npm("images:update", "--newest", "--stack", stack) !== 0) wrong.push("images:update");
        else code = npm("update", "--stack", stack, "--yes");
        if (code !== undefined && !(code in SAID)) wrong.push(`update (it ended with ${code})`);
    }
    // What runs is known then; else the repository keeps what it says.
    if (code !== undefined && code in SAID) wrong.push(...(repository?.commit() ?? []));
    else repository?.takeBack();
    if (![0, 3].includes(npm("verify", "--stack", stack))) wrong.push("verify"); // 3: something cannot be told from here
    const done = code !== undefined ? SAID[code] : undefined;
    if (wasCut) wrong.push(`the night that began ${wasCut} was cut short`);
    const failed = wrong.length > 0 ? `went wrong: ${wrong.join(", ")}` : undefined;
    return { status: failed ? 1 : code === 4 ? 4 : 0, said: [done, failed].filter(Boolean).join("; ") };
}

/** The repository that the checkout is: no more of it is committed than an update writes. */
class Repository {
    private files: string[] = [];
    private isClean = false;
    private hasUpstream = false;

    constructor(
        private readonly stack: string,
        private readonly lockFile: string,
        private readonly hands: Hands,
    ) {}

    /** Takes what was merged. Answers what went wrong. */
    begin(): string[] {
        // A lock file of one's own may be elsewhere.
        const isOurs = this.hands.ask("git", "ls-files", "--error-unmatch", "--", this.lockFile) === 0;
        this.files = [...(isOurs ? [this.lockFile] : []), `Pulumi.${this.stack}.yaml`];
        this.isClean = this.isAsCommitted(...this.files);
        this.hasUpstream = this.hands.ask("git", "rev-parse", "--verify", "@{upstream}") === 0;
        return this.hasUpstream && this.hands.run("git", "pull", "--quiet", "--ff-only") !== 0 ? ["git pull"] : [];
    }

    /** New releases that nothing runs on: left there, they would keep the nights after from committing. */
    takeBack(): void {
        // A stack file that was changed may need them: to be looked at.
        if (this.isClean && this.isAsCommitted(`Pulumi.${this.stack}.yaml`) && this.files.includes(this.lockFile))
            this.hands.run("git", "checkout", "--quiet", "--", this.lockFile);
    }

    /** Answers what went wrong. */
    commit(): string[] {
        if (this.isAsCommitted(...this.files)) return [];
        // Half of an operator's change, or what a night that was cut short left: to be looked at.
        if (!this.isClean) return [`commit (${this.files.join(" or ")} had changes before that are not committed: commit them, or undo them)`];
        const who = ["-c", "user.name=nightly", "-c", `user.email=nightly@${hostname()}`];
        const message = `${this.stack}: the version that runs since tonight`;
        const { run } = this.hands;
        if (run("git", ...who, "commit", "--quiet", "--no-gpg-sign", "--message", message, "--", ...this.files) !== 0) return ["git commit"];
        if (!this.hasUpstream) return [];
        // Somebody may have merged meanwhile.
        if (run("git", ...who, "pull", "--quiet", "--rebase", "--autostash") !== 0) {
            run("git", "rebase", "--abort"); // else the stack file has the marks of a conflict, and no command can read it
            return ["git pull (the commit is in the checkout: git pull --rebase there, and push)"];
        }
        return run("git", "push", "--quiet") === 0 ? [] : ["git push (the commit is in the checkout)"];
    }

    private isAsCommitted(...files: string[]): boolean {
        return this.hands.ask("git", "diff", "--quiet", "HEAD", "--", ...files) === 0;
    }
}

/** How the last night went. Without an end, it runs still or was killed. */
export interface NightRecord {
    began: string;
    ended?: string;
    status?: number;
    said?: string;
}

export const writeRecord = (file: string, record: NightRecord): void => keep(file, record);

/** One that was left half is of a night that was killed. */
const readRecord = (file: string) => kept<NightRecord>(file, { began: "at an unknown time" });

/** When the last night began, if it was killed. To be asked when none runs. */
export function wasCutShort(file: string): string | undefined {
    const { began, ended } = readRecord(file) ?? {};
    return ended ? undefined : began;
}

export function lastNight(file: string): string {
    const record = readRecord(file);
    if (!record) return "none yet";
    const { began, ended, status, said } = record;
    return ended ? `${ended}: ${said} (exit status ${status})` : `began ${began}, and has not ended: it runs, or was killed`;
}
