import { execFile } from "node:child_process";
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { deploy } from "../../components/deploy";
import { PROJECT, readStackFile, settingsFrom } from "../../operate/stackFile";
import npm from "../../package.json";

// What the documents say is held against the program: commands are run, names are looked up where they are declared.

/** Scripts for developers: another tool's command line, which has its own --help. Every other script is an operator's command. */
const DEVELOPERS = ["test:real", "lint", "format"];
const COMMANDS = Object.keys(npm.scripts).filter((name) => !DEVELOPERS.includes(name));
/** Commands that are another one with an option, and show that one's help. */
const SHORT_FOR: Record<string, string> = { rehearse: "up", "test:long": "test" };
/** What a document may name though the repository does not have it: made by running, upstream's, or the reader's. */
const ELSEWHERE = [".work", "setup.sh", "docker-compose-self-hosted.yml", "scripts", "backup", "OWNER"];

const read = (file: string) => readFileSync(path.join(PROJECT, file), "utf8");
const DOCUMENTS = ["README.md", "README.es.md", "CONTRIBUTING.md", ...readdirSync(path.join(PROJECT, "docs")).map((name) => `docs/${name}`)].filter(
    (name) => name.endsWith(".md"),
);
const README = read("README.md");

let copy: string;
let files: string[];
const helps = new Map<string, Run>();

// The commands run in a copy, so that what the documents tell a reader to do leaves nothing here. Its node modules are links to
// these and count as installed: `npm ci` never runs in it.
beforeAll(async () => {
    copy = mkdtempSync(path.join(tmpdir(), "docs-"));
    const left = ["node_modules", ".git", ".work"].map((name) => path.join(PROJECT, name));
    cpSync(PROJECT, copy, { recursive: true, filter: (source) => !left.includes(source) });
    files = (readdirSync(copy, { recursive: true }) as string[]).sort();
    const modules = path.join(copy, "node_modules");
    mkdirSync(modules);
    const installed = readdirSync(path.join(PROJECT, "node_modules")).filter((name) => !name.startsWith(".") || name === ".bin");
    for (const name of installed) symlinkSync(path.join(PROJECT, "node_modules", name), path.join(modules, name));
    copyFileSync(path.join(PROJECT, "package-lock.json"), path.join(modules, ".package-lock.installed"));

    const waiting = [...COMMANDS];
    const runner = async () => {
        for (let name = waiting.shift(); name; name = waiting.shift()) helps.set(name, await run("npm", "run", "-s", name, "--", "--help"));
    };
    await Promise.all([runner(), runner()]);
});
afterAll(() => rmSync(copy, { recursive: true }));

interface Run {
    status: number;
    stdout: string;
    stderr: string;
}

function run(program: string, ...args: string[]): Promise<Run> {
    return new Promise((resolve) => {
        const child = execFile(program, args, { cwd: copy }, (_, stdout, stderr) => resolve({ status: child.exitCode ?? -1, stdout, stderr }));
    });
}

describe("the commands", () => {
    test.each(COMMANDS)("%s shows its usage with --help", (name) => {
        const { status, stdout, stderr } = helps.get(name)!;
        expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
        const shown = SHORT_FOR[name] ?? name;
        expect(stdout).toMatch(shown === "test" ? /^npm test / : new RegExp(`^npm run (-s )?${shown} `));
    });
});

describe.each(DOCUMENTS)("documentation: %s", (document) => {
    const text = read(document);

    test("every npm command is a script, and gets its arguments after --", () => {
        for (const { line, name, rest } of commands(text)) {
            expect(Object.keys(npm.scripts), line).toContain(name);
            expect(rest, `${line}: npm would keep these for itself`).toMatch(/^(--( |$)|$|[|>&])/);
        }
    });

    test("every option is in the help of its command", () => {
        for (const { line, name, rest } of commands(text)) for (const option of options(rest)) expect(helpOf(name), line).toContain(option);
        // One that stands alone, as in "`down` takes `--rehearse`", is an option of some command at least.
        const known = COMMANDS.flatMap(helpOf);
        for (const alone of code(text).filter((span) => span.startsWith("--"))) for (const option of options(alone)) expect(known).toContain(option);
    });

    test("every link leads to a file, or to a heading", () => {
        for (const [, target] of text.matchAll(/\]\((?!https?:)([^)\s]*)\)/g)) {
            const [file, anchor] = target.split("#");
            const found = file === "" ? document : path.join(path.dirname(document), file);
            expect(existsSync(path.join(PROJECT, found)), target).toBe(true);
            if (anchor) expect(headings(found).map(anchorOf), target).toContain(anchor);
        }
        for (const [said, file, heading] of text.matchAll(/(\w+\.md), "([^"]+)"/g)) expect(headings(file), said).toContain(heading);
    });

    test("every path is in the repository, every package in package.json", () => {
        for (const name of paths(text)) expect(files.some(matcher(name)), name).toBe(true);
        const packages = Object.keys({ ...npm.dependencies, ...npm.devDependencies });
        for (const name of code(text).filter((span) => /^@[\w-]+\/[\w-]+$/.test(span))) expect(packages).toContain(name);
    });

    test("every config key that it names is in docs/configuration.md", () => {
        const known = keys(read("docs/configuration.md"));
        const top = known.filter((key) => !key.includes("."));
        const dotted = code(text).filter((span) => /^[a-z]\w*(\.\w+)+$/i.test(span) && !FILE.test(span) && top.includes(span.split(".")[0]));
        const set = [...text.matchAll(/config set (?:--secret )?([a-z]\w*)/g)].map(([, key]) => key);
        for (const key of [...dotted, ...set]) expect(known).toContain(key);
    });
});

