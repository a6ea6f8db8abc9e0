import * as pulumi from "@pulumi/pulumi";

/** One thing that is wrong with the stack's config, told so that the reader can mend it. */
export interface Problem {
    /** Config key, with the path inside it: `servers[0].kind`. */
    key: string;
    /** What is wrong: what was found and what was wanted. Never holds a secret value. */
    message: string;
    /** What to do about it. */
    fix: string;
}

/** All problems of a stack's config at once; Pulumi prints a RunError without a stack trace. */
export class SettingsError extends pulumi.RunError {
    constructor(
        stack: string,
        public readonly problems: Problem[],
    ) {
        const lines = problems.map((p) => `  - ${p.key}: ${p.message}\n      fix: ${p.fix}`);
        const count = problems.length === 1 ? "a problem" : `${problems.length} problems`;
        super([`The config of stack "${stack}" has ${count}; nothing was created or changed.`, ...lines].join("\n"));
    }
}

/** Mistakes in the arguments of a component, all at once; printed without a stack trace. */
export class ArgsError extends pulumi.RunError {
    constructor(component: string, name: string, problems: string[]) {
        super([`${component} "${name}":`, ...problems.map((problem) => `  - ${problem}`)].join("\n"));
    }
}
