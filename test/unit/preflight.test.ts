import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MUST_PASS, PREFLIGHT, parsePreflight } from "../../components/server/host/preflight";

// The script itself, with stand-ins for the programs that it asks; what it reads from /proc is this machine's.

let folder: string;
beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), "preflight-"));
    program("id", 'if [ "$1" = -u ]; then echo 0; else echo root; fi');
    program("ss", "true");
    program("docker", "true");
    program("ip", "echo '2: eth0    inet 203.0.113.7/24 scope global eth0'");
    program("timedatectl", "echo yes");
    program("uname", "echo x86_64");
});
afterEach(() => rmSync(folder, { recursive: true }));

const program = (name: string, body: string) => writeFileSync(path.join(folder, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });

function run(
    script: string,
    reach = "",
    open = "",
    other: Record<string, string> = {},
): Promise<{ status: number | null; stdout: string; stderr: string }> {
    const env = {
        PATH: `${folder}:${process.env.PATH}`,
        DATA_DIRECTORY: `${folder}/not/there/yet`,
        PORTS: "25 443",
        REACH: reach,
        STACK: "forwardemail-x",
        OPEN: open,
        BLOCK_LISTS: "",
        DOMAINS: "",
        ...other,
    };
    const child = spawn("sh", ["-c", script], { env });
    const output = { stdout: "", stderr: "" };
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output.stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (output.stderr += text));
    return new Promise((resolve) => child.on("close", (status) => resolve({ status, ...output })));
}
async function find(check: string, reach?: string, open?: string, other?: Record<string, string>) {
    const { stdout, stderr, status } = await run(PREFLIGHT, reach, open, other);
    expect([stderr, status]).toEqual(["", 0]);
    return parsePreflight(stdout).find((finding) => finding.check === check);
}

