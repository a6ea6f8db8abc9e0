import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { isRpcSecret } from "@pulumi/pulumi/runtime/rpc";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { BUCKET_ITEM_WRITE, lockRules } from "../../components/backups/r2Bucket";
import { accountFile, readAccount } from "../rig/cloudflare/account";
import { cloudflareConsole } from "../rig/cloudflare/console";
import { cloudflareProvider } from "../rig/cloudflare/resource";
import { inFile } from "../rig/providers/account";
import { driver, type Props } from "./driver";

const directory = mkdtempSync(path.join(tmpdir(), "r2-"));
const cloudflare = cloudflareConsole({ directory });
let token: string | undefined;
let accountId: string;
const withAccount = inFile(accountFile(directory), readAccount);
const { make, update, diff, read, remove } = driver(cloudflareProvider({ withAccount, token: () => token }), {
    Bucket: "cloudflare:index/r2Bucket:R2Bucket",
    Lock: "cloudflare:index/r2BucketLock:R2BucketLock",
    Lifecycle: "cloudflare:index/r2BucketLifecycle:R2BucketLifecycle",
    Token: "cloudflare:index/accountToken:AccountToken",
});

beforeEach(() => {
    cloudflare.reset();
    ({ token, id: accountId } = cloudflare.account());
});
afterAll(() => rmSync(directory, { recursive: true }));

const NAME = "mail-backups";
const bucket = (name = NAME) => ({ accountId, name });
const rules = (...all: Props[]) => ({ accountId, bucketName: NAME, rules: all });
const lock = (condition: Props) => ({ id: "data", enabled: true, prefix: "restic/data/", condition });
const abort = (maxAge: number) => ({ abortMultipartUploadsTransition: { condition: { type: "Age", maxAge } } });
const lifecycle = (more: Props) => ({ id: "uploads", enabled: true, conditions: { prefix: "" }, ...more });
const resource = (name = NAME, account = accountId) => `com.cloudflare.edge.r2.bucket.${account}_default_${name}`;
const policy = (more: Props = {}) => ({
    effect: "allow",
    permissionGroups: [{ id: BUCKET_ITEM_WRITE }],
    resources: JSON.stringify({ [resource()]: "*" }),
    ...more,
});
const tokenOf = (...policies: Props[]) => ({ accountId, name: "writer", policies });

// Each row catches a program that sends what the row has, and a stand-in that lets it pass.
test.each<[string, string, () => Props, string]>([
    ["Bucket", "a short name", () => bucket("ab"), '"code":10005,"message":"The specified bucket name is not valid."'],
    ["Bucket", "a name with a dot", () => bucket("mail.backups"), '"code":10005'],
    ["Bucket", "an upper-case name", () => bucket("Mail"), '"code":10005'],
    ["Bucket", "a name that is there", () => bucket(), '409 Conflict {"result":null,"success":false,"errors":[{"code":10004'],
    [
        "Bucket",
        "an id that is none",
        () => ({ ...bucket("other"), accountId: "mine" }),
        '"code":7003,"message":"Could not route to /client/v4/accounts/mine/',
    ],
    ["Bucket", "another's account", () => ({ ...bucket("other"), accountId: "0".repeat(32) }), '"code":10000,"message":"Authentication error"'],
    ["Bucket", "what it does not implement", () => ({ ...bucket("other"), jurisdiction: "eu" }), "the input jurisdiction is not available"],
    ["Lock", "no bucket", () => ({ ...rules(), bucketName: "other" }), '404 Not Found {"result":null,"success":false,"errors":[{"code":10006'],
    ["Lock", "another kind of condition", () => rules(lock({ type: "Until" })), "value must be one of: Age, Date, Indefinite; got: Until"],
    ["Lock", "an age without days", () => rules(lock({ type: "Age" })), "does not say for how long"],
    ["Lock", "an age of nothing", () => rules(lock({ type: "Age", maxAgeSeconds: 0 })), "does not say for how long"],
    ["Lock", "an end for ever", () => rules(lock({ type: "Indefinite", maxAgeSeconds: 1 })), "or says it twice"],
    ["Lock", "two rules of one name", () => rules(lock({ type: "Indefinite" }), lock({ type: "Indefinite" })), "two rules have one id"],
    [
        "Lifecycle",
        "a rule that deletes backups",
        () => rules(lifecycle({ ...abort(1), deleteObjectsTransition: {} })),
        "deletes objects by their age",
    ],
    ["Lifecycle", "a rule that does nothing", () => rules(lifecycle({})), "does nothing"],
    ["Lifecycle", "no age", () => rules(lifecycle(abort(0))), "aborts every upload"],
    ["Token", "no policies", () => tokenOf(), "A token has one policy at least."],
    ["Token", "no permission groups", () => tokenOf(policy({ permissionGroups: [] })), "A policy has one permission group at least."],
    ["Token", "a group that there is not", () => tokenOf(policy({ permissionGroups: [{ id: "0" }] })), "Permission group not found: 0"],
    ["Token", "no resources", () => tokenOf(policy({ resources: "{}" })), "A policy has one resource at least."],
    ["Token", "no JSON", () => tokenOf(policy({ resources: "*" })), "String must be a valid JSON"],
    [
        "Token",
        "rights of a bucket for the account",
        () => tokenOf(policy({ resources: JSON.stringify({ [`com.cloudflare.api.account.${accountId}`]: "*" }) })),
        '"code":1001,"message":"Failed common permission check against resources. (Permission group: \\"Workers R2 Storage Bucket Item Write\\")"',
    ],
    ["Token", "another bucket", () => tokenOf(policy({ resources: JSON.stringify({ [resource("other")]: "*" }) })), "there is no bucket"],
    ["Token", "another's bucket", () => tokenOf(policy({ resources: JSON.stringify({ [resource(NAME, "0")]: "*" }) })), "there is no bucket"],
    ["Token", "another effect", () => tokenOf(policy({ effect: "maybe" })), "value must be one of: allow, deny; got: maybe"],
])("%s is refused with %s", async (type, _what, news, message) => {
    await make("Bucket", bucket());
    await expect(make(type, news())).rejects.toThrow(message);
    expect(cloudflare.account()).toMatchObject({ buckets: { [NAME]: { objects: 0 } }, tokens: {} });
    expect(cloudflare.account().buckets[NAME]).toEqual({ objects: 0 });
});

