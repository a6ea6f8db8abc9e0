import { createHash } from "node:crypto";
import * as aws from "@pulumi/aws";
import * as cloudflare from "@pulumi/cloudflare";
import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import { quote } from "../server/connection";
import { PulledImage, pullImage } from "../server/pull";
import { Server } from "../server/server";
import { servicesOf } from "../services/catalogue";
import { Place, createPlace, sourceOf, writeFiles } from "../services/files";
import { DeploymentSecrets, Recovered, activeSelector } from "../services/secrets";
import type { BackupSettings, Settings } from "../settings/settings";
import { AwsBucket } from "./awsBucket";
import type { BackupBucket, BucketKey } from "./bucket";
import { R2Bucket } from "./r2Bucket";
import { RUN } from "./host/backup";
import { COMMON } from "./host/common";
import { LVM } from "./host/lvm";
import { COMMANDS, RESTORE } from "./host/restore";
import { UPSTREAM } from "./host/upstream";
import { OPEN, RESTORE_AT_START, SCHEDULE, UNDO_SCHEDULE } from "./host/setUp";

export interface BackupsArgs {
    settings: Settings;
    /** Image of the application, by digest. */
    image: pulumi.Input<string>;
    backups: BackupSettings;
    bucket: BackupBucket;
    server: Server;
}

/** The bucket that the config gives, or that is made for it. */
export function createBucket(deployment: string, { store, prefix }: BackupSettings): BackupBucket {
    const name = `${deployment}-backups`;
    switch (store.provider) {
        case "s3":
            return store;
        case "aws": {
            const { region, keepVersionsDays, objectLockDays } = store;
            return new AwsBucket(name, { deployment, prefix, keepVersionsDays, objectLockDays }, { provider: new aws.Provider(name, { region }) });
        }
        case "r2": {
            const { accountId, lockDays, token } = store;
            return new R2Bucket(name, { deployment, prefix, accountId, lockDays }, { provider: new cloudflare.Provider(name, { apiToken: token }) });
        }
    }
}

/** The script on the host: /…/backup/backup run | sets | drill … */
export const SCRIPT = [COMMON, LVM, RUN, RESTORE, UPSTREAM, COMMANDS].join("");

/** A repository of restic: https://restic.readthedocs.io. */
export interface Repository {
    /** As restic takes it: `s3:https://…/BUCKET/PREFIX`. */
    repository: string;
    /** Opens every set. */
    passphrase: string;
    /** May delete sets. */
    pruneKey: pulumi.Unwrap<BucketKey>;
}

/** A line of a config file of curl. */
const curlOption = (name: string, value: pulumi.Output<string>) => value.apply((text) => `${name} = "${text.replace(/[\\"]/g, "\\$&")}"\n`);

/** Environment of restic, a variable a line: what `docker run --env-file` takes. */
export const resticEnvironment = (repository: string, passphrase: string, key: pulumi.Unwrap<BucketKey>): string =>
    `RESTIC_REPOSITORY=${repository}
RESTIC_PASSWORD=${passphrase}
AWS_ACCESS_KEY_ID=${key.accessKeyId}
AWS_SECRET_ACCESS_KEY=${key.secretAccessKey}
`;

/**
 * Encrypted sets of everything that a restore on another server needs: MongoDB, Redis, mailboxes, secrets, keys. The server makes them by
 * itself (restic, started by a timer). Its key to the bucket need not be able to delete anything but restic's own locks.
 */
export class Backups extends pulumi.ComponentResource {
    /** For whoever reads or prunes the sets elsewhere. Secret. */
    public readonly repository: pulumi.Output<Repository>;
    /** Where an empty deployment gets its data and secrets from a set: nothing may touch the data before. */
    public readonly restored?: { done: pulumi.Resource; secrets: Recovered };
    private readonly url: pulumi.Output<string>;
    /** Where the bucket's name is in the URL, as restic calls it. */
    private readonly lookup: "path" | "dns";
    private readonly passphrase: pulumi.Output<string>;
    private readonly place: Place;
    /** Refuses an empty deployment whose bucket has sets: nothing may touch the data before. */
    public readonly opened: pulumi.Resource;
    private readonly root: PulledImage;

