import type { EngineEvent, UpOptions } from "@pulumi/pulumi/automation";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { servicesOf } from "../../components/services/catalogue";
import { allHealthy, converge } from "../../operate/converge";
import type { DockerAddress, Observer, Running } from "../../operate/health";
import { Progress } from "../../operate/progress";
import type { Session } from "../../operate/session";

const SETTINGS = {
    name: "forwardemail-x",
    profile: "forwarding",
    servers: [{ name: "main", kind: "local", dockerHost: "unix:///x.sock", reach: [], blockLists: [] }],
    startTimeout: 60,
} satisfies Parameters<typeof allHealthy>[0];
const address = (host?: DockerAddress) => (typeof host === "object" ? host.dockerHost : host);

const said: string[] = [];
const log = (line: string) => void said.push(line);
beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
    vi.useRealTimers();
    said.splice(0);
});

type Change = Partial<Running> | "gone";

/** Every service, healthy, but for these. */
function containers(but: Record<string, Change> = {}): Running[] {
    return servicesOf(SETTINGS.profile)
        .filter((service) => but[service] !== "gone")
        .map((service) => ({
            service,
            container: `x-${service}`,
            id: service,
            health: "healthy",
            restarts: 0,
            image: "i",
            ...(but[service] as object),
        }));
}

/** Docker, which sees one of these after the other; the last one stays. */
function docker(...views: Array<Record<string, Change>>) {
    const asked: string[] = [];
    const observer: Observer = {
        isBare: () => false,
        whyNot: () => undefined,
        inspectStack: (name, host) => {
            asked.push(`${name} ${address(host)}`);
            return containers(views.length > 1 ? views.shift() : views[0]);
        },
        volumes: () => ["x-mongodb"],
        exists: () => true,
        explain: (container) => ({ probe: "", log: [`last words of ${container}`] }),
        remove: (container, host) => void asked.push(`rm ${container} ${address(host)}`),
    };
    return { asked, observer };
}

describe("waiting for health", () => {
    /** The verdict, and the seconds that it took. */
    async function wait(observer: Observer): Promise<[boolean, number]> {
        const began = Date.now();
        const verdict = allHealthy(SETTINGS, log, observer);
        await vi.runAllTimersAsync();
        return [await verdict, (Date.now() - began) / 1000];
    }

    test("ends at once and says nothing where every service is healthy", async () => {
        const { asked, observer } = docker({});
        expect([await wait(observer), said]).toEqual([[true, 0], []]);
        expect(asked).toEqual(["forwardemail-x unix:///x.sock"]);
    });

    test("goes on while a service starts", async () => {
        const { observer } = docker({ mx: { health: "starting" } }, { mx: { health: "starting" } }, {});
        expect([await wait(observer), said]).toEqual([[true, 2], []]);
    });

    test("ends at once for an unhealthy service: its name, probe, log and known fix are told", async () => {
        const { observer } = docker({ mx: { health: "unhealthy" } });
        observer.explain = (_, host) => ({ probe: `no greeting (${address(host)})`, log: ["one", "two"], fix: "do this" });
        expect(await wait(observer)).toEqual([false, 0]);
        expect(said).toEqual([
            "",
            "Service mx is unhealthy (container x-mx).",
            "  its probe says: no greeting (unix:///x.sock)",
            "  | one",
            "  | two",
            "  fix: do this",
        ]);
    });

    test("an unhealthy one is told when the others have started: it may recover meanwhile", async () => {
        const views = [{ mx: { health: "unhealthy" }, web: { health: "starting" } }];
        expect(await wait(docker(...views, {}).observer)).toEqual([true, 1]);
        expect(await wait(docker(...views, { mx: { health: "unhealthy" } }).observer)).toEqual([false, 1]);
        expect(said.filter((line) => line.startsWith("Service"))).toEqual(["Service mx is unhealthy (container x-mx)."]);
    });

    test.each(["restarting", "exited", "created", "running"])("%s is not healthy", async (health) => {
        expect(await wait(docker({ mx: { health } }).observer)).toEqual([false, 0]);
        expect(said).toEqual([
            "",
            `Service mx is ${health} (container x-mx).`,
            "  | last words of x-mx",
            "  fix: look at docker logs x-mx; the next `npm run up` replaces it",
        ]);
    });

    test("services whose container is gone are named, with what starts them", async () => {
        expect(await wait(docker({ mx: "gone", redis: "gone" }).observer)).toEqual([false, 0]);
        expect(said).toEqual([expect.stringMatching(/^\nNot running: (redis, mx|mx, redis)\. The next `npm run up` starts them\.$/)]);
    });

    test("a restart loop, which starts again and again, ends with startTimeout and with the number of restarts", async () => {
        const { observer } = docker({ mx: { health: "starting", restarts: 9 } });
        expect(await wait(observer)).toEqual([false, SETTINGS.startTimeout]);
        expect(said).toEqual([
            "",
            "Service mx is starting still, after 60 s, restarted 9 times (container x-mx).",
            "  | last words of x-mx",
            "  fix: look at docker logs x-mx; if it only needs longer, raise startTimeout",
        ]);
    });

    test("restarts of a healthy service are a warning with the next step", async () => {
        expect(await wait(docker({ mx: { restarts: 1 }, web: { restarts: 2 } }).observer)).toEqual([true, 0]);
        expect(said.sort()).toEqual([
            "  warning: mx is healthy now, but has restarted once since it was made: look at docker logs x-mx",
            "  warning: web is healthy now, but has restarted 2 times since it was made: look at docker logs x-web",
        ]);
    });
});