describe("documentation: README.md", () => {
    test("the keys to begin with are keys", () => {
        const table = /^\| key \| meaning \|\n(\|.*\n)+/m.exec(README)?.[0] ?? "";
        expect(keys(table).length).toBeGreaterThan(0);
        for (const key of keys(table)) expect(keys(read("docs/configuration.md"))).toContain(key);
    });

    test("the outputs are those of the deployment", async () => {
        const row = /^\| `npm run -s output .*` \|(.*)\|$/m.exec(README)?.[1] ?? "";
        // A first preview: what providers would make is not known, so nothing asks for it.
        const mocks = { newResource: ({ inputs }: pulumi.runtime.MockResourceArgs) => ({ id: undefined, state: inputs }), call: () => ({}) };
        const outputs = new Set<string>();
        const backups = {
            "forwardemail:backups": { provider: "s3", bucket: "sets", endpoint: "https://s3.example.com", accessKeyId: "KEY" },
            "forwardemail:backupSecretKey": { secure: "v1:x" },
            "forwardemail:backupPassphrase": { secure: "v1:x" },
            "forwardemail:restoreFrom": "latest",
        };
        for (const stack of ["dev", "prod.example"]) {
            await pulumi.runtime.setMocks(mocks, "forwardemail", stack, true, "organization");
            for (const name of Object.keys(deploy(settingsFrom(stack, { ...readStackFile(stack).config, ...backups }, { allowUnpinned: true }))))
                outputs.add(name);
            await pulumi.runtime.disconnect();
        }
        const named = code(row.replace(/\(.*?\)/g, ""));
        expect(named.sort()).toEqual([...outputs].sort());
    });

    // What needs an engine is run by the end-to-end tests, through the same commands.
    test("what it tells to copy can be copied, and every stack that it names then has a plan", async () => {
        const lines = shell(README);
        const copies = lines.filter((line) => line.startsWith("cp "));
        expect(copies).not.toEqual([]);
        for (const line of copies) expect(await run("sh", "-c", line)).toEqual({ status: 0, stdout: "", stderr: "" });
        const named = lines.flatMap((line) => [...line.matchAll(/(?:--stack|stack (?:init|select)|run plan --) (\w+)/g)].map(([, stack]) => stack));
        for (const stack of new Set(["dev", ...named])) {
            const { status, stdout, stderr } = await run("npm", "run", "-s", "plan", "--", stack);
            expect({ status, stderr }, `plan of ${stack}`).toEqual({ status: 0, stderr: "" });
            expect(stdout).toContain(`forwardemail-${stack}-mx `);
        }
    });
});