    constructor(
        private readonly name: string,
        private readonly args: BackupsArgs,
        opts?: pulumi.ComponentResourceOptions,
    ) {
        super("forwardemail:backups:Backups", `${name}-backups`, {}, opts);
        const { settings, backups, server } = args;
        this.root = pullImage(`${name}-restic`, settings.images.restic.reference, server, { parent: this });
        this.lookup = backups.pathStyle ? "path" : "dns";
        this.url = pulumi.interpolate`s3:${args.bucket.endpoint}/${args.bucket.name}/${backups.prefix}`;
        // Protected like every secret that is generated: without it all sets are lost.
        const generated = new random.RandomPassword(`${name}-backup-passphrase`, { length: 32, special: false }, { parent: this, protect: true });
        this.passphrase = backups.passphrase ?? generated.result;
        this.repository = pulumi.secret(pulumi.output({ repository: this.url, passphrase: this.passphrase, pruneKey: args.bucket.pruner }));
        // Protected: it may hold what a restore has put aside.
        this.place = createPlace("backup", { name: settings.name, directory: settings.data.directory }, { parent: this, protect: true });
        const written = this.write(`${name}-backup-repository`, {
            backup: SCRIPT,
            "backup.conf": this.values(),
            "repository.env": this.credentials(),
            // Empty where there is none: what was taken out of the config does not stay on the server.
            canary: backups.canary ? curlOption("user", pulumi.interpolate`${backups.canary.address}:${backups.canary.password}`) : "",
            alert: settings.alertWebhook ? curlOption("url", settings.alertWebhook) : "",
        });
        const environment = {
            BACKUP: this.place.source,
            PACKAGES: settings.servers[0].engine ? "install" : "present", // nothing is installed on a host that the program does not set up
            REPOSITORY: this.url,
            ...(backups.restoreFrom ? { BEGINS: "restore" } : {}),
            // With what else it depends on, it is opened again. The digest tells nothing: the bucket's key is random.
            REGION: pulumi.output(args.bucket.region).apply((region) => region ?? ""),
            BUCKET_LOOKUP: this.lookup,
            CREDENTIALS: pulumi.unsecret(this.credentials().apply((text) => createHash("sha256").update(text).digest("hex").slice(0, 32))),
        };
        this.opened = server.run(
            `${name}-backup-open`,
            { script: OPEN, environment, seesPreviousOutput: true },
            { parent: this, dependsOn: [written] },
        );
        if (backups.restoreFrom) this.restored = this.restore(backups.restoreFrom);
        this.registerOutputs({});
    }

    private write(name: string, files: Record<string, pulumi.Input<string>>): pulumi.Resource {
        return writeFiles(name, { server: this.args.server, place: this.place, image: this.root, user: "root", files }, { parent: this });
    }