/** Docker, which sees beside these what watches them, too. */
function watched(health: string, but: Record<string, Change> = {}) {
    const view = docker({});
    const watcher = { ...containers()[0], service: "prometheus", container: "x-prometheus", id: "prometheus", health } as unknown as Running;
    view.observer.inspectStack = () => [...containers(but), watcher];
    return view;
}

describe("what only watches the deployment", () => {
    test.each(["unhealthy", "exited", "restarting"])("is a warning where it is %s, with its reason and its fix, and no failure", async (health) => {
        const { observer } = watched(health);
        observer.explain = () => ({ probe: "no answer", log: [] });
        expect(await allHealthy(SETTINGS, log, observer)).toBe(true);
        expect(said).toEqual([
            `  warning: prometheus, which only watches, is ${health} (container x-prometheus): no answer. Fix: look at docker logs x-prometheus; the next \`npm run up\` replaces it`,
        ]);
    });

    test("is not waited for, and hides no service that is sick", async () => {
        expect([await allHealthy(SETTINGS, log, watched("starting").observer), said]).toEqual([true, []]);
        expect(await allHealthy(SETTINGS, log, watched("unhealthy", { mx: { health: "unhealthy" } }).observer)).toBe(false);
    });
});

const urn = (type: string, name: string) => `urn:pulumi:x::forwardemail::${type}::${name}`;
const container = (service: string, more: object = {}) => ({
    urn: urn("docker:index/container:Container", `x-${service}`),
    type: "docker:index/container:Container",
    id: service,
    outputs: { name: `x-${service}` },
    ...more,
});
const script = (name: string) => ({ urn: urn("command:local:Command", name), type: "command:local:Command" });
const VOLUME = { urn: urn("docker:index/volume:Volume", "x-mongodb"), type: "docker:index/volume:Volume", outputs: { name: "x-mongodb" } };

interface State {
    urn: string;
    type: string;
}

