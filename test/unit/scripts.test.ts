import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { CLAIM, TOGETHER } from "../../components/services/store";
import { INSTALL } from "../../components/services/files";

// The host scripts run here as they run on a host, only with a folder of the test in place of the mounted one.

let place: string;
beforeEach(() => {
    place = mkdtempSync(path.join(tmpdir(), "place-"));
});

/** Runs a script of a throw-away container on the test's folder, as the user that runs the tests. */
function run(script: string, environment: Record<string, string>, stdin = "") {
    const user = spawnSync("id", ["-un"], { encoding: "utf8" }).stdout.trim();
    const env = { PATH: process.env.PATH, OWNER: user, ...environment };
    return spawnSync("sh", ["-c", script.replaceAll("/place", place)], { env, input: stdin, encoding: "utf8" });
}

describe("claiming data", () => {
    const claim = (mark: string, adopt = "false", previous = "") =>
        run(CLAIM, { STORE: "mongodb", MARK: mark, ADOPT: adopt, PLACE: "new", PREVIOUS: previous });
    const marked = () => readFileSync(path.join(place, ".forwardemail"), "utf8");

    test("an empty place gets the mark, and the same deployment may come again", () => {
        expect(claim("deployment a\nkey 1").status).toBe(0);
        expect(marked()).toBe("deployment a\nkey 1\n");
        writeFileSync(path.join(place, "data"), "x");
        expect(claim("deployment a\nkey 1").status).toBe(0);
    });

    test("other keys are refused, and the mark stays", () => {
        claim("deployment a\nkey 1");
        writeFileSync(path.join(place, "data"), "x");
        const { status, stderr } = claim("deployment a\nkey 2", "true");
        expect(status).toBe(3);
        expect(stderr).toMatch(
            /^REFUSED: the mongodb data \(it was written with other keys, or by another deployment: deployment a\)\. No service was started and no data was changed\. Fix: /,
        );
        expect(marked()).toBe("deployment a\nkey 1\n");
    });

    test("data without a mark is refused, unless it is to be adopted", () => {
        writeFileSync(path.join(place, "data"), "x");
        const { status, stderr } = claim("deployment a");
        expect([status, stderr.includes("set data.adopt to true")]).toEqual([3, true]);
        expect(claim("deployment a", "true").status).toBe(0);
        expect(marked()).toBe("deployment a\n");
    });

    test("a mark without data binds nobody: another store may have refused the keys that made it", () => {
        claim("deployment a\nkey 1");
        expect(claim("deployment a\nkey 2").status).toBe(0);
        expect(marked()).toBe("deployment a\nkey 2\n");
    });

    test("a move to an empty place is refused, a move to a copy is not", () => {
        expect(claim("deployment a", "false", "old")).toMatchObject({ status: 3, stderr: expect.stringContaining("copy old to new") });
        writeFileSync(path.join(place, "data"), "x");
        writeFileSync(path.join(place, ".forwardemail"), "deployment a\n");
        expect(claim("deployment a", "false", "old").status).toBe(0);
    });

    test("data that an earlier up claimed, and that are gone, are missed; an empty store keeps its mark", () => {
        expect(claim("deployment a", "false", "new")).toMatchObject({
            status: 3,
            stderr: expect.stringMatching(/it was at new, and now there is nothing.*npm run restore/),
        });
        expect(claim("deployment a", "true", "new").status).toBe(0);
        expect(claim("deployment a", "false", "new").status).toBe(0); // the mark is there now
    });

    test("an empty file system is empty, though ext4 puts a folder on it", () => {
        mkdirSync(path.join(place, "lost+found"));
        expect(claim("deployment a").status).toBe(0);
    });
});

describe("mailboxes without their database", () => {
    const check = () =>
        spawnSync(
            "sh",
            ["-c", TOGETHER.replaceAll("/mailboxes", path.join(place, "mailboxes")).replaceAll("/mongodb", path.join(place, "mongodb"))],
            { encoding: "utf8" },
        );
    const put = (file: string) => {
        mkdirSync(path.dirname(path.join(place, file)), { recursive: true });
        writeFileSync(path.join(place, file), "x");
    };

    test("are refused: the application would delete them", () => {
        for (const folder of ["mailboxes", "mongodb"]) mkdirSync(path.join(place, folder));
        expect(check().status).toBe(0); // a fresh stack
        put("mailboxes/65a.sqlite");
        for (const leftover of ["mongodb/.forwardemail", "mongodb/mongod.lock"]) put(leftover);
        expect(check()).toMatchObject({ status: 3, stderr: expect.stringContaining("Starting would delete the mailboxes") });
        put("mongodb/WiredTiger");
        expect(check().status).toBe(0);
    });
});

describe("installing files", () => {
    const line = (name: string, content: string) => `${name} ${Buffer.from(content).toString("base64")}\n`;

    test("contents arrive as they are, readable by owner and group only, twice as well as once", () => {
        const input = line("a.pem", "one\ntwo\n") + line("b.key", "ü%s\\n$HOME `id`");
        for (let round = 0; round < 2; round++) expect(run(INSTALL, {}, input).status).toBe(0);
        expect(readFileSync(path.join(place, "a.pem"), "utf8")).toBe("one\ntwo\n");
        expect(readFileSync(path.join(place, "b.key"), "utf8")).toBe("ü%s\\n$HOME `id`");
        expect((statSync(path.join(place, "b.key")).mode & 0o777).toString(8)).toBe("440");
        expect((statSync(place).mode & 0o777).toString(8)).toBe("750");
    });

    test("input that breaks off in a line replaces nothing with half a file", () => {
        run(INSTALL, {}, line("a.pem", "old"));
        expect(run(INSTALL, {}, "a.pem !!!").status).not.toBe(0);
        expect(readFileSync(path.join(place, "a.pem"), "utf8")).toBe("old");
    });
});
