import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { remove } from "../../operate/down";
import { docker, isBare } from "../../operate/health";
import type { Session } from "../../operate/session";

const urn = (type: string, name: string) => `urn:pulumi:x::forwardemail::${type}::${name}`;
const resource = (type: string, name: string, more: object = {}) => ({ urn: urn(type, name), type, ...more });

describe("down", () => {
    /** What a stack with these resources was told to do. */
    async function down(resources: object[], withData = false): Promise<{ done: unknown[]; said: string[] }> {
        const done: unknown[] = [];
        const stack = {
            name: "x",
            workspace: { workDir: tmpdir(), envVars: {}, pulumiCommand: { command: "true" } },
            exportStack: async () => ({ deployment: { resources } }),
            refresh: async ({ target }: { target: string[] }) => void done.push(["refresh", ...target.map((one) => one.split("::").at(-1))]),
            destroy: async ({ excludeProtected }: { excludeProtected: boolean }) => void done.push(["destroy", { excludeProtected }]),
        };
        const said: string[] = [];
        await remove({ stack } as unknown as Pick<Session, "stack">, withData, (line) => void said.push(line));
        return { done, said };
    }

    test("destroys nothing that is protected, and names it", async () => {
        const { done, said } = await down([
            resource("docker:index/volume:Volume", "x-mongodb", { protect: true }),
            resource("docker:index/container:Container", "x-web"),
        ]);
        expect(done).toEqual([["destroy", { excludeProtected: true }]]);
        expect(said).toEqual(["Kept: Volume x-mongodb"]);
    });

    test("with the data goes everything but the backup sets: their bucket as it is, and the passphrase", async () => {
        const bucket = "forwardemail:backups:AwsBucket$aws:s3/bucket:Bucket";
        const { done, said } = await down(
            [
                resource("docker:index/volume:Volume", "forwardemail-x-mongodb", { protect: true }),
                resource(bucket, "forwardemail-x-backups-bucket", { protect: true }),
                resource("random:index/randomPassword:RandomPassword", "forwardemail-x-backup-passphrase", { protect: true }),
            ],
            true,
        );
        expect(done).toEqual([["destroy", { excludeProtected: true }]]);
        expect(said).toEqual([
            "Destroying for good: Volume forwardemail-x-mongodb",
            "Kept: Bucket forwardemail-x-backups-bucket, RandomPassword forwardemail-x-backup-passphrase",
        ]);
    });

    test("asks AWS only whether volumes are attached still: an instance that is gone cannot be stopped", async () => {
        const { done } = await down([
            resource("aws:ec2/instance:Instance", "x-instance"),
            resource("aws:ec2/volumeAttachment:VolumeAttachment", "x-data"),
        ]);
        expect(done[0]).toEqual(["refresh", "x-data"]);
    });
});

describe("a server over ssh", () => {
    const ssh = { alias: "x", address: "192.0.2.1", port: 22, user: "debian", hostKey: "ssh-ed25519 AAAA", socket: "/run/x.sock", ownKey: false };
    const server = { name: "a", kind: "ssh" as const, dockerHost: "", ssh, reach: [], blockLists: [], engine: "distribution" as const };
    const PATH = process.env.PATH;
    let folder: string;
    beforeEach(() => {
        folder = mkdtempSync(path.join(tmpdir(), "ssh-"));
        process.env.PATH = `${folder}:${PATH}`;
    });
    afterEach(() => {
        process.env.PATH = PATH;
        rmSync(folder, { recursive: true });
    });
    const program = (name: string, body: string) => {
        writeFileSync(path.join(folder, name), `#!/bin/sh\n${body}\n`);
        chmodSync(path.join(folder, name), 0o755);
    };

    test.each([
        ["has a Docker that answers", 'exec sh -c "$last"', "exit 0", false],
        ["has none that this user may use: the set-up sees to that", 'exec sh -c "$last"', "exit 1", true],
        ["cannot be reached", "exit 255", "exit 0", false],
    ])("that %s", (_, connection, dockerClient, bare) => {
        program("ssh", `for last; do :; done\n${connection}`);
        program("docker", dockerClient);
        expect(isBare(server)).toBe(bare);
    });

    test("one that is not set up is never bare; an instance that is still to be made is", () => {
        program("ssh", "exit 97");
        expect(isBare({ ...server, engine: undefined })).toBe(false);
        expect(isBare({ ...server, ssh: undefined, kind: "aws", aws: {} as never })).toBe(true);
    });

    test("Docker is asked by the server's own client, at the socket of the stack", () => {
        program("ssh", 'for last; do :; done\nprintf %s "$last"');
        expect(docker(["ps", "-q"], { dockerHost: "", ssh })).toBe("'docker' '--host' 'unix:///run/x.sock' 'ps' '-q'");
    });
});
