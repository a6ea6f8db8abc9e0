import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { manage } from "../../operate/schedule";
import { cron, withBlock } from "../../operate/schedule/crontab";
import { checkEnvironment, parseEnvironment, readEnvironment } from "../../operate/schedule/environment";
import { Host, Job, mustBePlain, pathOf } from "../../operate/schedule/job";
import { lastNight, night, wasCutShort, writeRecord } from "../../operate/schedule/night";
import { unitsOf } from "../../operate/schedule/timer";
import { turnAt } from "../../operate/schedule/turn";

// systemctl and crontab are programs that stand in for them and keep their state in files; the units and lines are real.

let folder: string;
let checkout: string;
beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), "schedule-"));
    checkout = path.join(folder, "check out");
    for (const name of [checkout, path.join(folder, "bin")]) mkdirSync(name);
    program("systemctl", SYSTEMCTL);
    program("crontab", CRONTAB);
    program("loginctl", "echo no");
});
afterEach(() => rmSync(folder, { recursive: true }));

function program(name: string, script: string) {
    writeFileSync(path.join(folder, "bin", name), `#!/bin/sh\ncd "${folder}" || exit\n${script}\n`);
    chmodSync(path.join(folder, "bin", name), 0o755);
}

const SYSTEMCTL = `echo "$*" >>systemctl.log
[ "$1" = --user ] && shift
if [ -e no-bus ]; then echo "Failed to connect to bus: No medium found" >&2; exit 1; fi
case $1 in
enable) touch enabled ;;
disable) rm -f enabled ;;
is-enabled | is-active) [ -e enabled ] ;;
show) case $3 in --property=Next*) echo "Fri 2026-11-27 00:00:00 UTC" ;; --property=Result) cat result 2>/dev/null || echo success ;; esac ;;
esac`;

const CRONTAB = `case $1 in
-l) if [ -e crontab ]; then cat crontab; else echo "no crontab for me" >&2; exit 1; fi ;;
-r) rm crontab ;;
-) cat >crontab.new; if [ -e refuse ]; then echo "bad minute" >&2; exit 1; fi; mv crontab.new crontab ;;
esac`;

/** Not this user: root's units would be the machine's. */
const host = (but: Partial<Host> = {}): Host => ({
    hasSystemd: true,
    isMac: false,
    user: 1000,
    units: path.join(folder, "units"),
    run(program, args, input = "") {
        const env = { PATH: `${path.join(folder, "bin")}:/usr/bin:/bin` };
        const { status, stdout, stderr, error } = spawnSync(program, args, { env, input, encoding: "utf8" });
        return { status: error ? undefined : (status ?? 1), stdout: stdout ?? "", stderr: stderr ?? "" };
    },
    ...but,
});

function ask(verb: string, on: Host, options: Record<string, string | boolean> = {}) {
    const said: string[] = [];
    const status = manage(verb, { stack: "dev", at: "01:00", commit: false, ...options }, on, (line) => said.push(line), checkout);
    return { status, said: said.join("\n") };
}

const NAME = "forwardemail-dev-nightly";
const unit = (kind: string) => readFileSync(path.join(folder, "units", `${NAME}.${kind}`), "utf8");
const calls = () => readFileSync(path.join(folder, "systemctl.log"), "utf8").trim().split("\n");

