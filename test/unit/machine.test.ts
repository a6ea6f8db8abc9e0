import { createServer } from "node:http";
import { AddressInfo } from "node:net";
import { PulumiCommand } from "@pulumi/pulumi/automation";
import { afterEach, describe, expect, test } from "vitest";
import { Machine, THIS_MACHINE, needDocker, unreachable } from "../../operate/machine";
import { findPulumi } from "../../operate/pulumi";

const SOCKET = "unix:///var/run/docker.sock";

/** A Debian machine with systemd, root and no Docker, where apt and systemctl do what they should; records what was run and said. */
function machine(but: Partial<Machine> = {}) {
    const parts = new Set<string>();
    let running = false;
    const ran: string[] = [];
    const said: string[] = [];
    const it: Machine = {
        answers: () => running,
        has: (part) => parts.has(part),
        isDebian: () => true,
        isRoot: () => true,
        hasSystemd: () => true,
        run(program, args, env = {}) {
            ran.push([...Object.entries(env).map(([key, value]) => `${key}=${value}`), program, ...args].join(" "));
            if (args.includes("docker.io")) parts.add("client").add("daemon");
            if (args.includes("docker")) running = true;
        },
        wait: () => void ran.push("wait"),
        ...but,
    };
    return { ran, said, need: (dockerHost = SOCKET) => needDocker(dockerHost, (line) => said.push(line), it) };
}

describe("Docker", () => {
    const UPDATE = "apt-get update -qq";
    const INSTALL = "DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends";
    const ENABLE = "systemctl enable --now docker";

    test("that answers is left alone", () => {
        const { ran, said, need } = machine({ answers: () => true });
        need("ssh://elsewhere");
        expect([ran, said]).toEqual([[], []]);
    });

    test("is installed and started on Debian for root, and it is said before", () => {
        const { ran, said, need } = machine();
        need();
        expect(ran).toEqual([UPDATE, `${INSTALL} docker.io`, ENABLE]);
        expect(said).toEqual(["Installing Docker (package docker.io) ...", "Starting Docker ..."]);
    });

    test("gets its client from a package of its own where docker.io does not bring it", () => {
        const { ran, need } = machine({ has: (part) => part === "daemon" });
        need();
        expect(ran).toEqual([UPDATE, `${INSTALL} docker.io`, `${INSTALL} docker-cli`, ENABLE]);
    });

    test("that is installed is only started, without systemd too", () => {
        const { ran, said, need } = machine({ has: () => true, hasSystemd: () => false });
        need();
        expect([ran, said]).toEqual([["service docker start"], ["Starting Docker ..."]]);
    });

    test("gets time to begin to answer", () => {
        const { ran, need } = machine({ has: () => true, answers: () => ran.length > 3 });
        need();
        expect(ran).toEqual([ENABLE, "wait", "wait", "wait"]);
    });

    test.each([
        [true, "journalctl -u docker"],
        [false, "/var/log/docker.log"],
    ])("that never answers is not waited for without end, and its log is named (systemd: %s)", (systemd, journal) => {
        const { ran, need } = machine({ has: () => true, answers: () => false, hasSystemd: () => systemd });
        expect(need).toThrow(`Docker was started, but does not answer at ${SOCKET}. Fix: see its log, ${journal}.`);
        expect(ran.filter((command) => command === "wait")).toHaveLength(20);
    });

    const failing = (what: string) => (program: string) => {
        if (program === what) throw new Error(`${what} failed: E: no`);
    };

    test("that apt cannot install is told with what apt said and the other way", () => {
        expect(machine({ run: failing("apt-get") }).need).toThrow(
            "Docker could not be installed: apt-get failed: E: no. Fix: mend that, or install Docker yourself, https://docs.docker.com/engine/install.",
        );
    });

    test("that does not start is told with what systemctl said and where its log is", () => {
        expect(machine({ has: () => true, run: failing("systemctl") }).need).toThrow(
            "Docker could not be started: systemctl failed: E: no. Fix: see its log, journalctl -u docker.",
        );
    });

    const INSTALL_IT = "install it, https://docs.docker.com/engine/install";
    const START_IT = "start it (systemctl start docker), and see that this user may use it (group docker)";
    test.each<[string, Partial<Machine>, string, string]>([
        ["another user than root, none installed", { isRoot: () => false }, SOCKET, `${INSTALL_IT}, or run this as root, which installs it`],
        ["another user than root, installed", { isRoot: () => false, has: () => true }, SOCKET, START_IT],
        ["another user than root, only the client", { isRoot: () => false, has: (part) => part === "client" }, SOCKET, INSTALL_IT],
        ["another distribution, none installed", { isDebian: () => false }, SOCKET, INSTALL_IT],
        ["another distribution, installed", { isDebian: () => false, has: () => true }, SOCKET, START_IT],
        ["another host", { has: () => true }, "ssh://root@mail", "see why with `docker --host ssh://root@mail version`"],
    ])("is the operator's to mend: %s", (_, but, dockerHost, fix) => {
        const { ran, said, need } = machine(but);
        expect(() => need(dockerHost)).toThrow(`Docker does not answer at ${dockerHost}. Fix: ${fix}`);
        expect([ran, said]).toEqual([[], []]);
    });

    test("a program that fails is named with its arguments and its words", () => {
        expect(() => THIS_MACHINE.run("sh", ["-c", "echo ignored; echo 'E: gone' >&2; exit 100"])).toThrow(/^sh -c .* failed: E: gone$/);
        expect(() => THIS_MACHINE.run("no-such-program", ["x"])).toThrow(/^no-such-program x failed: .*ENOENT/);
        THIS_MACHINE.run("sh", ["-c", 'test "$FRONTEND" = quiet && test -n "$PATH"'], { FRONTEND: "quiet" });
    });
});

