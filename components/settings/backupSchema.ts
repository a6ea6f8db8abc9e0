import { z } from "zod";

const within = z
    .string("a time such as 36h, 14d, 6m or 1y")
    .regex(/^[1-9]\d{0,3}[hdmy]$/, "a whole number of hours, days, months or years, such as 36h, 14d, 6m or 1y");

const keep = z
    .strictObject(
        {
            hourly: within.default("2d").describe("Keep one an hour for this long."),
            daily: within.default("14d").describe("Keep one a day for this long."),
            weekly: within.default("2m").describe("Keep one a week for this long."),
            monthly: within.default("1y").describe("Keep one a month for this long."),
        },
        "a map with hourly, daily, weekly, monthly",
    )
    .prefault({})
    .describe("What `npm run prune` leaves, by time: as many sets as come, none pushes another out.");

/** Hours between two sets, so that days have the same hours. */
const EVERY = ["1h", "2h", "3h", "4h", "6h", "8h", "12h", "24h"] as const;

export const backups = z
    .strictObject(
        {
            provider: z
                .enum(["s3", "aws", "r2"], "s3, aws or r2")
                .optional()
                .describe(
                    "aws and r2: the program makes the bucket and its keys, on S3 or on Cloudflare R2. s3: a bucket that exists, at any store that speaks S3. Default, there are no backups.",
                ),
            bucket: z
                .string("a bucket's name")
                .regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, "a bucket's name: 3 to 63 lower-case letters, digits, dots and hyphens")
                .optional()
                .describe("s3: name of the bucket. It must keep old versions of its objects (versioning)."),
            endpoint: z
                .string("a URL")
                .regex(
                    /^https?:\/\/(\[[0-9a-f:]+\]|[a-zA-Z0-9.-]+)(:\d{1,5})?$/,
                    "a URL without a path, such as https://s3.eu-central-003.backblazeb2.com",
                )
                .optional()
                .describe("s3: where the store is reached."),
            region: z
                .string("a region's name")
                .regex(/^[a-z0-9-]+$/, "a region's name, such as eu-central-1")
                .optional()
                .describe("aws and s3: region of the bucket. Default on s3, what the store says."),
            pathStyle: z
                .boolean("true or false")
                .default(true)
                .describe("Whether the bucket's name is in the path of the URL; else it is in the host name."),
            keepVersionsDays: z
                .int("a whole number of days")
                .min(7, "7 or more")
                .max(3650, "3650 or less")
                .optional()
                .describe("aws: days that an object stays after it was overwritten or removed: so long may a break-in go unnoticed. Default, 90."),
            lockDays: z
                .int("a whole number of days")
                .min(1, "1 or more")
                .max(3650, "3650 or less")
                .optional()
                .describe(
                    "aws: days that nothing can be destroyed, by Object Lock. r2: days that a set can be neither removed nor overwritten. Default, on aws none, on r2 for ever.",
                ),
            accountId: z
                .string("an account id")
                .regex(/^[0-9a-f]{32}$/, "32 hexadecimal digits")
                .optional()
                .describe("r2: id of the Cloudflare account; the secret cloudflareToken may write R2 storage and the account's API tokens."),
            accessKeyId: z
                .string("an access key id")
                .regex(/^[A-Za-z0-9_.-]{3,128}$/, "an access key id")
                .optional()
                .describe(
                    "s3: id of the key that the server uses, whose secret is backupSecretKey. It need not be able to delete (docs/backups.md).",
                ),
            pruneAccessKeyId: z
                .string("an access key id")
                .regex(/^[A-Za-z0-9_.-]{3,128}$/, "an access key id")
                .optional()
                .describe("s3: id of the key that `npm run prune` uses, whose secret is backupPruneSecretKey. Default, the server's key."),
            prefix: z
                .string("text")
                .regex(/^[a-zA-Z0-9][a-zA-Z0-9_-]*(\/[a-zA-Z0-9][a-zA-Z0-9_-]*)*$/, "letters, digits, - and _, with / between parts")
                .optional()
                .describe("Folder in the bucket, of this deployment alone. Default, forwardemail-STACK."),
            every: z.enum(EVERY, EVERY.join(", ")).default("6h").describe("Time between two sets, each at a full hour and up to a twelfth later."),
            rpo: z
                .int("a whole number of hours")
                .min(1, "1 or more")
                .max(720, "720 or less")
                .optional()
                .describe("Recovery point objective in hours: alertWebhook is told when the newest complete set is older. Default, twice `every`."),
            keep,
            uploadKiB: z.int("a whole number").min(16, "16 or more").optional().describe("Limit of the upload in KiB a second. Default, none."),
            cpus: z.number("a number").min(0.1, "0.1 or more").max(64, "64 or less").default(1).describe("Processors that a backup may keep busy."),
            canary: z
                .email("an address")
                .optional()
                .describe(
                    "Address of an alias of your own, whose mailbox the drill opens and reads: nobody else's opens without its password. verify sends two mails to it and by it, and deletes them. Its password is the secret backupCanaryPassword.",
                ),
            drill: z
                .enum(["never", "weekly", "monthly"], "never, weekly or monthly")
                .default("never")
                .describe("How often the server restores the newest set into a scratch place by itself, to see that it can."),
        },
        "a map with provider, bucket, endpoint …",
    )
    .prefault({});

/** Id of a set: when it was made, in UTC. Or a folder of an installation that upstream's setup.sh made. */
export const restoreFrom = z
    .string("latest, the id of a set, or a folder")
    .regex(
        /^(|latest|\d{8}T\d{6}Z|\/[A-Za-z0-9._/-]+)$/,
        "latest, the id of a set such as 20261126T030000Z, or the absolute path of a folder on the server (docs/migrate-from-setup-sh.md)",
    )
    .default("");