describe("a timer of systemd", () => {
    test("is installed, shown, changed and removed; once more is no change", () => {
        const first = ask("install", host(), { "time-zone": "Europe/Madrid" });
        expect(first).toMatchObject({ status: 0, said: expect.stringContaining(`${NAME} is installed.`) });
        expect(calls()).toContain(`--user enable --now ${NAME}.timer`);
        expect(unit("timer")).toMatch(/^OnCalendar=\*-\*-\* 01:00:00 Europe\/Madrid\n[^]*^RandomizedDelaySec=10min\n[^]*^Persistent=true$/m);
        expect(unit("service")).toContain(`\nWorkingDirectory=${checkout}\n`);
        expect(unit("service")).toContain("\nExecStart=/bin/sh operate/run.sh schedule run --stack dev\n");

        const before = calls().length;
        expect(ask("install", host(), { "time-zone": "Europe/Madrid" }).said).toMatch(/installed already: nothing to change/);
        const asked = calls().slice(before);
        expect(asked.filter((call) => !/^--user (is-|show )/.test(call))).toEqual([]);

        expect(ask("show", host()).said).toBe(
            [
                `${NAME}  timer of this user's systemd, every night at 01:00 Europe/Madrid, for ${checkout}`,
                "  next  Fri 2026-11-27 00:00:00 UTC",
                "  last  none yet",
                `  log   journalctl --user -u ${NAME}`,
            ].join("\n"),
        );

        // A timer that keeps the time of its last run would make up for the new hour at once.
        expect(ask("install", host(), { at: "03:30" }).said).toMatch(/is installed\./);
        expect(unit("timer")).toContain("OnCalendar=*-*-* 03:30:00\n");
        const changing = calls().filter((call) => / (clean|enable) /.test(call));
        expect(changing.slice(-2)).toEqual([`--user clean --what=state ${NAME}.timer`, `--user enable --now ${NAME}.timer`]);

        expect(ask("remove", host())).toEqual({ status: 0, said: `${NAME} is removed.` });
        expect(readdirSync(path.join(folder, "units"))).toEqual([]);
        expect(existsSync(path.join(folder, "enabled"))).toBe(false);
        expect(ask("remove", host())).toMatchObject({ status: 0, said: expect.stringContaining("nothing to remove") });
        expect(ask("show", host())).toMatchObject({ status: 1, said: expect.stringMatching(/Fix: npm run schedule -- install --stack dev$/) });
    });

    test("of a user is told that it wants lingering; one that lingers is not", () => {
        expect(ask("install", host()).said).toContain("Fix: sudo loginctl enable-linger $USER");
        program("loginctl", "echo yes");
        expect(ask("install", host()).said).not.toContain("linger");
    });

    test("of the machine runs as the owner of the checkout", () => {
        expect(ask("install", host({ user: 0 })).said).toMatch(/timer of systemd[^]*journalctl -u/);
        expect(unit("service")).toContain(`\nUser=${process.getuid!()}\n`);
        expect(calls().some((call) => call.startsWith("--user"))).toBe(false);
    });

    test("that was stopped by hand is started again, and shown as stopped before", () => {
        ask("install", host());
        rmSync(path.join(folder, "enabled"));
        expect(ask("show", host()).said).toContain("next  never: the timer is stopped");
        expect(ask("install", host()).said).toContain("is installed.");
        expect(ask("show", host()).said).toContain("next  Fri");
    });

    test("shows how the last night ended, and what systemd says of one that could not begin", () => {
        ask("install", host());
        writeRecord(path.join(checkout, ".work/nightly/dev.json"), { began: "a", ended: "2026-11-26T00:09:00.000Z", status: 4, said: "rolled back" });
        writeFileSync(path.join(folder, "result"), "resources\n");
        expect(ask("show", host()).said).toContain("last  2026-11-26T00:09:00.000Z: rolled back (exit status 4); systemd says of it: resources");
        writeRecord(path.join(checkout, ".work/nightly/dev.json"), { began: "2026-11-27T00:00:00.000Z" });
        expect(lastNight(path.join(checkout, ".work/nightly/dev.json"))).toMatch(/^began 2026-11-27.* has not ended/);
    });

    test("is refused without a bus, and nothing is written", () => {
        writeFileSync(path.join(folder, "no-bus"), "");
        expect(() => ask("install", host())).toThrow(/Failed to connect to bus.*Fix: log in as this user by ssh/);
        expect(existsSync(path.join(folder, "units"))).toBe(false);
    });

    test("of another checkout is left alone", () => {
        ask("install", host());
        const mine = checkout;
        checkout = path.join(folder, "bin");
        expect(() => ask("install", host())).toThrow(`${NAME} is installed for ${mine}. Fix: npm run schedule -- remove --stack dev`);
    });

    const JOB: Job = {
        name: NAME,
        stack: "dev",
        at: "01:00",
        commit: true,
        checkout: "/opt/mail server",
        user: 0,
        path: "/opt/node 20/bin:/usr/bin",
    };
    const analyze = (...args: string[]) => spawnSync("systemd-analyze", args, { encoding: "utf8" });
    if (analyze("--version").status === 0)
        test("has units and a time that systemd understands", () => {
            const units = unitsOf({ ...JOB, timeZone: "Europe/Madrid", environment: "/etc/mail server/env" }, true);
            for (const [name, text] of Object.entries(units)) writeFileSync(path.join(folder, name), text);
            const { status, stderr } = analyze("verify", ...Object.keys(units).map((name) => path.join(folder, name)));
            expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
            const [, time] = /^OnCalendar=(.*)$/m.exec(units[`${NAME}.timer`])!;
            expect(analyze("calendar", time).status).toBe(0);
        });
});

