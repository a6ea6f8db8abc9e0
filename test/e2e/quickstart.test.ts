import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { hostName, stopRehearsal } from "../../operate/rehearsal";
import { PROJECT } from "../../operate/stackFile";
import { parse } from "yaml";

// The README's first screen, as a newcomer meets it: a fresh copy without node modules, its commands, what they print, a mail.
// Other ports than the README's, so that a dev stack of this machine may run meanwhile.

const OFFSET = 14_000;
const README = readFileSync(path.join(PROJECT, "README.md"), "utf8");
const [START, , ...MAIL] = blocks("sh").slice(0, 2).join("").trim().split("\n");

let clone: string;
let readMail: string;
beforeAll(() => {
    clone = mkdtempSync(path.join(tmpdir(), "quickstart-"));
    const files = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], { cwd: PROJECT, encoding: "utf8" });
    for (const file of files.split("\0").filter(Boolean)) cpSync(path.join(PROJECT, file), path.join(clone, file));
    const config = path.join(clone, "Pulumi.dev.yaml");
    writeFileSync(config, readFileSync(config, "utf8").replace("portOffset: 10000", `portOffset: ${OFFSET}`));
    expect(parse(readFileSync(config, "utf8")).config["forwardemail:network"].portOffset).toBe(OFFSET);
});
afterAll(async () => {
    if (!clone) return;
    npm("down", "--delete-data", "forwardemail-dev");
    await stopRehearsal(hostName("dev", path.join(clone, "operate")), path.join(clone, ".work/rehearsal-dev"));
    rmSync(clone, { recursive: true });
});

function blocks(language: string): string[] {
    return [...README.matchAll(/^```(\w*)\n([^]*?)^```$/gm)].filter(([, of]) => of === language).map(([, , text]) => text);
}
const moved = (text: string) => text.replace(/:10(\d{3})\b/g, (_, port) => `:${OFFSET + Number(port)}`);
const npm = (script: string, ...args: string[]) => spawnSync("npm", ["run", "-s", script, "--", ...args], { cwd: clone, encoding: "utf8" });
const shell = (line: string) => execFileSync("sh", ["-c", moved(line)], { cwd: clone, encoding: "utf8" });

test("npm run up in a fresh copy ends with what the README shows, and changes no file", () => {
    expect(START).toMatch(/^git clone /);
    const before = readFileSync(path.join(clone, "Pulumi.dev.yaml"), "utf8");
    const { status, stdout, stderr } = npm("up", "--rehearse");
    expect(stdout, stderr).toContain(moved(blocks("")[0]));
    expect(status).toBe(0);
    expect(readFileSync(path.join(clone, "Pulumi.dev.yaml"), "utf8")).toBe(before);
});

test("its first steps, in a browser's requests, and its commands lead to a mail that is read", () => {
    const { username, password } = JSON.parse(shell("npm run -s output -- firstRun"));
    const web = (user: string, page: string, form: string) =>
        shell(`curl -sS --fail --cacert authority.pem --user '${user}' ${form} https://mail.localhost:10443${page}`);
    const [trust, send, read, ...rest] = MAIL.map(moved);
    expect([trust, send, read, rest]).toEqual([
        expect.stringContaining("> authority.pem"),
        expect.stringContaining("--upload-file"),
        expect.stringContaining("imaps:"),
        [],
    ]);
    shell(trust);
    web(`${username}:${password}`, "/setup", "-d email=root@example.localhost -d password=of-the-administrator");
    const page = web("root@example.localhost:of-the-administrator", "/mailboxes", "-d address=you@example.localhost");
    const [, generated] = /password <code>(\w+)</.exec(page)!;
    shell(send);
    readMail = read.replace("you@example.localhost ", `you@example.localhost:${generated} `); // curl would ask for it
    expect(shell(readMail)).toMatch(/^Subject: Hello\r$[^]*It works\./m);
});

// That the next up finds the mail again: deployment.test.ts.
test("down stops it, and says what it kept", () => {
    const { status, stdout } = npm("down");
    expect(stdout).toMatch(/^Kept: .*Volume forwardemail-dev-mailboxes/m);
    expect(status).toBe(0);
    expect(() => shell(readMail)).toThrow();
});
