import * as pulumi from "@pulumi/pulumi";
import { Problem } from "../errors";
import { RawConfig } from "./parse";
import { Config } from "./schema";
import { BackupSettings } from "./settings";

/** What the config says of backups; nothing, where there are none. */
export function backupsOf({ backups, restoreFrom }: Config, raw: RawConfig, name: string): BackupSettings | undefined {
    const { provider, accessKeyId, pruneAccessKeyId, prefix = name, every, rpo, endpoint, bucket, ...rest } = backups;
    if (!provider) return undefined;
    const hours = parseInt(every);
    const key = { accessKeyId: accessKeyId!, secretAccessKey: pulumi.secret(raw.backupSecretKey ?? "") };
    return {
        ...rest,
        endpoint: endpoint!,
        bucket: bucket!,
        prefix,
        hours,
        rpoHours: rpo ?? 2 * hours,
        key,
        pruneKey: pruneAccessKeyId ? { accessKeyId: pruneAccessKeyId, secretAccessKey: pulumi.secret(raw.backupPruneSecretKey ?? "") } : key,
        passphrase: raw.backupPassphrase ? pulumi.secret(raw.backupPassphrase) : undefined,
        restoreFrom: restoreFrom || undefined,
    };
}

export function checkBackups({ backups, restoreFrom }: Config, raw: RawConfig): Problem[] {
    const problems: Problem[] = [];
    const report = (key: string, message: string, fix: string) => problems.push({ key, message, fix });
    const secret = (key: string) => `pulumi config set --secret ${key}`;
    if (!backups.provider) {
        if (restoreFrom) report("restoreFrom", "there are no backups to restore from", "set backups, or remove restoreFrom");
        for (const key of ["backupSecretKey", "backupPruneSecretKey", "backupPassphrase"].filter((key) => raw[key]))
            report(key, "is given, but there are no backups", "set backups, or remove it");
        if (backups.bucket ?? backups.endpoint ?? backups.accessKeyId)
            report("backups.provider", "is missing, wanted s3", "pulumi config set --path backups.provider s3");
        return problems;
    }
    const needed = { bucket: "my-mail-backups", endpoint: "https://s3.eu-central-1.amazonaws.com", accessKeyId: "ID" } as const;
    for (const [key, example] of Object.entries(needed))
        if (backups[key as keyof typeof needed] === undefined)
            report(`backups.${key}`, "is missing, and provider s3 needs it", `pulumi config set --path backups.${key} ${example}`);
    if (!raw.backupSecretKey) report("backupSecretKey", "is missing, wanted the secret of backups.accessKeyId", secret("backupSecretKey"));
    if (backups.pruneAccessKeyId && !raw.backupPruneSecretKey)
        report("backupPruneSecretKey", "is missing, wanted the secret of backups.pruneAccessKeyId", secret("backupPruneSecretKey"));
    if (!backups.pruneAccessKeyId && raw.backupPruneSecretKey)
        report(
            "backups.pruneAccessKeyId",
            "is missing, wanted the id of the key whose secret is backupPruneSecretKey",
            "pulumi config set --path backups.pruneAccessKeyId ID",
        );
    if (restoreFrom && !raw.backupPassphrase)
        report("backupPassphrase", "is missing, wanted the passphrase that the set was made with", secret("backupPassphrase"));
    if (backups.rpo !== undefined && backups.rpo < parseInt(backups.every))
        report("backups.rpo", `got ${backups.rpo} hours, wanted no less than backups.every (${backups.every})`, "raise it, or make sets more often");
    return problems;
}
