import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { describe, expect, test } from "vitest";
import { CATALOGUE, SERVICE_NAMES, publicNames, servicesOf } from "../../components/services/catalogue";
import { applicationProbe, healthcheck, hasStartInterval, mongoPingMessage, probeCommand } from "../../components/services/health";
import { pinnedAddress } from "../../components/services/network";
import { routerConfig } from "../../components/services/router";
import { hexKey } from "../../components/services/secrets";
import { policyFiles } from "../../components/services/policies";
import { Settings } from "../../components/settings/settings";

describe("catalogue", () => {
    test("needs come before who needs them, so that the table is its own start order", () => {
        for (const [at, name] of SERVICE_NAMES.entries())
            for (const need of CATALOGUE[name].needs) expect(SERVICE_NAMES.indexOf(need), `${name} needs ${need}`).toBeLessThan(at);
    });

    test("forwarding needs nothing that it does not have", () => {
        for (const name of servicesOf("forwarding")) for (const need of CATALOGUE[name].needs) expect(servicesOf("forwarding")).toContain(need);
    });

    test("exactly six ports face the world, each with one owner", () => {
        const ports = SERVICE_NAMES.flatMap((name) => CATALOGUE[name].publish);
        expect(ports.sort((a, b) => a - b)).toEqual([25, 80, 443, 465, 993, 995]);
    });

    test("no container has the name under which it looks for another service", () => {
        const owner = (label: string) => SERVICE_NAMES.find((name) => CATALOGUE[name].aliases.includes(label));
        for (const name of SERVICE_NAMES) {
            const { hostname } = CATALOGUE[name];
            if (!hostname.endsWith(".")) continue;
            const other = owner(hostname.slice(0, -1));
            // mx is looked up in public DNS only (mx-connect), never in /etc/hosts
            if (name !== "smtp_bree") expect(other, `${name} is called ${hostname}HOST`).toBe(name);
            else expect(other).toBe("mx");
        }
    });

    test("an alias has one owner", () => {
        const all = SERVICE_NAMES.flatMap((name) => CATALOGUE[name].aliases);
        expect(new Set(all).size).toBe(all.length);
    });

    test("the certificate covers what clients connect to", () => {
        expect(publicNames("m.example", "full").sort()).toEqual(
            ["m.example", ...["api", "caldav", "carddav", "imap", "mx", "pop3", "smtp"].map((label) => `${label}.m.example`)].sort(),
        );
        expect(publicNames("m.example", "forwarding")).not.toContain("imap.m.example");
    });
});

