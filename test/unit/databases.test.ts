import { expect, test } from "vitest";
import type { Running } from "../../operate/health";
import { refuseDatabases } from "../../operate/refusals";
import { Features, featuresOf, raiseFeatures, whyNotReady } from "../../operate/update/features";
import { ImageChange, changeText, changedImages, pinOf, pinsBack, pinsForth, seriesOf, whyNotFrom } from "../../operate/update/images";
import { changesOf } from "../../operate/update/report";

const DIGEST = `sha256:${"a".repeat(64)}`;
const OTHER = `sha256:${"b".repeat(64)}`;

test.each([
    ["docker.io/library/mongo:7.0@sha256:ab", "7.0@sha256:ab"],
    ["127.0.0.1:5000/library/redis:7.4.7@sha256:ab", "7.4.7@sha256:ab"],
])("%s is held by %s", (reference, pin) => expect(pinOf(reference)).toBe(pin));

test.each([
    ["7.0.28", "7.0"],
    ["8", "8.0"],
    ["8.2.1-noble@sha256:ab", "8.2"],
    ["latest", undefined],
])("the series of %s is %s", (tag, series) => expect(seriesOf(tag)).toBe(series));

test.each([
    ["mongodb", "7.0.28", "7.0.29", undefined],
    ["mongodb", "7.0.28", "7.0.5", undefined], // within a series MongoDB goes both ways
    ["mongodb", "7.0.28", "8.0.15", undefined],
    ["mongodb", "8.0", "8.2", undefined],
    ["mongodb", "8.3", "9.0", undefined],
    ["mongodb", "latest", "8.0", undefined], // MongoDB itself refuses what it cannot read
    ["mongodb", "6.0.1", "8.0.15", 'MongoDB goes one major release at a time. Fix: "7.0" first'],
    ["mongodb", "7.0.28", "8.2.0", 'Fix: "8.0" first'],
    ["mongodb", "8.0.15", "7.0.28", 'older than 8.0.15, which runs: no older release reads its data. Fix: images.mongodb: "8.0.15"; or restore'],
    ["redis", "6.2", "8.0", undefined],
    ["redis", "7.4.7", "7.4.2", undefined],
    ["redis", "7.4.7", "7.2.0", "images.redis: 7.2.0 is older than 7.4.7"],
] as const)("%s from %s to %s: %s", (name, from, to, refusal) => {
    const said = whyNotFrom(name, from, to);
    if (refusal === undefined) expect(said).toBeUndefined();
    else expect(said).toContain(refusal);
});

const running = (service: Running["service"], image: string, health = "healthy"): Running => ({
    service,
    container: `x-${service}`,
    id: service,
    health,
    restarts: 0,
    image,
});
const CHANGE: ImageChange = { name: "mongodb", from: `7.0.28@${DIGEST}`, to: `8.0.15@${OTHER}`, isTold: true };

test("what differs from the lock file is changed, and what does not run is left out", () => {
    const wanted = {
        mongodb: { reference: `r/mongo:8.0.15@${OTHER}` },
        redis: { reference: `r/redis:7.4.7@${DIGEST}` },
        nginx: { reference: `r/nginx:1.28.0@${OTHER}` },
    };
    const now = [running("mongodb", `r/mongo:7.0.28@${DIGEST}`), running("redis", `r/redis:7.4.7@${DIGEST}`)];
    expect(changedImages(now, wanted, { mongodb: "8.0.15" })).toEqual([CHANGE]);
});

test("the config names on the way forward what the operator named, and on the way back every recorded image", () => {
    const redis: ImageChange = { name: "redis", from: `7.4.7@${DIGEST}`, to: `7.4.8@${OTHER}` };
    expect(pinsForth([CHANGE, redis])).toEqual({ mongodb: "8.0.15" });
    expect(pinsBack([CHANGE, redis], [])).toEqual({ mongodb: CHANGE.from, redis: redis.from });
    // Where Docker cannot be asked, what may have new data stays.
    expect(pinsBack([CHANGE, redis], undefined)).toEqual({ mongodb: CHANGE.to, redis: redis.from });
});

test.each<[string, ImageChange, Running[], string]>([
    ["a MongoDB whose next major release works stays with it", CHANGE, [running("mongodb", `r/mongo:${CHANGE.to}`)], CHANGE.to],
    ["one whose next major release does not come up goes back", CHANGE, [running("mongodb", `r/mongo:${CHANGE.to}`, "restarting")], CHANGE.from],
    ["one that was not changed yet stays as it was", CHANGE, [running("mongodb", `r/mongo:${CHANGE.from}`)], CHANGE.from],
    [
        "within a major release it goes back, whether it works or not",
        { name: "redis", from: `7.4.7@${DIGEST}`, to: `7.4.8@${OTHER}` },
        [running("redis", `r/redis:7.4.8@${OTHER}`)],
        `7.4.7@${DIGEST}`,
    ],
    [
        "nginx has no data",
        { name: "nginx", from: `1.28.0@${DIGEST}`, to: `1.30.0@${OTHER}` },
        [running("router", `r/nginx:1.30.0@${OTHER}`)],
        `1.28.0@${DIGEST}`,
    ],
])("%s", (_, change, now, pin) => expect(pinsBack([change], now)).toEqual({ [change.name]: pin }));