// A translation that falls behind is worse than none.
describe("documentation: README.es.md is README.md in Spanish", () => {
    const spanish = read("README.es.md");

    test("with the same headings", () => {
        const levels = (text: string) => [...text.replace(FENCE, "").matchAll(/^(#+) /gm)].map(([, marks]) => marks);
        expect(headings("README.md")).toEqual(HEADINGS.map(([english]) => english));
        expect(headings("README.es.md")).toEqual(HEADINGS.map(([, inSpanish]) => inSpanish));
        expect(levels(spanish)).toEqual(levels(README));
    });

    test("with the same commands, in its table and to copy, and the same keys", () => {
        expect(keys(README)).toContainEqual(expect.stringMatching(/^npm run up /));
        expect(keys(spanish)).toEqual(keys(README));
        expect(shell(spanish)).toEqual(shell(README));
    });

    test("with the same tables, points and links", () => {
        const rows = (text: string) => text.match(/^(\||- \*\*)/gm);
        const links = (text: string) =>
            [...text.matchAll(/\]\(([^)]*)\)/g)].map(([, target]) => target).filter((target) => !target.startsWith("README"));
        expect(rows(spanish)).toEqual(rows(README));
        expect(links(spanish)).toEqual(links(README));
    });
});

/** In their order. A heading that changes in one of the two changes here, so that somebody looks at the other. */
const HEADINGS = [
    ["Forward Email, self-hosted, by `pulumi up`", "Forward Email autoalojado, con `pulumi up`"],
    ["Quick start", "Inicio rápido"],
    ["Your own domain", "Su propio dominio"],
    ["Commands", "Comandos"],
    ["Configuration", "Configuración"],
    ["How it works", "Cómo funciona"],
    ["How it differs from upstream's `setup.sh`", "En qué se diferencia del `setup.sh` original"],
    ["Developing", "Desarrollo"],
];

const FILE = /\.(ts|mts|mjs|md|json|yaml|yml|sh)$/;
const FENCE = /^```(\w*)\n([^]*?)^```$/gm;

/** Lines of the fenced `sh` blocks, without comments. */
function shell(text: string): string[] {
    const blocks = [...text.matchAll(FENCE)].filter(([, language]) => language === "sh");
    const lines = blocks.flatMap(([, , body]) => body.replaceAll("\\\n", " ").split("\n"));
    return lines.map((line) => line.replace(/(^| )#.*/, "").trim()).filter((line) => line !== "");
}

/** What stands in backticks; a line may end inside. */
const code = (text: string) => [...text.replace(FENCE, "").matchAll(/`([^`]+)`/g)].map(([, span]) => span.replace(/\s+/g, " "));

/** Every npm command, shown in code or named in a sentence; `rest` is what follows its name, in code. */
function commands(text: string): Array<{ line: string; name: string; rest: string }> {
    const shown = [...shell(text).flatMap((line) => line.split(/ && |; /)), ...code(text)];
    const prose = text.replace(FENCE, "").replace(/`[^`]+`/g, "");
    const named = [...prose.matchAll(/\bnpm (?:run [\w:]+|test\b)/g)].map(([command]) => command);
    return [...shown, ...named].flatMap((line) => {
        const found = /^npm (?:run (?:-s )?([\w:-]+)|(test(?::\w+)?))\s*(.*)$/.exec(line);
        return found ? [{ line, name: found[1] ?? found[2], rest: found[3] }] : [];
    });
}

const options = (text: string) => text.match(/(?<![\w-])--[a-z][\w-]*/g) ?? [];
const helpOf = (command: string) => options(helps.get(command)?.stdout ?? "");

/** First cells of the tables' rows, where they are code. */
const keys = (text: string) => [...text.matchAll(/^\| `([^`]+)` \|/gm)].map(([, key]) => key);

const headings = (file: string) =>
    [
        ...read(file)
            .replace(FENCE, "")
            .matchAll(/^#+ (.*)$/gm),
    ].map(([, heading]) => heading);
/** As GitHub makes it. */
const anchorOf = (heading: string) =>
    heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}_\- ]/gu, "")
        .replaceAll(" ", "-");

/**
 * Paths that a document names, in code or not: what starts with a folder of the repository, or ends like a file of it. Not addresses,
 * and not what is elsewhere or what a reader is told to copy.
 */
function paths(text: string): string[] {
    const folders = readdirSync(PROJECT, { withFileTypes: true }).filter((entry) => entry.isDirectory() && !entry.name.startsWith("."));
    const inFolder = new RegExp(`^(${folders.map(({ name }) => name).join("|")})/`);
    const words = text.replace(/\w+:\/\/\S+/g, "").match(/(?<![\w/@.<>*-])[\w.<][\w./<>*-]*/g) ?? [];
    const named = words.map((word) => word.replace(/[./]+$/, "")).filter((word) => FILE.test(word) || inFolder.test(`${word}/`));
    const copied = shell(text).flatMap((line) => /^cp \S+ (\S+)$/.exec(line)?.[1] ?? []);
    return [...new Set(named)].filter((name) => ![...ELSEWHERE, ...copied].includes(name.split("/")[0]));
}

/** Whether a file is what a document calls `name`: its path or the end of it; `<stack>` and `*` stand for any name. */
function matcher(name: string): (file: string) => boolean {
    const pattern = name.split(/<\w+>|\*/).map((part) => part.replace(/[.+]/g, "\\$&"));
    const wanted = new RegExp(`(^|/)${pattern.join("[^/]+")}$`);
    return (file) => wanted.test(file);
}