describe("health", () => {
    test.each(SERVICE_NAMES)("the probe of %s is valid shell", (name) => {
        execFileSync("sh", ["-n", "-c", applicationProbe(CATALOGUE[name].probe)]);
    });

    test("a server that greets without its database is not healthy", () => {
        const probe = applicationProbe({ kind: "websocket", port: 1 }).replace(/&& code=.*/s, "&& true");
        const run = (connections: string) => {
            const table = path.join(mkdtempSync(path.join(tmpdir(), "probe-")), "tcp");
            writeFileSync(table, connections);
            return spawnSync("sh", ["-c", probe.replaceAll("/proc/net/tcp6", "").replaceAll("/proc/net/tcp", table)], { encoding: "utf8" });
        };
        expect(run("0: 0200000A:C350 0300000A:6989 01 00000000").status).toBe(0); // established to 27017
        expect(run("0: 0200000A:C350 0300000A:6989 06 00000000")).toMatchObject({ status: 1, stdout: "no connection to port 27017\n" }); // TIME_WAIT
        expect(run("0: 0200000A:6989 0300000A:C350 01 00000000").status).toBe(1); // somebody else's connection to us
    });

    test.each(["1.41", "1.43"])("API %s has no startInterval", (api) => {
        expect(hasStartInterval(api)).toBe(false);
        expect(healthcheck("true", api)).not.toHaveProperty("startInterval");
    });

    test.each(["1.44", "1.51", "2.0"])("API %s has startInterval", (api) => expect(hasStartInterval(api)).toBe(true));

    test("durations are as Go prints them", () => {
        for (const api of ["1.41", "1.44"]) {
            const { interval, timeout, startPeriod } = healthcheck("true", api) as Record<string, string>;
            for (const duration of [interval, timeout, startPeriod]) expect(duration).toMatch(/^(\d+m)?([1-5]?\d)s$/);
        }
    });

    test("the MongoDB probe sends a well-formed OP_MSG", () => {
        const message = mongoPingMessage();
        expect(message.readInt32LE(0)).toBe(message.length);
        expect(message.readInt32LE(12)).toBe(2013);
        expect(message.readInt32LE(21)).toBe(message.length - 21);
        expect(message.subarray(25).toString("latin1")).toBe("\x10ping\0\x01\0\0\0\x02$db\0\x06\0\0\0admin\0\0");
    });

    test("an answer with a 5xx is not healthy, a 401 is, silence is not", async () => {
        const status = (code: number | undefined) =>
            new Promise<boolean>((resolve) => {
                const server = createServer((socket) => {
                    if (code) socket.end(`HTTP/1.1 ${code} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
                    else socket.destroy();
                }).listen(0, "127.0.0.1", async () => {
                    const { port } = server.address() as { port: number };
                    const command = probeCommand({ kind: "https", port, path: "/" }).replace("https://", "http://");
                    const { spawn } = await import("node:child_process");
                    spawn("sh", ["-c", command], { stdio: "ignore" }).on("exit", (exit) => {
                        server.close();
                        resolve(exit === 0);
                    });
                });
            });
        expect([await status(200), await status(401), await status(404), await status(500), await status(503), await status(undefined)]).toEqual([
            true,
            true,
            true,
            false,
            false,
            false,
        ]);
    });
});

describe("secrets", () => {
    test("a hexadecimal key is never a number to the application", () => {
        for (let seed = 0; seed < 2000; seed++) expect(Number(hexKey(String(seed), 4)), `seed ${seed}`).toBeNaN();
        expect(hexKey("seed", 32)).toMatch(/^[0-9a-f]{32}$/);
        expect(hexKey("seed", 32)).toBe(hexKey("seed", 32));
        expect(hexKey("seed", 32)).not.toBe(hexKey("other", 32));
    });
});

describe("network", () => {
    test.each([
        ["10.89.7.0/24", "10.89.7.129"],
        ["172.20.0.0/16", "172.20.128.1"],
        ["192.168.5.64/26", "192.168.5.97"],
    ])("%s pins %s", (subnet, address) => expect(pinnedAddress(subnet, 0)).toBe(address));
});

describe("router", () => {
    const settings = {
        ...{ host: "m.example", domains: ["m.example"], profile: "full", autoconfig: false },
        network: { ipv6: true, portOffset: 10000 },
        certificates: { issuer: "self-signed" },
    } as unknown as Settings;

    test("what it answers itself: challenges, policy, and the servers of mail clients", () => {
        const own = {
            ...settings,
            ...{ domains: ["a.example", "b.example"], mtaSts: { mode: "testing", maxAge: 86400 }, autoconfig: true },
            certificates: { issuer: "acme" },
        } as Settings;
        expect(routerConfig(own, { web: "web-1" })).toMatchSnapshot();
        expect(policyFiles(own)).toMatchSnapshot();
    });

    test("the whole configuration", () => {
        expect(routerConfig(settings, { web: "web-1", api: "api-1", caldav: "dav-1", carddav: "dav-2" })).toMatchSnapshot();
    });

    test("without IPv6 nothing listens on it", () => {
        expect(routerConfig({ ...settings, network: { ...settings.network, ipv6: false } }, { web: "w" })).not.toContain("[::]");
    });
});
