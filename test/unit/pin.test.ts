import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import * as http from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Lock, lockSchema } from "../../components/settings/images";
import { add, addNewest, resolveAll } from "../../operate/images-update";
import { pinImages } from "../../operate/pin";
import { hostOf, resolveDigest } from "../../operate/registry";
import { lockFileOf } from "../../operate/stackFile";

const DIGEST = `sha256:${"a".repeat(64)}`;
/** A repository with an image for several platforms, and one without. */
const RELEASES: Record<string, object> = {
    "tags/list?n=1000": { tags: ["latest", "v2.9.0", "v2.15.0"] },
    "tags/list?n=1000&last=v2.15.0": { tags: ["v2.16.0", "v2.16.1", "v3.0.0-beta"] },
    "manifests/v2.16.0": { manifests: [{ digest: "sha256:amd64" }, { digest: "sha256:attestation" }] },
    "manifests/sha256:amd64": { config: { digest: "sha256:old" } },
    "blobs/sha256:old": { created: "2026-11-20T12:00:00Z" },
    "manifests/v2.16.1": { config: { digest: "sha256:young" } },
    "blobs/sha256:young": { created: "2026-11-25T12:00:00Z" },
};

let folder: string;
let registry: http.Server;
let asked: string[];

beforeEach(async () => {
    folder = mkdtempSync(path.join(tmpdir(), "pin-"));
    asked = [];
    registry = http.createServer((request, response) => {
        asked.push(`${request.method} ${request.url} ${request.headers.authorization ?? ""}`.trim());
        if (request.url?.startsWith("/token")) return response.end(JSON.stringify({ token: "anonymous" }));
        if (request.url?.includes("/private/") && !request.headers.authorization)
            return response.writeHead(401, { "www-authenticate": `Bearer realm="http://${at()}/token",service="s",scope="pull"` }).end();
        if (request.url?.endsWith("/none")) return response.writeHead(404).end();
        const [, what] = /^\/v2\/app\/(.*)$/.exec(request.url ?? "") ?? [];
        if (what in RELEASES) {
            if (what === "tags/list?n=1000") response.setHeader("link", '</v2/app/tags/list?n=1000&last=v2.15.0>; rel="next"');
            return response.end(JSON.stringify(RELEASES[what]));
        }
        response.writeHead(200, { "docker-content-digest": DIGEST }).end();
    });
    await new Promise<void>((resolve) => registry.listen(0, "127.0.0.1", resolve));
});
afterEach(() => {
    registry.close();
    registry.closeAllConnections();
    rmSync(folder, { recursive: true });
});

const at = () => `127.0.0.1:${(registry.address() as AddressInfo).port}`;

test("a digest is asked for, with an anonymous token where the registry wants one", async () => {
    expect(await resolveDigest(`${at()}/library/redis`, "7.4")).toBe(DIGEST);
    expect(await resolveDigest(`${at()}/private/x`, "v1")).toBe(DIGEST);
    expect(asked.at(-1)).toBe("HEAD /v2/private/x/manifests/v1 Bearer anonymous");
    await expect(resolveDigest(`${at()}/x`, "none")).rejects.toThrow(/x:none: the registry does not know this tag/);
});

test.each([
    [3, ["v2.15.0", "v2.16.0"], ["v2.16.1 is new, but only 1 days old", "v2.16.0 is new, 6 days old: https://github.com/"]],
    [0, ["v2.15.0", "v2.16.1"], ["v2.16.1 is new, 1 days old"]],
    [30, ["v2.15.0"], ["v2.16.1 is new, but only 1 days old", "v2.16.0 is new, but only 6 days old"]],
])("the newest release that is %i days old is added, and no pre-release", async (days, expected, said) => {
    const family = { repository: `${at()}/app`, releases: { "v2.15.0": { digest: DIGEST } } };
    const lock = { forwardemail: family } as unknown as Lock;
    const lines: string[] = [];
    await addNewest(lock, days, (line) => lines.push(line), Date.parse("2026-11-26T13:00:00Z"));
    expect(Object.keys(lock.forwardemail.releases)).toEqual(expected);
    expect(lines).toEqual(said.map((line) => expect.stringContaining(line) as unknown));
});