describe("converging", () => {
    /** A stack with these resources, before and after the refresh, and this update. */
    function stack(before: State[], after = before, update: (options: UpOptions) => void = () => undefined, settings: object = SETTINGS) {
        const done: string[] = [];
        let state = before;
        const it = {
            exportStack: async () => ({ deployment: { resources: state } }),
            refresh: async ({ target }: { target?: string[] }) => {
                done.push(["refresh", ...(target ?? []).map((one) => one.split("::").at(-1))].join(" "));
                state = after;
            },
            up: async (options: UpOptions) => {
                const names = (urns: string[] = []) => urns.map((one) => one.split("::").at(-1)).join(" ");
                done.push(
                    `${options.refresh ? "refresh and " : ""}up ${options.target ? `of ${names(options.target)}` : names(options.replace)}`.trim(),
                );
                update(options);
                return { summary: { resourceChanges: { same: 2, create: 1 } }, outputs: { url: { value: "https://x", secret: false } } };
            },
        };
        return { done, session: { stack: it, settings: { data: {}, ...settings } } as unknown as Pick<Session, "stack" | "settings"> };
    }
    const run = ({ session }: ReturnType<typeof stack>, { observer }: ReturnType<typeof docker>) => converge(session, log, { live: false }, observer);

    test("nothing is touched where Docker does not answer", async () => {
        const empty = stack([]);
        const { observer } = docker({});
        const result = await run(empty, { asked: [], observer: { ...observer, whyNot: () => "nobody there" } });
        expect([result, empty.done]).toEqual([{ ok: false, changes: {}, outputs: {} }, []]);
        expect(said).toEqual([
            "  error: Docker does not answer at unix:///x.sock: nobody there",
            "  fix: start Docker (systemctl start docker) and see that this user may use it (group docker)",
        ]);
    });

    test("a bare server is asked nothing, though the state is full: it is set up, and what was elsewhere is made anew", async () => {
        const { session, done } = stack([container("mx"), VOLUME], []);
        const { observer } = docker({});
        await run({ session, done }, { asked: [], observer: { ...observer, isBare: () => true, whyNot: () => "docker: command not found" } });
        expect(done).toEqual(["up"]);
    });

    describe("on AWS", () => {
        const login = { alias: "x", port: 22, user: "admin", socket: "/x.sock", ownKey: false };
        const settings = { ...SETTINGS, servers: [{ ...SETTINGS.servers[0], kind: "aws", aws: {}, login }] };
        const resource = (type: string, name: string, outputs: object = {}) => ({ urn: urn(type, name), type, outputs });
        const kept = [
            resource("aws:ec2/eip:Eip", "forwardemail-x-main-address", { publicIp: "192.0.2.9" }),
            resource("tls:index/privateKey:PrivateKey", "forwardemail-x-main-host-key", { publicKeyOpenssh: "ssh-ed25519 AAAA\n" }),
        ];
        const made = [...kept, resource("aws:ec2/instance:Instance", "forwardemail-x-main-instance"), container("mx")];
        /** Docker on the instance, if there is one: where it was asked. */
        function instance(whyNot: () => string | undefined = () => undefined) {
            const asked: unknown[] = [];
            const { observer } = docker({});
            const seen: Observer = {
                ...observer,
                isBare: ({ ssh }) => ssh === undefined,
                whyNot,
                inspectStack: (name, host) => {
                    asked.push((host as { ssh?: object }).ssh);
                    return observer.inspectStack(name, host);
                },
            };
            return { asked, observer: seen };
        }

        test("the instance is found by what the state knows of it, with the pinned key", async () => {
            const there = stack(made, made, undefined, settings);
            const { asked, observer } = instance();
            expect((await converge(there.session, log, { live: false }, observer)).ok).toBe(true);
            expect(there.done).toEqual(["refresh and up"]);
            const connection = { ...login, address: "192.0.2.9", hostKey: "ssh-ed25519 AAAA" };
            expect(asked).toEqual([connection, connection]);
        });

        test("before there is one, nothing is asked and nothing refreshed, and this machine's Docker is left alone", async () => {
            const none = stack([], [], undefined, settings);
            const { asked, observer } = instance(() => "must not be asked");
            await converge(none.session, log, { live: false }, observer);
            expect(none.done).toEqual(["up"]);
            expect(asked).toEqual([undefined]); // after the update; a real one would have made it
        });

        test("one that does not answer is looked for at AWS; if it is gone, the update makes another", async () => {
            const gone = stack(made, [...kept, container("mx")], undefined, settings);
            await converge(gone.session, log, { live: false }, instance(() => "ssh: connect to host").observer);
            expect(gone.done).toEqual(["refresh forwardemail-x-main-address forwardemail-x-main-instance", "up"]);
            expect(said[0]).toBe("The instance does not answer: asking AWS for it.");
        });

        test("one that is there and does not answer gets its security group, and then the update, which may mend it", async () => {
            const silent = stack(made, made, undefined, settings);
            let answers = false;
            const { observer } = instance(() => (answers ? undefined : "ssh: connect to host"));
            const result = converge(silent.session, log, { live: false }, observer);
            await vi.advanceTimersByTimeAsync(10_000); // it boots still
            expect(silent.done).toEqual(["refresh forwardemail-x-main-address forwardemail-x-main-instance", "up of *", "up"]);
            answers = true;
            await vi.advanceTimersByTimeAsync(3_000);
            expect((await result).ok).toBe(true);
            expect(said).toContainEqual(expect.stringMatching(/^ {2}warning: still no answer \(ssh: connect to host\)/));
        });

        test("one that closes its port to this machine is not waited for: the way back is told at once", async () => {
            const closing = stack(made, made, undefined, settings);
            const { observer } = instance(() => (closing.done.includes("refresh and up") ? "ssh: connect to host" : undefined));
            const { inspectStack } = observer;
            observer.inspectStack = (name, host) => {
                const problem = observer.whyNot(host as Parameters<Observer["whyNot"]>[0]);
                if (problem !== undefined) throw new Error(problem);
                return inspectStack(name, host);
            };
            const began = Date.now();
            expect((await converge(closing.session, log, { live: false }, observer)).ok).toBe(false);
            expect(Date.now() - began).toBe(0); // the clock is a fake
            expect(said).toEqual(["ssh: connect to host", expect.stringContaining("firewall.sshFrom")]);
        });

        test("one that lets in who is in firewall.sshFrom again is converged as usual", async () => {
            const closed = stack(made, made, undefined, settings);
            const { observer } = instance(() => (closed.done.includes("up of *") ? undefined : "ssh: connect to host"));
            expect((await converge(closed.session, log, { live: false }, observer)).ok).toBe(true);
            expect(closed.done.slice(1)).toEqual(["up of *", "refresh and up"]);
        });
    });

    test("a container that the state does not know is removed where it knows another of the service, and only there", async () => {
        const known = [container("web"), container("api", { delete: true })];
        const before = stack(known, known);
        const view = docker({});
        const twice = [...containers({ redis: "gone", mongodb: "gone" }), { ...containers()[0], service: "web" as const, container: "x-web-old" }];
        view.observer.inspectStack = () => twice;
        await converge(before.session, log, { live: false }, view.observer);
        expect(view.asked.filter((line) => line.startsWith("rm"))).toEqual(["rm x-web-old unix:///x.sock"]);
        expect(said).toContain("Left over from an earlier update, removed: web (x-web-old)");
        const failing = stack(known, known, () => {
            throw new Error("declined");
        });
        await converge(failing.session, log, { live: false }, view.observer);
        expect(view.asked.filter((line) => line.startsWith("rm"))).toHaveLength(1);
    });

    test("a new stack is not refreshed; the answer is the update's and Docker's", async () => {
        const empty = stack([]);
        expect(await run(empty, docker({}))).toEqual({
            ok: true,
            changes: { same: 2, create: 1 },
            outputs: { url: { value: "https://x", secret: false } },
        });
        expect([empty.done, said]).toEqual([["up"], []]);
    });

    test("an update that succeeded does not hide a sick service", async () => {
        expect((await run(stack([]), docker({ mx: { health: "unhealthy" } }))).ok).toBe(false);
    });

    test("what is sick is replaced and named; what starts, and a container that is to be deleted, are not", async () => {
        const sick = stack([
            container("mx"),
            container("web"),
            container("smtp", { delete: true }),
            container("api"),
            script("x-mongodb-claim"),
            VOLUME,
        ]);
        const now = { mx: { health: "unhealthy" }, web: { health: "starting" }, smtp: { health: "exited" }, api: { health: "exited" } };
        expect((await run(sick, docker(now, {}))).ok).toBe(true);
        expect(sick.done).toEqual(["refresh and up x-mx x-api"]);
        expect(said).toEqual(["Unhealthy, to be replaced: x-mx, x-api"]);
    });

    test("an `up` replaces what watches where it is sick; an update leaves it alone, whose end it must not decide", async () => {
        const both = [container("mx"), container("prometheus"), script("x-mongodb-claim"), VOLUME];
        const sick = () => watched("unhealthy", { mx: { health: "unhealthy" } });
        const up = stack(both);
        await run(up, sick());
        const update = stack(both);
        await converge(update.session, log, { live: false }, sick().observer, "services");
        expect([up.done, update.done]).toEqual([["refresh and up x-mx x-prometheus"], ["refresh and up x-mx"]]);
    });

    test("where a container is gone, the scripts that look at data and write files run again", async () => {
        const resources = [container("web"), script("x-mongodb-claim"), script("x-router-files"), script("x-other")];
        const partial = stack([container("mx"), ...resources], resources);
        await run(partial, docker({ mx: "gone" }, {}));
        expect(partial.done).toEqual(["refresh and up x-mongodb-claim x-router-files"]);
    });

    test("where a volume is gone, it is named, and they run again", async () => {
        const resources = [VOLUME, script("x-mongodb-claim"), script("x-redis-claim")];
        const { asked, observer } = docker({});
        const complete = stack(resources);
        await run(complete, { asked, observer });
        expect([complete.done, said]).toEqual([["refresh and up"], []]);
        const lost = stack(resources);
        await run(lost, { asked, observer: { ...observer, volumes: () => ["somebody-elses"] } });
        expect(lost.done).toEqual(["refresh and up x-mongodb-claim x-redis-claim"]);
        expect(said).toEqual(["Volumes that are gone, to be made anew: x-mongodb"]);
    });

    test("where the disk of the data is gone, what is on it is made and looked at again, though every service still runs", async () => {
        const names = ["x-main-disk", "x-mongodb-claim", "x-backup-repository", "x-backup-open", "x-other"];
        const folder = { ...SETTINGS, data: { directory: "/srv/mail" } };
        const asked: string[] = [];
        const seen = (there: boolean) => ({ asked, observer: { ...docker({}).observer, exists: (file: string) => (asked.push(file), there) } });
        const well = stack(names.map(script), undefined, undefined, folder);
        await run(well, seen(true));
        expect([well.done, asked]).toEqual([["refresh and up"], ["/srv/mail/mongodb/.forwardemail"]]);
        const lost = stack(names.map(script), undefined, undefined, folder);
        await run(lost, seen(false));
        expect(lost.done).toEqual(["refresh and up x-main-disk x-mongodb-claim x-backup-repository x-backup-open"]);
        expect(said[0]).toMatch(/^The data are gone from \/srv\/mail: /);
        const fresh = stack([script("x-other")], undefined, undefined, folder); // after a `down`, or before the first up's end
        await run(fresh, seen(false));
        expect(fresh.done).toEqual(["refresh and up"]);
    });

    test("a way to the server that the state does not know yet is not read by, and is taken by the update", async () => {
        const provider = (host: string) => ({ urn: urn("pulumi:providers:docker", "x"), type: "pulumi:providers:docker", inputs: { host } });
        const moved = stack([provider("unix:///old.sock"), container("mx")]);
        await run(moved, docker({}));
        expect([moved.done, said]).toEqual([["up"], [expect.stringContaining("The way to the server has changed")]]);
        const same = stack([provider("unix:///x.sock"), container("mx")]);
        await run(same, docker({}));
        expect(same.done).toEqual(["refresh and up"]);
    });

    test("what a killed operation was about is named, because it may be there twice", async () => {
        const { session } = stack([container("mx")]);
        const { deployment } = await session.stack.exportStack();
        Object.assign(deployment, { pending_operations: [{ type: "creating", resource: { urn: urn("aws:ec2/instance:Instance", "x-main") } }] });
        session.stack.exportStack = async () => ({ version: 3, deployment });
        await converge(session, log, { live: false }, docker({}).observer);
        expect(said[0]).toMatch(/warning: an operation was killed while creating of Instance x-main/);
    });

    test("a failed update tells each known fix once, and then which service is sick", async () => {
        const error = (message: string) => ({ diagnosticEvent: { severity: "error", message, color: "never" } }) as EngineEvent;
        const failing = stack([], [], ({ onEvent }) => {
            for (const port of [25, 465]) onEvent?.(error(`Bind for 0.0.0.0:${port} failed: port is already allocated`));
            throw new Error("code: 255\nstderr: error: update failed");
        });
        expect(await run(failing, docker({ mx: { health: "created" } }))).toEqual({ ok: false, changes: {}, outputs: {} });
        expect(said).toEqual([
            "  error: Bind for 0.0.0.0:25 failed: port is already allocated",
            "  error: Bind for 0.0.0.0:465 failed: port is already allocated",
            expect.stringMatching(/^ {2}fix: another program has this port/),
            "",
            "Service mx is created (container x-mx).",
            "  | last words of x-mx",
            "  fix: look at docker logs x-mx; the next `npm run up` replaces it",
        ]);
    });

    test("an error that came as no event is told without the engine's surroundings, with its fix", async () => {
        const locked = stack([], [], () => {
            throw new Error("code: 255\nstdout: x\nerror: the stack is currently locked by 1 lock(s)\nmore");
        });
        await run(locked, docker({}));
        expect(said).toEqual([
            "error: the stack is currently locked by 1 lock(s)",
            "  fix: another operation on this stack is under way; if none is (it was killed): npm run up -- --unlock",
        ]);
    });
});