describe("lines in a crontab, where there is no systemd", () => {
    const MINE = "# mine\nMAILTO=me\n5 5 * * * true\n";
    const crontab = () => readFileSync(path.join(folder, "crontab"), "utf8");

    test("stand beside those of others, which are as before after a removal", () => {
        writeFileSync(path.join(folder, "crontab"), MINE);
        const on = host({ hasSystemd: false });
        spawnSync("git", ["init", "-q", checkout]);
        expect(ask("install", on, { at: "01:05", commit: true }).said).toContain(`${NAME} is installed.`);
        expect(crontab().startsWith(MINE)).toBe(true);
        expect(crontab()).toMatch(
            /^5 1 \* \* \* cd '.*check out' && PATH='.*' \/bin\/sh operate\/run\.sh schedule run --stack dev --commit 2>&1 \| logger -t /m,
        );
        const once = crontab();
        expect(ask("install", on, { at: "01:05", commit: true }).said).toContain("nothing to change");
        ask("install", on, { at: "23:00" });
        expect(crontab().match(/BEGIN/g)).toHaveLength(1);
        expect(crontab()).not.toBe(once);
        expect(ask("show", on).said).toMatch(/lines in this user's crontab, every night at 23:00, for .*check out\n {2}next {2}\w{3} .* 23:00:00 /);
        expect(ask("remove", on).said).toContain("is removed");
        expect(crontab()).toBe(MINE);
        expect(ask("remove", on).said).toContain("nothing to remove");
    });

    test("that are all there is leave no crontab behind", () => {
        const on = host({ hasSystemd: false });
        ask("install", on);
        ask("remove", on);
        expect(existsSync(path.join(folder, "crontab"))).toBe(false);
    });

    test("are a command that a shell runs in the checkout, with the PATH and the file that were given", () => {
        mkdirSync(path.join(checkout, "operate"));
        writeFileSync(path.join(checkout, "operate/run.sh"), 'printf "%s|" "$PATH" "$@" >said; echo out; echo err >&2\n');
        program("logger", `cat >logged; echo "$*" >>logged`);
        const file = variables("A=b");
        ask("install", host({ hasSystemd: false, user: process.getuid!() }), { environment: file });
        const [, command] = /^0 1 \* \* \* (.*)$/m.exec(crontab())!;
        const env = { PATH: `${path.join(folder, "bin")}:/usr/bin:/bin` };
        expect(spawnSync("sh", ["-c", command], { env, cwd: "/", encoding: "utf8" }).status).toBe(0);
        expect(readFileSync(path.join(checkout, "said"), "utf8")).toBe(`${pathOf()}|schedule|run|--stack|dev|--environment|${file}|`);
        expect(readFileSync(path.join(folder, "logged"), "utf8")).toBe(`out\nerr\n-t ${NAME}\n`);
    });

    test.each([
        ["a time zone", () => ask("install", host({ hasSystemd: false }), { "time-zone": "Europe/Madrid" }), /^--time-zone: .*Fix: leave it out/],
        ["a checkout of another user", () => ask("install", asRoot()), /belongs to user \d+, .*Fix: run this as that user/],
        ["a crontab that is not taken", refused, /The crontab was not taken: bad minute/],
        ["a crontab that cannot be read", () => broken("echo 'you are not allowed' >&2; exit 1"), /crontab -l failed: you are not allowed/],
        [
            "no crontab at all",
            () => ask("install", { ...host({ hasSystemd: false }), run: nowhere }),
            /neither systemd nor a crontab here\. Fix: install cron/,
        ],
        ["half of its marks", () => withBlock(`# END ${NAME}\n`, NAME, "x"), /one of the two marks of .*Fix: take its lines out by hand/],
    ])("are refused: %s", (_, act, message) => {
        expect(act).toThrow(message);
        expect(existsSync(path.join(folder, "crontab"))).toBe(false);
    });

    test("on a Mac come with a word about sleep", () => {
        expect(ask("install", host({ hasSystemd: false, isMac: true })).said).toContain("A Mac that sleeps misses its night");
        expect(cron(host()).hints()).toEqual([]);
    });

    const nowhere = () => ({ status: undefined, stdout: "", stderr: "" });
    /** Root, in a checkout that is not root's. */
    function asRoot() {
        spawnSync("chown", ["1234", checkout]); // takes effect for root alone; else the owner is this user
        return host({ hasSystemd: false, user: 0 });
    }
    function refused() {
        writeFileSync(path.join(folder, "refuse"), "");
        ask("install", host({ hasSystemd: false }));
    }
    function broken(script: string) {
        program("crontab", script);
        ask("install", host({ hasSystemd: false }));
    }
});

function variables(text: string, mode = 0o600): string {
    const file = path.join(folder, "env");
    writeFileSync(file, text);
    chmodSync(file, mode);
    return file;
}

describe("what is refused before anything is installed", () => {
    test.each([
        ["--at", { at: "1:00" }, '--at: got "1:00", wanted hours and minutes, such as 01:00.'],
        ["--at", { at: "24:00" }, '--at: got "24:00"'],
        ["--time-zone", { "time-zone": "Madrid" }, '--time-zone: got "Madrid", wanted a name such as Europe/Madrid.'],
        ["--time-zone", { "time-zone": "+01:00" }, '--time-zone: got "+01:00"'],
        ["--stack", { stack: "../x" }, '--stack: got "../x"'],
        ["--stack", { stack: "none" }, "There is no stack file Pulumi.none.yaml. Fix: "],
        ["--environment", { environment: "/no/such/file" }, "--environment: there is no file /no/such/file."],
        ["--commit", { commit: true }, /^--commit: .* is no git repository on a branch\. Fix: /],
    ])("%s %o", (_, options, message) => {
        expect(() => ask("install", host(), options)).toThrow(message);
        expect(existsSync(path.join(folder, "units"))).toBe(false);
    });

    test.each(["a'b", "a%b", "a\nb", "a\\b", " a", "a$b"])("a path such as %j", (text) => {
        expect(() => mustBePlain("x", text)).toThrow("Fix: move it to another folder.");
        mustBePlain("x", "/home/josé/correo 2");
    });
});

describe("the file of variables", () => {
    test("is read as systemd reads it", () => {
        const text = "# a comment\n; another\n\nA=b c#d$e\nB=\"x y\"\nC='z'\nD=\n";
        expect(parseEnvironment("f", text)).toEqual({ A: "b c#d$e", B: "x y", C: "z", D: "" });
    });

    test.each(["export A=b", "A = b", "A", "1A=b", "A=b\\c", 'A=b"c', 'A="b\'c"', "A='b' ", "A=b "])("refuses %j", (line) => {
        expect(() => parseEnvironment("/env", `X=1\n${line}`)).toThrow(/^\/env, line 2: .* Fix: /);
    });

    test("is refused without saying what is in it", () => {
        const message = () => {
            try {
                return parseEnvironment("/env", "P=se\\cret");
            } catch (error) {
                return (error as Error).message;
            }
        };
        expect(message()).toMatch(/the value of P has a quote/);
        expect(message()).not.toContain("cret");
    });

    test("must be its owner's alone", () => {
        const me = process.getuid!();
        expect(readEnvironment(variables("A=b"), [me])).toEqual({ A: "b" });
        expect(() => readEnvironment(variables("A=b", 0o640), [me])).toThrow(/others may read .* \(mode 0640\)\. Fix: chmod 600 /);
        expect(() => readEnvironment(variables("A=b"), [me + 1])).toThrow(`belongs to user ${me}. Fix: chown ${me + 1} `);
        expect(() => readEnvironment("env", [me])).toThrow('got "env", wanted an absolute path');
        expect(() => readEnvironment(folder, [me])).toThrow("there is no file");
    });

    test("must have the passphrase of a stack that is encrypted with one", () => {
        const users = [process.getuid!()];
        const salted = { encryptionsalt: "v1:x" };
        expect(() => checkEnvironment("prod", salted, undefined, users)).toThrow(
            /^--environment: not given, and Pulumi\.prod\.yaml is encrypted.* Fix: /,
        );
        expect(() => checkEnvironment("prod", salted, variables("A=b"), users)).toThrow("has no passphrase");
        checkEnvironment("prod", salted, variables("PULUMI_CONFIG_PASSPHRASE=x"), users);
        checkEnvironment("prod", { secretsprovider: "awskms://x" }, undefined, users);
        const secret = path.join(folder, "passphrase");
        writeFileSync(secret, "x", { mode: 0o644 });
        const file = variables(`PULUMI_CONFIG_PASSPHRASE_FILE=${secret}`);
        expect(() => checkEnvironment("prod", salted, file, users)).toThrow(`others may read ${secret}`);
        chmodSync(secret, 0o400);
        checkEnvironment("prod", salted, file, users);
    });
});

test("PATH has Node.js, Pulumi and the system's own folders, and none that npm put there", () => {
    program("pulumi", "true");
    const bin = path.join(folder, "bin");
    const searched = ["/x/node_modules/.bin", "relative", "/games", bin].join(":");
    expect(pathOf("/opt/node/bin/node", searched).split(":").slice(0, 3)).toEqual(["/opt/node/bin", bin, "/usr/local/sbin"]);
    expect(
        pathOf("/usr/bin/node", "/games")
            .split(":")
            .filter((name) => name === "/usr/bin"),
    ).toHaveLength(1);
});

describe("nights of one checkout", () => {
    test("come one after another, also after one that was killed", async () => {
        const file = path.join(folder, "nightly/turn");
        const waited: string[] = [];
        const first = await turnAt(file, () => waited.push("first"));
        const second = turnAt(file, () => (waited.push("second"), first()));
        const end = await second; // waits until it says so, which ends the first
        expect(waited).toEqual(["second"]);
        end();

        const source = `import { turnAt } from ${JSON.stringify(path.resolve("operate/schedule/turn"))};
            turnAt(${JSON.stringify(file)}, () => {}).then(() => { console.log("held"); setTimeout(() => {}, 60_000); });`;
        writeFileSync(path.join(folder, "other.ts"), source);
        const other = spawn(process.execPath, ["--import", require.resolve("tsx"), path.join(folder, "other.ts")], {
            stdio: ["ignore", "pipe", "inherit"],
        });
        await once(other.stdout, "data");
        (await turnAt(file, () => (waited.push("third"), other.kill("SIGKILL"))))();
        expect(waited).toEqual(["second", "third"]);
    });

    test("that cannot take their turn fail: else they would end with nothing done and nothing said", async () => {
        program("flock", "exit 66");
        vi.stubEnv("PATH", `${folder}/bin:${process.env.PATH}`);
        await expect(turnAt(path.join(folder, "nightly/other"), () => undefined)).rejects.toThrow(/flock cannot take .*other \(66\)/);
        vi.stubEnv("PATH", "/nowhere"); // as on a Mac
        await expect(turnAt(path.join(folder, "nightly/other"), () => undefined)).resolves.toBeTypeOf("function");
        vi.unstubAllEnvs();
    });

    test.each(["", '{"began":"2026'])("count a record that was left half as one of a night that was killed: %j", (text) => {
        const record = path.join(folder, "dev.json");
        writeFileSync(record, text);
        expect(wasCutShort(record)).toBe("at an unknown time");
        expect(lastNight(record)).toMatch(/^began at an unknown time, and has not ended/);
        writeRecord(record, { began: "2026-11-24T01:00:00Z" });
        expect(wasCutShort(record)).toBe("2026-11-24T01:00:00Z");
        expect(readdirSync(folder).filter((name) => name.startsWith("dev.json"))).toEqual(["dev.json"]);
    });

    test("tell of one before that was killed", () => {
        const record = path.join(folder, "nightly/dev.json");
        expect(wasCutShort(record)).toBeUndefined();
        writeRecord(record, { began: "2026-11-24T01:00:00Z" });
        expect(wasCutShort(record)).toBe("2026-11-24T01:00:00Z");
        const { status, said } = night({ stack: "dev", commit: false, lockFile: "x" }, { run: () => 0, ask: () => 0 }, wasCutShort(record));
        expect([status, said]).toEqual([1, "updated; went wrong: the night that began 2026-11-24T01:00:00Z was cut short"]);
        writeRecord(record, { began: "2026-11-25T01:00:00Z", ended: "2026-11-25T01:10:00Z", status, said });
        expect(wasCutShort(record)).toBeUndefined();
    });
});