    /** Values of backup.conf: no secret. */
    private values(): pulumi.Output<string> {
        const { settings, image, backups, bucket } = this.args;
        const { name } = settings;
        const place = (role: string) => sourceOf(role, { name, directory: settings.data.directory });
        const { cpus, uploadKiB, rpoHours, keep, store } = backups;
        const lockDays = store.provider === "r2" ? store.lockDays : undefined; // S3 hides what a lock holds; R2 refuses
        const options = [...["-o", `s3.bucket-lookup=${this.lookup}`], ...(uploadKiB ? ["--limit-upload", String(uploadKiB)] : [])];
        const values: Record<string, pulumi.Input<string>> = {
            STACK: name,
            HOST: settings.host,
            MONGODB: place("mongodb"),
            REDIS: place("redis"),
            MAILBOXES: place("mailboxes"),
            ...(settings.certificates.issuer === "acme" ? { ACME: place("acme") } : {}),
            RESTIC: settings.images.restic.reference,
            FORWARDEMAIL_IMAGE: image,
            MONGODB_IMAGE: settings.images.mongodb.reference,
            REDIS_IMAGE: settings.images.redis.reference,
            FORWARDEMAIL_TAG: settings.images.forwardemail.tag,
            MONGODB_TAG: settings.images.mongodb.tag,
            REDIS_TAG: settings.images.redis.tag,
            DKIM_SELECTOR: activeSelector(settings.dkim),
            REPOSITORY: this.url,
            ENDPOINT: bucket.endpoint,
            BUCKET: bucket.name,
            ...(store.provider === "s3" ? { VERSIONS: "needed" } : {}), // a bucket of ours has them, or a lock in their place
            BUCKET_LOOKUP: this.lookup,
            ...(bucket.region ? { REGION: bucket.region } : {}),
            OPTIONS: pulumi.output(bucket.region).apply((region) => [...(region ? ["-o", `s3.region=${region}`] : []), ...options].join(" ")),
            ...(backups.canary ? { CANARY: backups.canary.address } : {}),
            ...(settings.metrics ? { METRICS: place("metrics") } : {}),
            LIMITS: `--cpus ${cpus} --memory 1g`,
            ALERT_AFTER: String(rpoHours * 3600),
            FREEZE_SECONDS: "120",
            KEEP: [
                ...Object.entries(keep).map(([unit, time]) => `--keep-within-${unit} ${time}`),
                ...(lockDays ? [`--keep-within ${lockDays}d`] : []),
            ].join(" "),
            ...(lockDays ? { LOCK_DAYS: String(lockDays) } : {}),
            WRITERS: servicesOf(settings.profile)
                .filter((service) => !["mongodb", "redis", "router"].includes(service))
                .join(" "),
        };
        return pulumi.all(values).apply((all) =>
            Object.entries(all)
                .map(([key, value]) => `${key}=${quote(value)}\n`)
                .join(""),
        );
    }

    /** Environment of restic. */
    private credentials(): pulumi.Output<string> {
        return pulumi.all([this.url, this.passphrase, pulumi.output(this.args.bucket.writer)]).apply((all) => resticEnvironment(...all));
    }

    private restore(from: string): { done: pulumi.Resource; secrets: Recovered } {
        const done = this.args.server.run(
            `${this.name}-backup-restore`,
            { script: RESTORE_AT_START, environment: { BACKUP: this.place.source, SET: from }, secretOutput: true },
            { parent: this, dependsOn: [this.opened] },
        );
        return { done, secrets: pulumi.secret(done.stdout.apply((text) => JSON.parse(text) as Record<string, string>)) };
    }

    /** Has sets made from now on: of the deployment's `secrets`, by a timer where the server is not the operator's own machine. */
    schedule(secrets: DeploymentSecrets, more: Record<string, pulumi.Input<string>>, dependsOn: pulumi.Resource[]): void {
        const { settings, server, backups } = this.args;
        const { hours, drill } = backups;
        const dkim = Object.fromEntries(Object.entries(secrets.dkimKeys).map(([selector, key]) => [`dkimKeys.${selector}`, key]));
        const content = pulumi.all({ ...secrets.values, ...dkim, ...more });
        const written = this.write(`${this.name}-backup-secrets`, { "secrets.json": content.apply((all) => JSON.stringify(all)) });
        if (server.identity === undefined) return;
        server.run(
            `${this.name}-backup-timer`,
            {
                script: SCHEDULE,
                remove: UNDO_SCHEDULE,
                environment: {
                    STACK: settings.name,
                    BACKUP: this.place.source,
                    HOURS: String(hours),
                    WHEN: `*-*-* ${hours === 24 ? "00" : `00/${hours}`}:00:00`,
                    JITTER: String(hours * 300),
                    DRILL: drill,
                },
            },
            { parent: this, dependsOn: [this.opened, written, ...dependsOn] },
        );
    }
}