describe("a plain log of an update", () => {
    const step = (kind: "resourcePreEvent" | "resOutputsEvent", op: string, of: string) =>
        ({ [kind]: { metadata: { op, urn: of } } }) as unknown as EngineEvent;
    const MX = container("mx").urn;

    test.each([
        ["create", "created"],
        ["update", "updated"],
        ["delete", "deleted"],
        ["create-replacement", "created anew"],
        ["delete-replaced", "deleted old"],
    ])("%s: %s, when it has ended", (op, word) => {
        const { onEvent } = new Progress(log);
        onEvent(step("resourcePreEvent", op, MX));
        expect(said).toEqual([]);
        onEvent(step("resOutputsEvent", op, MX));
        expect(said).toEqual([`  ${word.padEnd(12)} Container x-mx`]);
    });

    test("how long it took is said from two seconds on, for each step by itself", () => {
        const { onEvent } = new Progress(log);
        onEvent(step("resourcePreEvent", "create-replacement", MX));
        vi.advanceTimersByTime(11_000);
        onEvent(step("resourcePreEvent", "delete-replaced", MX));
        vi.advanceTimersByTime(1_000);
        onEvent(step("resOutputsEvent", "create-replacement", MX));
        onEvent(step("resOutputsEvent", "delete-replaced", MX));
        expect(said).toEqual(["  created anew Container x-mx (12 s)", "  deleted old  Container x-mx"]);
    });

    test("what changes nothing outside the state is not told", () => {
        const { onEvent } = new Progress(log);
        for (const op of ["same", "read", "refresh", "replace"]) onEvent(step("resOutputsEvent", op, MX));
        for (const type of ["pulumi:pulumi:Stack", "pulumi:providers:docker", "forwardemail:index:Service"])
            onEvent(step("resOutputsEvent", "create", urn(type, "x")));
        expect(said).toEqual([]);
        onEvent(step("resOutputsEvent", "create", urn("forwardemail:index:Service$docker:index/container:Container", "x-web")));
        expect(said).toEqual(["  created      Container x-web"]);
    });

    test("a warning is told and not kept; notes and the engine's own last word are neither", () => {
        const progress = new Progress(log);
        const tell = (severity: string, message: string, of?: string) =>
            progress.onEvent({ diagnosticEvent: { severity, message, urn: of, color: "never" } } as EngineEvent);
        tell("warning", "old option", MX);
        tell("info", "a note");
        tell("info#err", "a note");
        tell("info#err", "a note\nwarning: of a script\n");
        tell("error", "update failed");
        tell("error", "cannot go on", urn("pulumi:pulumi:Stack", "forwardemail-x"));
        expect(said).toEqual(["  warning: Container x-mx: old option", "  warning: of a script", "  error: cannot go on"]);
        expect(progress.warnings).toEqual(["warning: of a script"]);
        expect(progress.errors).toEqual(["cannot go on"]);
    });
});