test("nothing is made with another token, or before R2 is turned on", async () => {
    await cloudflare.change((account) => void (account.r2 = false));
    await expect(make("Bucket", bucket())).rejects.toThrow('"code":10042,"message":"Please enable R2 through the Cloudflare Dashboard."');
    await cloudflare.change((account) => void (account.r2 = true));
    token = "another";
    await expect(make("Bucket", bucket())).rejects.toThrow('"code":10000');
    expect(cloudflare.account().buckets).toEqual({});
});

describe("a bucket", () => {
    test("is replaced with another name, and goes only when it is empty", async () => {
        const made = await make("Bucket", bucket());
        expect([made.id, made.outs.name]).toEqual([NAME, NAME]);
        expect(await diff(made, bucket())).toEqual({ changes: false, replaces: [] });
        expect((await diff(made, bucket("other"))).replaces).toEqual(["name"]);
        await cloudflare.change(({ buckets }) => void (buckets[NAME].objects = 1));
        await expect(remove(made)).rejects.toThrow(`"code":10008,"message":"The bucket you tried to delete (${NAME}) is not empty`);
        await cloudflare.change(({ buckets }) => void (buckets[NAME].objects = 0));
        await remove(made);
        expect(await read(made)).toEqual({ id: "", props: {} });
    });

    // Catches a program that counts on the provider to take a lock away.
    test("keeps its rules when the resource goes; a refresh finds what others changed", async () => {
        await make("Bucket", bucket());
        const args = { accountId, bucketName: NAME, rules: lockRules("restic", 30) };
        const made = await make("Lock", args);
        const longer = await update(made, { ...args, rules: lockRules("restic", 60) });
        expect(cloudflare.account().buckets[NAME].lock).toEqual(lockRules("restic", 60));
        expect(await diff(made, { ...args, rules: lockRules("restic") })).toEqual({ changes: true, replaces: [] });
        expect((await read(longer)).props).toEqual(longer.outs);
        await cloudflare.change(({ buckets }) => void (buckets[NAME].lock = []));
        expect((await diff({ ...longer, outs: (await read(longer)).props }, args)).changes).toBe(true);
        await cloudflare.change(({ buckets }) => void (buckets[NAME].lock = args.rules as never));
        await remove(longer);
        expect(cloudflare.account().buckets[NAME].lock).toEqual(args.rules);
    });
});

test("a token's value is secret and stays the same when the token changes", async () => {
    await make("Bucket", bucket());
    const made = await make("Token", tokenOf(policy()));
    expect(made.id).toMatch(/^[0-9a-f]{32}$/);
    expect(isRpcSecret(made.outs.value)).toBe(true);
    const { value } = cloudflare.account().tokens[made.id];
    const renamed = await update(made, { ...tokenOf(policy()), name: "pruner" });
    expect(cloudflare.account().tokens[made.id]).toMatchObject({ name: "pruner", value });
    expect(renamed.outs.value).toMatchObject({ value });
    await remove(renamed);
    expect(await read(renamed)).toEqual({ id: "", props: {} });
    expect(cloudflare.account().calls.map(({ method, path }) => `${method} ${path}`)).toEqual([
        `POST accounts/${accountId}/r2/buckets`,
        `POST accounts/${accountId}/tokens`,
        `PUT accounts/${accountId}/tokens/${made.id}`,
        `DELETE accounts/${accountId}/tokens/${made.id}`,
        `GET accounts/${accountId}/tokens/${made.id}`,
    ]);
});