describe("preflight", () => {
    test("says one line a check, and what is not a pass has a fix", async () => {
        const findings = parsePreflight((await run(PREFLIGHT)).stdout);
        expect(findings.map(({ check }) => check)).toEqual(["os", "processor", "memory", "disk", "ports", "clock", "addresses", "resolver"]);
        for (const { level, fix } of findings) expect(fix !== "").toBe(level !== "pass");
    });

    test("a port that a program holds fails, with the program's name", async () => {
        program("ss", `case "$*" in *":25"*) echo 'LISTEN 0 100 0.0.0.0:25 0.0.0.0:* users:(("master",pid=9,fd=13))' ;; esac`);
        expect(await find("ports")).toMatchObject({ level: "fail", found: "taken: 25 (master )" });
    });

    test("what the firewall would close is named: another container's port fails, a program's warns, ours and loopback are left out", async () => {
        program(
            "docker",
            `case "$*" in *label=*) echo ours ;; "ps --format {{.Names}}") printf 'ours\\nother\\n' ;; "port other") echo '80/tcp -> 0.0.0.0:8080' ;; esac`,
        );
        program(
            "ss",
            `[ "$1" = -Hlntup ] || exit 0
cat <<'END'
tcp LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=1,fd=3))
tcp LISTEN 0 128 [::]:9100 [::]:* users:(("node_exporter",pid=2,fd=3))
tcp LISTEN 0 128 127.0.0.1:25 0.0.0.0:* users:(("exim4",pid=3,fd=3))
udp UNCONN 0 0 0.0.0.0:51820 0.0.0.0:*
udp UNCONN 0 0 0.0.0.0%eth0:68 0.0.0.0:* users:(("dhclient",pid=4,fd=3))
END`,
        );
        expect(await find("firewall", "", "25 443 22")).toMatchObject({ level: "fail", found: expect.stringContaining("8080 (other)") });
        expect(await find("firewall", "", "25 443 22 8080")).toBeUndefined();
        expect(await find("closing", "", "25 443 22")).toMatchObject({
            level: "warn",
            found: "from outside no longer reachable: 51820/udp (?) 9100/tcp (node_exporter)",
        });
        expect(await find("closing")).toBeUndefined(); // no firewall of ours
        expect(await find("closing", "", "25 443 22 9100 51820/udp")).toBeUndefined();
        // Whoever comes through a tunnel that is about to be closed would be locked out a little later.
        program("ip", "echo '10.8.0.2 dev wg0 src 10.8.0.1 uid 0'");
        const tunnel = { SSH_CONNECTION: "10.8.0.2 40000 10.8.0.1 22" };
        expect(await find("closing", "", "25 443 22", tunnel)).toMatchObject({ level: "fail", found: expect.stringContaining("through wg0") });
    });

    test("a port that another container publishes fails, where it listens nowhere too", async () => {
        program("docker", `case "$*" in *"label=forwardemail.stack="*) ;; *.Ports*) echo '0.0.0.0:443->8443/tcp' ;; esac`);
        expect(await find("ports")).toMatchObject({ level: "fail", found: "taken: 443 (a container )" });
    });

    test("ports of the deployment's own containers are free for it", async () => {
        program("docker", `case "$*" in *"label=forwardemail.stack=forwardemail-x"* | "ps --format {{.Ports}}") echo '0.0.0.0:25->2525/tcp' ;; esac`);
        program("ss", `case "$*" in *":25"*) echo 'LISTEN 0 100 0.0.0.0:25 0.0.0.0:* users:(("docker-proxy",pid=9,fd=4))' ;; esac`);
        expect(await find("ports")).toMatchObject({ level: "pass" });
    });

    test("containers of nobody's stack are named", async () => {
        program("docker", `case "$*" in *"{{.Label"*) printf 'wiki \\nmx forwardemail-x\\n' ;; esac`);
        expect(await find("neighbours")).toMatchObject({ level: "warn", found: "other containers: wiki" });
    });

    test.each([
        ["10.0.0.5/24", "warn"],
        ["172.31.1.1/16", "warn"],
        ["100.64.0.9/10", "warn"],
        ["fd00::5/64", "warn"],
        ["172.32.1.1/16", "pass"],
        ["2001:db8::5/64", "pass"],
    ])("an interface with %s: %s", async (address, level) => {
        program("ip", `echo '2: eth0    inet ${address} scope global eth0'`);
        expect(await find("addresses")).toMatchObject({ level });
    });

    test("an outbound connection that is refused fails, and on port 25 warns", async () => {
        const server = createServer((socket) => socket.end()).listen(0, "127.0.0.1");
        await new Promise((resolve) => server.once("listening", resolve));
        const { port } = server.address() as AddressInfo;
        expect(await find(`outbound ${port}`, `127.0.0.1:${port}`)).toMatchObject({ level: "pass" });
        await new Promise((resolve) => server.close(resolve));
        expect(await find(`outbound ${port}`, `127.0.0.1:${port}`)).toMatchObject({ level: "fail" });
        expect(await find("outbound 25", "127.0.0.199:25")).toMatchObject({ level: "warn", fix: expect.stringContaining("no relay") });
        expect(await find("outbound 25", "127.0.0.199:25", "", { OUTBOUND_25: "open" })).toMatchObject({ level: "fail" });
    });

    test.each([
        ["it holds the address", { "2.0.0.127": "127.0.0.2", "7.113.0.203": "127.0.0.4" }, "warn", /^203\.0\.113\.7 is listed \(127\.0\.0\.4\)/],
        ["it does not", { "2.0.0.127": "127.0.0.2" }, "pass", /not listed/],
        ["it refuses this resolver", { "2.0.0.127": "127.255.255.254", "7.113.0.203": "127.255.255.254" }, "warn", /cannot be asked/],
        ["it refuses after the first question", { "2.0.0.127": "127.0.0.2", "7.113.0.203": "127.255.255.255" }, "warn", /cannot be asked/],
        ["nobody answers", {}, "warn", /cannot be asked/],
        ["it says yes to all", { "2.0.0.127": "127.0.0.2", "1.0.0.127": "127.0.0.2", "7.113.0.203": "127.0.0.2" }, "warn", /cannot be asked/],
        ["it is a policy of the network's owner", { "2.0.0.127": "127.0.0.2", "7.113.0.203": "127.0.0.11" }, "warn", /sends no mail/],
    ])("a block list, where %s", async (_, answers, level, found) => {
        const cases = Object.entries(answers).map(([name, answer]) => `"ahostsv4 ${name}.list.test.") echo '${answer} STREAM' ;;`);
        program("getent", `case "$*" in ${cases.join(" ")} *) exit 2 ;; esac`);
        expect(await find("list list.test", "", "", { BLOCK_LISTS: "list.test" })).toMatchObject({ level, found: expect.stringMatching(found) });
    });

    test.each([
        ["it has the name", { "dbltest.com": "127.0.1.2", "example.com": "127.0.1.5" }, "warn", /^is on dbl/],
        ["it does not", { "dbltest.com": "127.0.1.2" }, "pass", /^is not on dbl/],
        ["it refuses this resolver", { "dbltest.com": "127.255.255.254", "example.com": "127.255.255.254" }, "warn", /cannot be asked/],
        ["it refuses after the first question", { "dbltest.com": "127.0.1.2", "example.com": "127.255.255.255" }, "warn", /cannot be asked/],
        ["nobody answers", {}, "warn", /cannot be asked/],
        ["it says yes to all", { "dbltest.com": "127.0.1.2", invalid: "127.0.1.2", "example.com": "127.0.1.2" }, "warn", /cannot be asked/],
    ])("a list of names, where %s", async (_, answers, level, found) => {
        const cases = Object.entries(answers).map(([name, answer]) => `"ahostsv4 ${name}.dbl.spamhaus.org.") echo '${answer} STREAM' ;;`);
        program("getent", `case "$*" in ${cases.join(" ")} *) exit 2 ;; esac`);
        expect(await find("list example.com", "", "", { DOMAINS: "example.com" })).toMatchObject({ level, found: expect.stringMatching(found) });
    });

    test("sshd that takes passwords is told, a disk that is nearly full, and memory that is", async () => {
        program("sshd", "echo 'PasswordAuthentication yes'");
        expect(await find("login")).toMatchObject({ level: "warn", found: "sshd takes passwords" });
        program("sshd", "printf 'passwordauthentication no\\nkbdinteractiveauthentication yes\\n'");
        expect(await find("login")).toBeUndefined();
        const disk = (used: number) => `printf 'x\\n/dev/vda 100000000 1 40000000 ${used}%% /\\n'`;
        program("df", disk(86));
        expect(await find("disk")).toMatchObject({ level: "warn", found: expect.stringContaining("86 % in use") });
        program("df", disk(85));
        expect(await find("disk")).toMatchObject({ level: "pass" });
        program("awk", `case "$1" in */^MemAvailable*) echo 9 ;; *) exec /usr/bin/awk "$@" ;; esac`);
        expect(await find("memory")).toMatchObject({ level: "warn", found: expect.stringMatching(/^9 % of \d+ MiB available$/) });
    });

    test("a reboot that an update waits for is told", async () => {
        const file = path.join(folder, "reboot-required");
        const findings = async () => parsePreflight((await run(PREFLIGHT.replaceAll("/run/reboot-required", file))).stdout);
        expect((await findings()).map(({ check }) => check)).not.toContain("reboot");
        writeFileSync(file, "");
        expect(await findings()).toContainEqual(expect.objectContaining({ level: "warn", check: "reboot" }));
    });

    test("where the cloud translates the address, block lists are asked about the outer one", async () => {
        program("ip", "echo '2: ens5    inet 10.90.0.12/24 scope global ens5'");
        program("getent", `case "$2" in 2.0.0.127.*) echo '127.0.0.2 x' ;; 9.113.0.203.*) echo '127.0.0.3 x' ;; *) exit 2 ;; esac`);
        const behind = { BLOCK_LISTS: "list.test", ELASTIC_ADDRESS: "203.0.113.9" };
        expect(await find("addresses", "", "", behind)).toMatchObject({ level: "pass", found: expect.stringContaining("203.0.113.9") });
        expect(await find("list list.test", "", "", behind)).toMatchObject({ level: "warn" });
    });

    test.each([
        ["is not there", "/dev/not-there", "", "fail", /^there is no disk/],
        ["is blank", "/dev/loop0", "", "pass", /^30 GiB on/],
        ["has a file system", "/dev/loop0", "xfs", "pass", /^30 GiB on/],
        ["has one that is not grown here", "/dev/loop0", "btrfs", "fail", /holds something else: btrfs/],
        ["holds something else", "/dev/loop0", "LVM2_member", "fail", /holds something else: LVM2_member/],
    ])("a disk for the data that %s", async (_, device, found, level, said) => {
        program("sleep", "true");
        program("[", `case "$*" in "-b /dev/loop0 ]") exit 0 ;; "! -b /dev/loop0 ]") exit 1 ;; esac; exec /usr/bin/[ "$@"`);
        program("wipefs", `echo '${found}' | grep .; true`);
        program("lsblk", "echo 32212254720");
        // The shell's own [ would look at this machine's devices.
        const script = PREFLIGHT.replaceAll("[ -b ", `"${folder}/[" -b `).replaceAll("[ ! -b ", `"${folder}/[" ! -b `);
        const { stdout } = await run(script, "", "", { DEVICE: device });
        expect(parsePreflight(stdout).find(({ check }) => check === "disk")).toMatchObject({ level, found: expect.stringMatching(said) });
    });

    test.each([
        ["clones", "xfs", "0", "pass", "clones"],
        ["does not, on a logical volume", "ext4", "1073741824", "pass", "is on a logical volume with room for a snapshot: v/mail"],
        ["does not, on one without room", "ext4", "1048576", "warn", "ext4 does not clone"],
        ["does not, on none", "ext4", "", "warn", "ext4 does not clone"],
    ])("a file system that %s", async (_, type, free, level, found) => {
        program("findmnt", `case "$*" in *SOURCE*) echo /dev/mapper/v-mail ;; *) echo ${type} ;; esac`);
        program("lvcreate", "true");
        program("lvs", free && `case "$*" in *lv_full_name*) echo v/mail ;; *vg_free*) echo ${free} ;; esac`);
        const finding = await find("backups", "", "", { BACKUPS: "yes" });
        expect(finding).toMatchObject({ level, found: expect.stringContaining(found) });
        if (level === "warn") expect(finding?.fix.includes("or leave 512 MiB free in v for a snapshot")).toBe(free !== "");
    });

    test("who is not root is told so, and nothing else", async () => {
        program("id", 'if [ "$1" = -u ]; then echo 1000; else echo debian; fi');
        expect(parsePreflight((await run(PREFLIGHT)).stdout)).toEqual([
            { level: "fail", check: "user", found: "debian", fix: "log in as root, or as one who may use sudo without a password" },
        ]);
    });

    test("as a step of an up it tells warnings, and ends with 1 and one line for each failure", async () => {
        program("ip", "true");
        expect(await run(MUST_PASS)).toMatchObject({ status: 0, stderr: expect.stringMatching(/^warning: addresses: no public address .*\n$/) });
        program("ip", "echo '2: eth0    inet 203.0.113.7/24 scope global eth0'");
        program("uname", "echo riscv64");
        const { status, stdout, stderr } = await run(MUST_PASS);
        expect([status, stderr]).toEqual([1, "Preflight: processor: riscv64. Fix: the images are made for x86_64 and aarch64\n"]);
        expect(parsePreflight(stdout).length).toBeGreaterThan(5);
    });

    test("a greeting of the shell is no finding", () =>
        expect(parsePreflight("Welcome!\n\npass\tos\tDebian\t")).toEqual([{ level: "pass", check: "os", found: "Debian", fix: "" }]));
});