describe("hosts that an up needs", () => {
    const stop: Array<() => void> = [];
    afterEach(() => stop.splice(0).forEach((end) => end()));

    /** A registry on loopback that says 401 to everybody, and one that is not there any more. */
    async function registries() {
        const asked: string[] = [];
        const open = async () => {
            const server = createServer(({ method, url }, answer) => {
                asked.push(`${method} ${url}`);
                answer.writeHead(401).end();
            }).listen(0, "127.0.0.1");
            await new Promise((resolve) => server.once("listening", resolve));
            return { server, host: `127.0.0.1:${(server.address() as AddressInfo).port}` };
        };
        const [up, down] = [await open(), await open()];
        await new Promise((resolve) => down.server.close(resolve));
        stop.push(() => up.server.close());
        return { asked, up: up.host, down: down.host };
    }
    let kind = "local";
    const settings = (...references: string[]) =>
        ({ images: references.map((reference) => ({ reference })), servers: [{ kind, dockerHost: SOCKET }] }) as unknown as Parameters<
            typeof unreachable
        >[0];

    test("are asked once each; any answer will do, none is named", async () => {
        const { asked, up, down } = await registries();
        const here = { hasPulumi: async () => true, hasImage: () => false };
        expect(await unreachable(settings(`${up}/a:1`, `${up}/b:1`, `${down}/c:1`, `${down}/d:1`), here)).toEqual([down]);
        expect(asked).toEqual(["HEAD /v2/"]);
    });

    test("are not asked for what is here already", async () => {
        const { asked, up, down } = await registries();
        const here = { hasPulumi: async () => true, hasImage: (reference: string, dockerHost: string) => dockerHost === SOCKET && !!reference };
        expect(await unreachable(settings(`${up}/a:1`, `${down}/c:1`), here)).toEqual([]);
        expect(asked).toEqual([]);
    });

    test("are not asked for images that another machine pulls", async () => {
        const { asked, down } = await registries();
        kind = "ssh";
        stop.push(() => (kind = "local"));
        expect(await unreachable(settings(`${down}/a:1`), { hasPulumi: async () => true, hasImage: () => false })).toEqual([]);
        expect(asked).toEqual([]);
    });

    test("include Pulumi's where its CLI is missing, and Docker Hub under the name that answers", async () => {
        const fetched: string[] = [];
        const real = globalThis.fetch;
        stop.push(() => (globalThis.fetch = real));
        globalThis.fetch = async (url) => {
            fetched.push(url as string);
            throw new Error("no network");
        };
        const here = { hasPulumi: async () => false, hasImage: () => false };
        expect(await unreachable(settings("docker.io/library/redis:8"), here)).toEqual(["get.pulumi.com", "registry-1.docker.io"]);
        expect(fetched).toEqual(["https://get.pulumi.com/", "https://registry-1.docker.io/v2/"]);
    });
});

describe("the Pulumi CLI", () => {
    /** A machine with these CLIs: `path`, or `own` in the project's folder. Records where one was installed. */
    function source(there: Array<"path" | "own">, problem?: string) {
        const installed: string[] = [];
        const cli = (command: string) => ({ command }) as PulumiCommand;
        return {
            installed,
            get: async ({ root }: { root?: string } = {}) => {
                if (!there.includes(root ? "own" : "path")) throw new Error("not there, or too old");
                return cli(root ?? "pulumi");
            },
            install: async ({ root = "/" } = {}) => {
                if (problem) throw new Error(problem);
                installed.push(root);
                return cli(root);
            },
        };
    }
    const said: string[] = [];
    afterEach(() => said.splice(0));
    const find = async (from: ReturnType<typeof source>) => (await findPulumi((line) => said.push(line), from)).command;

    test("on PATH comes before the project's own, and neither is installed again", async () => {
        const both = source(["path", "own"]);
        expect(await find(both)).toBe("pulumi");
        const own = source(["own"]);
        expect(await find(own)).toMatch(/\.work\/pulumi$/);
        expect([both.installed, own.installed, said]).toEqual([[], [], []]);
    });

    test("that is missing is installed into the project's folder, and it is said before", async () => {
        const none = source([]);
        expect(await find(none)).toMatch(/\.work\/pulumi$/);
        expect(none.installed).toEqual([expect.stringMatching(/\.work\/pulumi$/)]);
        expect(said).toEqual(["Installing the Pulumi CLI into .work/pulumi (once, about 150 MB from get.pulumi.com) ..."]);
    });

    test("that cannot be downloaded is told with the host, the cause and the fix", () =>
        expect(find(source([], "connect ETIMEDOUT"))).rejects.toThrow(
            "The Pulumi CLI could not be installed from get.pulumi.com (connect ETIMEDOUT). Fix: install it, https://www.pulumi.com/docs/install, and run this again.",
        ));
});
