import * as pulumi from "@pulumi/pulumi";
import { Problem } from "../errors";
import { RawConfig } from "./parse";
import { Config } from "./schema";
import { BackupSettings, BackupStore } from "./settings";

type Backups = Config["backups"];

/** What the config says of backups; nothing, where there are none. */
export function backupsOf({ backups, restoreFrom }: Config, raw: RawConfig, name: string): BackupSettings | undefined {
    if (!backups.provider) return undefined;
    const { prefix = name, every, rpo, pathStyle, keep, uploadKiB, cpus, drill, canary } = backups;
    const hours = parseInt(every);
    return {
        ...{ store: storeOf(backups, raw), pathStyle, prefix, hours, rpoHours: rpo ?? 2 * hours, keep, uploadKiB, cpus, drill },
        passphrase: raw.backupPassphrase ? pulumi.secret(raw.backupPassphrase) : undefined,
        canary: canary ? { address: canary, password: pulumi.secret(raw.backupCanaryPassword ?? "") } : undefined,
        restoreFrom: restoreFrom || undefined,
    };
}

function storeOf({ provider, region, keepVersionsDays, lockDays, accountId, ...given }: Backups, raw: RawConfig): BackupStore {
    if (provider === "aws") return { provider, region: region!, keepVersionsDays: keepVersionsDays ?? 90, objectLockDays: lockDays };
    if (provider === "r2") return { provider, accountId: accountId!, lockDays, token: pulumi.secret(raw.cloudflareToken) };
    const writer = { accessKeyId: given.accessKeyId!, secretAccessKey: pulumi.secret(raw.backupSecretKey ?? "") };
    const pruner = given.pruneAccessKeyId
        ? { accessKeyId: given.pruneAccessKeyId, secretAccessKey: pulumi.secret(raw.backupPruneSecretKey ?? "") }
        : writer;
    return { provider: "s3", endpoint: given.endpoint!, name: given.bucket!, region, writer, pruner };
}

/** Keys that a provider needs, with an example of each. */
const NEEDED = {
    s3: { bucket: "my-mail-backups", endpoint: "https://s3.eu-central-1.amazonaws.com", accessKeyId: "ID" },
    aws: { region: "eu-central-1" },
    r2: { accountId: "ACCOUNT" },
} as const;

/** Keys that are of one provider alone. */
const OF_ONE: Partial<Record<keyof Backups, string[]>> = {
    bucket: ["s3"],
    endpoint: ["s3"],
    accessKeyId: ["s3"],
    pruneAccessKeyId: ["s3"],
    region: ["s3", "aws"],
    lockDays: ["aws", "r2"],
    keepVersionsDays: ["aws"],
    accountId: ["r2"],
};

export function checkBackups({ backups, restoreFrom, profile }: Config, raw: RawConfig): Problem[] {
    const problems: Problem[] = [];
    const report = (key: string, message: string, fix: string) => problems.push({ key, message, fix });
    const secret = (key: string) => `pulumi config set --secret ${key}`;
    if (!backups.provider) {
        if (restoreFrom) report("restoreFrom", "there are no backups to restore from", "set backups, or remove restoreFrom");
        for (const key of ["backupSecretKey", "backupPruneSecretKey", "backupPassphrase", "backupCanaryPassword"].filter((key) => raw[key]))
            report(key, "is given, but there are no backups", "set backups, or remove it");
        if (raw.backups && Object.keys((JSON.parse(raw.backups) as object | null) ?? {}).length > 0)
            report("backups.provider", "is missing, wanted s3, aws or r2", "pulumi config set --path backups.provider s3");
        return problems;
    }
    const { provider } = backups;
    for (const [key, example] of Object.entries(NEEDED[provider]))
        if (backups[key as keyof Backups] === undefined)
            report(`backups.${key}`, `is missing, and provider ${provider} needs it`, `pulumi config set --path backups.${key} ${example}`);
    for (const [key, providers] of Object.entries(OF_ONE))
        if (backups[key as keyof Backups] !== undefined && !providers.includes(provider))
            report(`backups.${key}`, `means nothing with provider ${provider}`, `remove it, or set provider to ${providers.join(" or ")}`);
    if (provider === "s3") {
        if (!raw.backupSecretKey) report("backupSecretKey", "is missing, wanted the secret of backups.accessKeyId", secret("backupSecretKey"));
        problems.push(...checkPair(backups, raw, PRUNER));
    }
    if (provider === "r2" && !raw.cloudflareToken)
        report("cloudflareToken", "is missing, wanted a token that may write R2 storage and the account's API tokens", secret("cloudflareToken"));
    if (restoreFrom && !restoreFrom.startsWith("/") && !raw.backupPassphrase)
        report("backupPassphrase", "is missing, wanted the passphrase that the set was made with", secret("backupPassphrase"));
    const { canary } = backups;
    problems.push(...checkPair(backups, raw, CANARY));
    if (canary && profile !== "full") report("backups.canary", `means nothing with profile ${profile}: there are no mailboxes`, "remove it");
    if (backups.rpo !== undefined && backups.rpo < parseInt(backups.every))
        report("backups.rpo", `got ${backups.rpo} hours, wanted no less than backups.every (${backups.every})`, "raise it, or make sets more often");
    return problems;
}

/** A key of `backups`, and the secret that belongs to it. */
interface Pair {
    key: "pruneAccessKeyId" | "canary";
    secret: string;
    /** What the secret is, of what. */
    is: string;
    /** What the key is, and how it is set. */
    wanted: string;
    fix: string;
}

const CANARY: Pair = {
    ...{ key: "canary", secret: "backupCanaryPassword", is: "the password of the alias backups.canary" },
    ...{ wanted: "the address of the alias whose password is backupCanaryPassword", fix: "set it, or remove the password" },
};
const PRUNER: Pair = {
    ...{ key: "pruneAccessKeyId", secret: "backupPruneSecretKey", is: "the secret of backups.pruneAccessKeyId" },
    wanted: "the id of the key whose secret is backupPruneSecretKey",
    fix: "pulumi config set --path backups.pruneAccessKeyId ID",
};

/** One without the other means nothing. */
function checkPair(backups: Backups, raw: RawConfig, { key, secret, is, wanted, fix }: Pair): Problem[] {
    if (backups[key] && !raw[secret]) return [{ key: secret, message: `is missing, wanted ${is}`, fix: `pulumi config set --secret ${secret}` }];
    if (!backups[key] && raw[secret]) return [{ key: `backups.${key}`, message: `is missing, wanted ${wanted}`, fix }];
    return [];
}
