import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { SshConnection, dockerUrl, keyFile, overSsh, sshOptions } from "../../components/server/connection";

const KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ";
const PLAIN: SshConnection = {
    alias: "forwardemail-prod-main",
    address: "203.0.113.7",
    port: 22,
    user: "root",
    hostKey: KEY,
    socket: "/var/run/docker.sock",
    ownKey: false,
};
const JUMP = { address: "bastion.example.com", port: 2222, user: "ops", hostKey: `${KEY}jump` };

describe("what ssh is told", () => {
    test("it knows one key of the host, by a name that survives a change of address, and asks nothing", () => {
        expect(sshOptions(PLAIN).filter((word) => word !== "-o")).toEqual([
            "BatchMode=yes",
            "StrictHostKeyChecking=yes",
            "HostKeyAlias=forwardemail-prod-main",
            `KnownHostsCommand=/usr/bin/env echo forwardemail-prod-main ${KEY}`,
            "UserKnownHostsFile=/dev/null",
            "GlobalKnownHostsFile=/dev/null",
            "ConnectTimeout=15",
            "ControlPath=none",
            "ServerAliveInterval=15",
            "ServerAliveCountMax=4",
            "LogLevel=ERROR",
        ]);
    });

    test("a key of the stack is used and no other", () => {
        const own = { ...PLAIN, ownKey: true };
        expect(sshOptions(own)).toEqual(expect.arrayContaining(["IdentityFile=~/.forwardemail/forwardemail-prod-main/key", "IdentitiesOnly=yes"]));
        expect(keyFile(own)).toBe("~/.forwardemail/forwardemail-prod-main/key");
    });

    test("a jump host is reached with the same options, and known by a key of its own", () => {
        const proxy = sshOptions({ ...PLAIN, ownKey: true, jump: JUMP }).at(-1);
        expect(proxy).toMatch(/^ProxyCommand=ssh .*'HostKeyAlias=forwardemail-prod-main-jump' .*-p 2222 -W \[%h\]:%p ops@bastion\.example\.com$/);
        // A shell of the local machine reads it.
        const words = spawnSync("sh", ["-c", proxy!.replace("ProxyCommand=ssh", "printf '%s\\n'")], { encoding: "utf8" }).stdout.split("\n");
        expect(words).toContain("IdentityFile=~/.forwardemail/forwardemail-prod-main/key");
        expect(words).toContain(`KnownHostsCommand=/usr/bin/env echo forwardemail-prod-main-jump ${KEY}jump`);
    });

    test.each([
        [PLAIN, "ssh://root@203.0.113.7:22"],
        [{ ...PLAIN, address: "2001:db8::7" }, "ssh://root@[2001:db8::7]:22"],
        [{ ...PLAIN, socket: "/run/x.sock" }, "ssh://root@203.0.113.7:22/run/x.sock"],
    ])("Docker's address %#", (connection, url) => expect(dockerUrl(connection)).toBe(url));
});

describe("a script over ssh", () => {
    let folder: string;
    beforeEach(() => {
        folder = mkdtempSync(path.join(tmpdir(), "ssh-"));
        // What sshd does: the last word goes to the login shell, with no variable of the client.
        writeFileSync(
            path.join(folder, "ssh"),
            `#!/bin/sh\nfor last; do :; done\nprintf %s "$last" >"${folder}/sent"\nexec env -i PATH="$PATH" sh -c "$last"\n`,
        );
        writeFileSync(path.join(folder, "sudo"), `#!/bin/sh\n[ "$1" = -n ] || exit 9\nshift\necho >"${folder}/sudo-used"\nexec "$@"\n`);
        for (const name of ["ssh", "sudo"]) chmodSync(path.join(folder, name), 0o755);
    });
    afterEach(() => rmSync(folder, { recursive: true }));

    function run(script: string, env: Record<string, string>, stdin = "", user = "root") {
        const [program, ...args] = overSsh({ ...PLAIN, user }, { variables: Object.keys(env) });
        return spawnSync(program, [...args, script], { env: { PATH: `${folder}:${process.env.PATH}`, ...env }, input: stdin, encoding: "utf8" });
    }

    test("sees its variables as they are, and nothing else of this machine", () => {
        const value = `it's "quoted" $HOME \`id\` \\ *\nsecond line`;
        const { stdout, stderr } = run(`printf '%s|%s' "$VALUE" "\${OTHER-none}"`, { VALUE: value });
        expect([stdout, stderr]).toEqual([`${value}|none`, ""]);
    });

    test("is run as it stands, reads standard input, and its end is the command's", () => {
        const { stdout, stderr, status } = run(`set -eu\n# it's a comment\ncat\necho "to '$A'" >&2\nexit 3`, { A: "x" }, "secret");
        expect([stdout, stderr, status]).toEqual(["secret", "to 'x'\n", 3]);
        expect(readFileSync(path.join(folder, "sent"), "utf8")).not.toContain("secret");
    });

    test("a variable that is not set is empty there", () => {
        const [program, ...args] = overSsh(PLAIN, { variables: ["PULUMI_COMMAND_STDOUT"] });
        const { stdout } = spawnSync(program, [...args, 'printf "[%s]" "${PULUMI_COMMAND_STDOUT-unset}"'], {
            env: { PATH: `${folder}:${process.env.PATH}` },
            encoding: "utf8",
        });
        expect(stdout).toBe("[]");
    });

    test("a second script runs after it over a connection of its own, as root too, and only when the first succeeded", () => {
        const confirmed = (script: string, user = "root") => {
            const [program, ...args] = overSsh({ ...PLAIN, user }, { variables: ["A"], confirm: `echo "it's confirmed \${A-unset}"` });
            return spawnSync(program, [...args, script], { env: { PATH: `${folder}:${process.env.PATH}`, A: "x" }, encoding: "utf8" });
        };
        expect(confirmed('echo "first $A"')).toMatchObject({ status: 0, stdout: "first x\nit's confirmed unset\n" });
        expect(confirmed("exit 4")).toMatchObject({ status: 4, stdout: "" });
        expect(confirmed("true", "debian").stdout).toBe("it's confirmed unset\n");
        expect(existsSync(path.join(folder, "sudo-used"))).toBe(true);
    });

    test("a machine that is not up yet is tried again for a while, and then its error is told", () => {
        const tries = path.join(folder, "tries");
        writeFileSync(
            path.join(folder, "ssh"),
            `#!/bin/sh\necho >>"${tries}"\n[ "$(wc -l <"${tries}")" -gt "$FAILURES" ] || { echo refused >&2; exit 255; }\nfor last; do :; done\nexec sh -c "$last"\n`,
        );
        const [program, ...args] = overSsh(PLAIN, { variables: [], patience: 5 });
        const attempt = (FAILURES: string) => {
            rmSync(tries, { force: true });
            return spawnSync(program, [...args, "cat; echo up"], {
                env: { PATH: `${folder}:${process.env.PATH}`, FAILURES },
                input: "read ",
                encoding: "utf8",
            });
        };
        expect(attempt("1")).toMatchObject({ status: 0, stdout: "read up\n", stderr: "" });
        expect(attempt("99")).toMatchObject({ status: 255, stderr: "refused\n" });
    }, 15_000);

    test("goes through sudo for another user than root, which may not ask", () => {
        expect(run("echo done", {}).stdout).toBe("done\n");
        expect(existsSync(path.join(folder, "sudo-used"))).toBe(false);
        expect(run("echo done", {}, "", "debian").stdout).toBe("done\n");
        expect(existsSync(path.join(folder, "sudo-used"))).toBe(true);
    });
});