test("a release that is added by its tag has the address of its notes told, once", () => {
    const family = () => ({ repository: "x", releases: {} as Record<string, { digest: string | null }> });
    const lock = { forwardemail: family(), redis: family() } as unknown as Lock;
    const lines: string[] = [];
    for (const name of ["forwardemail", "forwardemail", "redis"]) add(lock, name, "v2.16.0", (line) => lines.push(line));
    expect(lines).toEqual(["v2.16.0 is added: https://github.com/forwardemail/forwardemail.net/releases/tag/v2.16.0"]);
    expect(Object.keys(lock.redis.releases)).toEqual(["v2.16.0"]);
    expect(() => add(lock, "mail", "v1", () => undefined)).toThrow('there is no image family "mail"');
});

test("a registry that does not answer is named", async () => {
    const gone = at();
    await new Promise((resolve) => registry.close(resolve));
    await expect(resolveDigest(`${gone}/x`, "1")).rejects.toThrow(/cannot be reached/);
});

test("tags without a digest are looked up once, beside the committed lock file", async () => {
    const lockFile = path.join(folder, "committed.json");
    const family = (digest: string | null) => ({ repository: `${at()}/x`, releases: { "v1.0.0": { digest } } });
    const others = Object.keys(lockSchema.shape).map((name) => [name, family(DIGEST)]);
    const committed = JSON.stringify({ ...Object.fromEntries(others), forwardemail: family(null) });
    writeFileSync(lockFile, committed);
    const config = { "forwardemail:images": { lockFile } };
    const file = path.join(folder, "local", "images.lock.json");
    for (const lookups of [1, 1]) {
        expect(await pinImages(config, file, () => undefined)).toEqual({ "forwardemail:images": { lockFile: file } });
        expect(asked).toHaveLength(lookups); // the second time it is known
    }
    expect(JSON.parse(readFileSync(file, "utf8")).forwardemail.releases["v1.0.0"].digest).toBe(DIGEST);
    expect(readFileSync(lockFile, "utf8")).toBe(committed);
});

test("a lock file takes what moved, but of Forward Email only what is named, and keeps what cannot be looked up", async () => {
    const [OLD, NEW] = ["a", "b"].map((digit) => `sha256:${digit.repeat(64)}`);
    const lockOf = (digest: string | null): Lock =>
        lockSchema.parse(
            Object.fromEntries(Object.keys(lockSchema.shape).map((name) => [name, { repository: name, releases: { "v1.0.0": { digest } } }])),
        );
    const moved = () => Promise.resolve(NEW);
    const lines: string[] = [];
    const log = (line: string) => lines.push(line);
    const one = lockOf(OLD);
    expect(await resolveAll(one, [], log, moved)).toEqual([]);
    expect([one.forwardemail, one.redis].map(({ releases }) => releases["v1.0.0"].digest)).toEqual([OLD, NEW]);
    expect(lines[0]).toMatch(/^forwardemail:v1\.0\.0 {2}sha256:a+ {2}kept; .* npm run images:update -- forwardemail v1\.0\.0$/);
    expect(await resolveAll(one, ["forwardemail v1.0.0"], log, moved)).toEqual([]);
    expect(one.forwardemail.releases["v1.0.0"].digest).toBe(NEW);
    // One registry that is down, or a tag that is gone there.
    const partly = (repository: string) => (repository === "redis" ? Promise.reject(new Error("redis is gone.")) : moved());
    expect(await resolveAll(one, [], log, partly)).toEqual([]);
    expect(lines.at(-1)).toBe("  warning: redis is gone. What is known of it stays.");
    expect(await resolveAll(one, ["redis v1.0.0"], log, partly)).toEqual(["redis is gone."]);
    expect(await resolveAll(lockOf(null), [], log, partly)).toEqual(["redis is gone."]);
    expect(await resolveAll(one, [], log, () => Promise.reject(new Error("no network")))).toHaveLength(Object.keys(one).length);
});

test("a stack's lock file is the one that it names, or that of the project", () => {
    const none = [undefined, {}, { "forwardemail:images": null }, { "forwardemail:images": { redis: "7.4.7" } }];
    for (const config of none) expect(lockFileOf(config)).toBe("images.lock.json");
    expect(lockFileOf({ "forwardemail:images": { lockFile: "own.json" } })).toBe("own.json");
});

test("Docker Hub's registry has another name than its images", () => {
    expect([hostOf("docker.io/library/mongo"), hostOf("ghcr.io/a/b:v1@sha256:0")]).toEqual(["registry-1.docker.io", "ghcr.io"]);
});