test("a change is told by its tags, and by digests where the tags are the same", () => {
    expect(changeText(CHANGE)).toBe("mongodb from 7.0.28 to 8.0.15");
    expect(changeText({ name: "redis", from: `7.4@${DIGEST}`, to: `7.4@${OTHER}` })).toBe("redis from 7.4 (aaaaaaaa) to 7.4 (bbbbbbbb)");
    expect(changesOf({ from: "v1.0.0", to: "v2.0.0", images: [CHANGE] })).toBe("from v1.0.0 to v2.0.0, mongodb from 7.0.28 to 8.0.15");
    expect(changesOf({ from: "v1.0.0", to: "v1.0.0", images: [CHANGE] })).toBe("mongodb from 7.0.28 to 8.0.15");
});

const READY: Features = { tag: "7.0.28", series: "7.0", version: "7.0" };
const session = (tag: string) =>
    ({
        stack: { name: "prod" },
        settings: { name: "x", servers: [{ name: "main" }], images: { mongodb: { tag }, redis: { tag: "7.4.7" } } },
    }) as unknown as Parameters<typeof refuseDatabases>[0];
const state = (mongodb: string, redis = "7.4.7") =>
    Object.entries({ mongodb: `r/mongo:${mongodb}@${DIGEST}`, redis: `r/redis:${redis}@${DIGEST}` }).map(([name, image]) => ({
        urn: `urn:pulumi:prod::x::docker:index/container:Container::x-${name}`,
        type: "docker:index/container:Container",
        inputs: { image },
    }));

test.each<[string, string, ReturnType<typeof state>, Features | Error, string | undefined]>([
    ["nothing runs yet", "8.0.15", [], new Error("asked"), undefined],
    ["the same series: nobody is asked", "7.0.29", state("7.0.28"), new Error("asked"), undefined],
    ["the next major release, on data of this one", "8.0.15", state("7.0.28"), READY, undefined],
    [
        "data that are still of the release before",
        "8.0.15",
        state("7.0.28"),
        { ...READY, version: "6.0" },
        "featureCompatibilityVersion 6.0, and the next major release wants 7.0. Fix: npm run update -- --stack prod --mongodb-features",
    ],
    ["a change of them that was not ended", "8.0.15", state("7.0.28"), { ...READY, targetVersion: "7.0" }, "(on its way to 7.0)"],
    [
        "a MongoDB that does not answer",
        "8.0.15",
        state("7.0.28"),
        new Error("no such container"),
        "which cannot be asked: no such container. Fix: npm run status -- --stack prod",
    ],
    ["two majors", "8.0.15", state("6.0.3"), READY, "one major release at a time"],
    ["a step back", "7.0.28", state("8.0.15"), READY, "older than 8.0.15"],
    ["a step back of Redis", "7.0.28", state("7.0.28", "8.0.1"), READY, "images.redis: 7.4.7 is older than 8.0.1"],
])("before a change of the databases: %s", async (_, wanted, resources, features, refusal) => {
    const ask = () => (features instanceof Error ? Promise.reject(features) : Promise.resolve(features));
    const refused = refuseDatabases(session(wanted), resources, ask);
    if (refusal === undefined) await refused;
    else await expect(refused).rejects.toThrow(refusal);
});

test("what MongoDB's data may become is asked and set in its container, with a confirmation from 7.0 on", async () => {
    let version = "7.0";
    const scripts: string[] = [];
    const host = {
        inspectStack: () => [running("mongodb", `r/mongo:8.0.15@${DIGEST}`)],
        docker(args: string[]) {
            const [script] = args.slice(-1);
            scripts.push(script);
            if (script.includes("setFeatureCompatibilityVersion")) version = "8.0";
            return `a warning\n{"version":"${version}"}\n`;
        },
    };
    expect(await featuresOf(session("8.0.15"), host)).toEqual({ tag: "8.0.15", series: "8.0", version: "7.0" });
    await raiseFeatures(session("8.0.15"), host);
    expect(scripts.filter((script) => script.includes('setFeatureCompatibilityVersion: "8.0", confirm: true'))).toHaveLength(1);
    const unmoved = { ...host, docker: () => '{"version":"7.0","targetVersion":"8.0"}' };
    await expect(raiseFeatures(session("8.0.15"), unmoved)).rejects.toThrow(
        "featureCompatibilityVersion is 7.0, and a change of it has not ended; wanted 8.0",
    );
    await expect(featuresOf(session("8.0.15"), { ...host, inspectStack: () => [] })).rejects.toThrow("no MongoDB that is healthy");
    expect(whyNotReady(READY, "")).toBeUndefined();
});
