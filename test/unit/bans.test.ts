import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { BANS, UNDO_BANS, bansValues } from "../../components/server/host/bans";
import { COUNT, LOGINS } from "../../components/server/host/logins";
import { settingsFrom } from "../../operate/stackFile";

// What fail2ban and the kernel make of it is shown by test/e2e/own.test.ts.

const LOCK = { "forwardemail:images": { lockFile: "test/fixtures/images.lock.json" } };
const SERVER = { name: "main", kind: "ssh", address: "192.0.2.1", hostKey: `ssh-ed25519 ${"A".repeat(68)}`, port: 2200 };

describe("the values", () => {
    const values = (config: Record<string, unknown>) => {
        const server = { "forwardemail:servers": [SERVER], "forwardemail:host": "mail.example.com", ...LOCK };
        const settings = settingsFrom("x", { ...server, ...config });
        return bansValues(settings, settings.servers[0]);
    };

    test("are the ports that people log in to, wherever they are published", () => {
        expect(values({})).toMatchObject({ SSH: "2200", MAIL: "465,993,995", FAILURES: "8", MINUTES: "60" });
        expect(values({ "forwardemail:profile": "forwarding", "forwardemail:network": { portOffset: 10_000 } })).toMatchObject({ MAIL: "10465" });
    });

    test("exempt private networks, those that SSH may come from unless it is the world, and those of the config, over IPv6 by /64", () => {
        const own = (firewall: object) => values({ "forwardemail:firewall": firewall })!.EXEMPT.split(" ");
        const usual = own({});
        expect(usual).toEqual(expect.arrayContaining(["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "::1", "fc00::/7"]));
        expect(usual).not.toContain("0.0.0.0/0");
        const more = own({ sshFrom: ["203.0.113.0/24", "2001:db8::/32"], bans: { exempt: ["198.51.100.7/32", "2001:db8:1:2::3/128"] } });
        expect(more.slice(usual.length)).toEqual(["203.0.113.0/24", "2001:db8::/32", "198.51.100.7/32", "2001:db8:1:2::3/64"]);
    });

    test("are none where nobody is to be closed out", () => {
        expect(values({ "forwardemail:firewall": { bans: { enabled: false } } })).toBeUndefined();
    });
});

describe("wrong passwords", () => {
    const told = (before: Record<string, number>, now: Record<string, number>) => {
        const lines = (counts: object) => Object.entries(counts).map(([key, count]) => `auth_limit_production:${key} ${count}`);
        const input = [...lines(before), ".", ...lines(now), ""].join("\n");
        const { stdout, status } = spawnSync("awk", [COUNT], { input, encoding: "utf8" });
        expect(status).toBe(0);
        return stdout
            .split("\n")
            .filter(Boolean)
            .map((line) => line.replace("a wrong password from ", ""));
    };

    test("are told once each", () => {
        expect(told({ "203.0.113.9": 3 }, { "203.0.113.9": 5, "198.51.100.4": 1 }).sort()).toEqual(["198.51.100.4", "203.0.113.9", "203.0.113.9"]);
        expect(told({ "203.0.113.9": 5 }, { "203.0.113.9": 5 })).toEqual([]);
    });

    test("are counted anew after the right one, which removes the count", () => {
        expect(told({ "203.0.113.9": 4 }, {})).toEqual([]);
        expect(told({ "203.0.113.9": 4 }, { "203.0.113.9": 1 })).toEqual(["203.0.113.9"]);
    });

    test.each([
        ["2001:db8::5", "2001:db8:0:0::/64"],
        ["2001:db8:0:7:1:2:3:4", "2001:db8:0:7::/64"],
        ["2001:db8:1:2:3::5", "2001:db8:1:2::/64"],
        ["1::2:3:4:5:6:7", "1:0:2:3::/64"],
        ["2001:db8:0:7::", "2001:db8:0:7::/64"],
        ["::1", "0:0:0:0::/64"],
    ])("over IPv6 are those of the /64: %s", (address, network) => {
        expect(told({}, { [address]: 1 })).toEqual([network]);
    });

    test("of POP3, which has IPv4 addresses in IPv6 form, are the same address's; counts by user are nobody's", () => {
        expect(told({}, { "::ffff:203.0.113.9": 1, "203.0.113.9": 1, "65f0aa0011223344556677aa": 4 })).toEqual(["203.0.113.9", "203.0.113.9"]);
    });
});

describe("the scripts", () => {
    let place: string;
    /** Puts a program in the way of the machine's own; what it is called with is kept. */
    const program = (name: string, script: string) => {
        const file = path.join(place, "bin", name);
        writeFileSync(file, `#!/bin/sh\necho "${name} $*" >>${place}/calls\n${script}\n`);
        chmodSync(file, 0o755);
    };
    const calls = () => (existsSync(`${place}/calls`) ? readFileSync(`${place}/calls`, "utf8").split("\n").filter(Boolean) : []);
    const run = (script: string) => {
        rmSync(`${place}/calls`, { force: true });
        const values = { FAILURES: "8", MINUTES: "60", EXEMPT: "10.0.0.0/8 ::1", SSH: "22", MAIL: "465", STACK: "a", DOCKER_HOST: "unix:///x.sock" };
        const env = { PATH: `${place}/bin:${process.env.PATH}`, ...values };
        return spawnSync("sh", ["-c", script.replaceAll(/\/(?=etc\/|var\/lib\/)/g, `${place}/`)], { env, encoding: "utf8" });
    };
    const written = (file: string) => readFileSync(path.join(place, "etc", file), "utf8");
    beforeEach(() => {
        place = mkdtempSync(path.join(tmpdir(), "bans-"));
        mkdirSync(path.join(place, "bin"));
        for (const name of ["apt-get", "nft"]) program(name, "");
        program("dpkg-query", `[ -e ${place}/packages ] && printf '%s install ok installed\\n' fail2ban python3-systemd`);
        program("systemctl", `case $1 in is-*) [ -e ${place}/runs ] ;; enable) touch ${place}/runs ;; esac`);
        program("sleep", "");
        program(
            "fail2ban-client",
            `[ "$1" != -t ] || [ ! -e ${place}/broken ] || { echo 'bad jail.local'; exit 255; }\n${running("sshd", "forwardemail")}`,
        );
    });
    /** What fail2ban-client says of the jails that run. */
    const running = (...names: string[]) =>
        `[ "$1" != status ] || printf 'Status\\n|- Number of jail:\\t9\\n\`- Jail list:\\t${names.join(", ")}\\n'`;

    test("make the jails before the package, and nothing the second time", () => {
        const first = run(BANS);
        expect(first).toMatchObject({ status: 0, stdout: expect.stringMatching(/^installing fail2ban python3-systemd$/m) });
        const jails = written("fail2ban/jail.d/forwardemail.conf");
        expect(jails).toMatch(/^\[sshd\]\n[^[]*^action = forwardemail\[port="22"\]$/m);
        expect(jails).toMatch(
            /^\[forwardemail\]\n[^]*^action = forwardemail\[port="465"\]\nmaxretry = 8\nfindtime = 1h\nbantime = 60m\nignoreip = 10/m,
        );
        expect(written("fail2ban/action.d/forwardemail.conf")).toContain("chain_hook = prerouting\n");
        expect(written("systemd/system/forwardemail-logins.service")).toContain("Environment=STACK=a DOCKER_HOST=unix:///x.sock\n");
        expect(calls().findIndex((call) => call.startsWith("apt-get -q -y"))).toBeLessThan(calls().indexOf("fail2ban-client -t"));
        writeFileSync(path.join(place, "packages"), "");
        expect(run(BANS)).toMatchObject({ status: 0, stdout: "", stderr: "" });
        expect(calls().filter((call) => /apt-get|restart|enable /.test(call))).toEqual([]);
    });

    test("name a configuration that fail2ban refuses", () => {
        writeFileSync(path.join(place, "broken"), "");
        const { status, stderr } = run(BANS);
        expect([status, stderr]).toEqual([1, expect.stringMatching(/^bad jail\.local\n.*Fix: mend /)]);
        expect(calls().join()).not.toContain("restart");
    });

    test("wait for the jails that start, and not for one that jail.local turns off", () => {
        const wanted = (...names: string[]) => `[ "$1" != -d ] || printf "%s\\n" ${names.map((name) => `"['start', '${name}']"`).join(" ")}`;
        program("fail2ban-client", [wanted("sshd", "forwardemail"), running("sshd", "forwardemail")].join("\n"));
        expect(run(BANS).status).toBe(0);
        expect(calls()).not.toContain("fail2ban-client -d");
        program("fail2ban-client", [wanted("forwardemail"), running("sshd-ddos", "forwardemail")].join("\n"));
        expect(run(BANS).status).toBe(0);
        program("fail2ban-client", [wanted("sshd", "forwardemail"), running("sshd-ddos", "forwardemail")].join("\n"));
        expect(run(BANS)).toMatchObject({ status: 1, stderr: expect.stringMatching(/^fail2ban does not run\. Fix: /) });
        program("fail2ban-client", `[ "$1" != status ] || exit 255`);
        expect(run(BANS).status).toBe(1);
    });

    test("are taken back: fail2ban stops unless it ran before", () => {
        for (const before of [false, true]) {
            rmSync(path.join(place, "runs"), { force: true });
            if (before) writeFileSync(path.join(place, "runs"), "");
            expect(run(BANS).status).toBe(0);
            expect(run(UNDO_BANS)).toMatchObject({ status: 0, stderr: "" });
            expect(calls().includes("systemctl try-restart fail2ban")).toBe(before);
            expect(calls().includes("systemctl disable --quiet --now fail2ban")).toBe(!before);
            const left = ["fail2ban/jail.d", "fail2ban/action.d", "fail2ban/filter.d", "systemd/system", "forwardemail"];
            expect(left.flatMap((folder) => readdirSync(path.join(place, "etc", folder)))).toEqual([]);
            expect(readdirSync(path.join(place, "var/lib/forwardemail-host"))).toEqual([]);
            expect(run(UNDO_BANS).status).toBe(0);
        }
    });

    test("read the counts in Redis and tell each round at once; the first one is old, and where there is no answer nothing is known", () => {
        const rounds = ["203.0.113.9 1", "203.0.113.9 3", "no answer", "203.0.113.9 4", "none", "203.0.113.9 2"];
        rounds.forEach((round, at) =>
            writeFileSync(path.join(place, `round-${at + 1}`), /\d/.test(round) ? `auth_limit_production:${round}\n` : round),
        );
        const round = `${place}/round-$(wc -l <${place}/slept)`;
        // The last sleep ends the service, and says what has been told until then.
        program("sleep", `echo >>${place}/slept; [ "$(wc -l <${place}/slept)" -le ${rounds.length} ] || { cp ${place}/out ${place}/told; exit 1; }`);
        program("docker", `case $1 in ps) echo 0123 ;; exec) shift 2; exec "$@" ;; esac`);
        program(
            "redis-cli",
            `! grep -q answer ${round} || exit 1\ngrep -q none ${round} || case $1 in --scan) cut -d ' ' -f 1 ${round} ;; mget) cut -d ' ' -f 2 ${round} ;; esac`,
        );
        expect(run(`(\n${LOGINS}\n) >${place}/out`)).toMatchObject({ stdout: "", stderr: "" });
        expect(readFileSync(path.join(place, "told"), "utf8")).toBe("a wrong password from 203.0.113.9\n".repeat(2 + 1 + 2));
    });
});
