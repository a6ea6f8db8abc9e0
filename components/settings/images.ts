import { z } from "zod";
import { Problem } from "../errors";
import { METRICS_NAMES, MetricsName } from "../metrics/programs";
import { ImageName } from "../services/catalogue";
import { Config } from "./schema";
import { Image } from "./settings";

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const family = z.strictObject({
    /** Repository with its registry. */
    repository: z.string(),
    /** Known releases by tag, in any order. `digest` is null until `npm run images:update` has asked the registry. */
    releases: z.record(z.string(), z.strictObject({ digest: digest.nullable() })),
});
/** Of what is not asked for: a lock file of one's own need not have it. */
const optional = family.default({ repository: "", releases: {} });
/** images.lock.json: which releases are known and what their tags meant when they were looked up. */
export const lockSchema = z.strictObject({
    ...{ forwardemail: family, mongodb: family, redis: family, nginx: family, lego: family, restic: family },
    ...{ prometheus: optional, blackbox_exporter: optional, node_exporter: optional, redis_exporter: optional },
});
export type Lock = z.output<typeof lockSchema>;

export function parseLock(text: string): Lock {
    return lockSchema.parse(JSON.parse(text));
}

/** A database's data belongs to its major release: another one is taken only where the config names it. */
const MAJOR: Record<ImageName, string> = {
    ...{ forwardemail: "v", mongodb: "7.0", redis: "7.", nginx: "1.", lego: "v5.", restic: "0." },
    ...{ prometheus: "v3.", blackbox_exporter: "v0.", node_exporter: "v1.", redis_exporter: "v1." },
};

/** The images that a config asks for, by digest. A tag that the lock file does not know is a problem, never a guess. */
export function selectImages(config: Config, lock: Lock, problems: Problem[], allowUnpinned = false): Record<ImageName, Image> {
    const pick = (name: ImageName, key: string, tag: string | undefined, isUnused = false): Image => {
        const { repository, releases } = lock[name];
        if (tag?.includes("@")) return { ...held(key, repository, tag, problems), ...better(name, tag, lock) };
        const wanted = tag ?? newestOf(name, lock);
        const known = Object.hasOwn(releases, wanted) ? releases[wanted] : undefined;
        if (known ? !known.digest && !allowUnpinned && !isUnused : !(isUnused && tag === undefined)) {
            problems.push({
                key,
                message: known
                    ? `${repository}:${wanted} has no digest in ${config.images.lockFile} yet`
                    : `got "${wanted}", wanted a tag of ${config.images.lockFile}: ${Object.keys(releases).join(", ")}`,
                fix: known ? "npm run images:update" : `choose one of these, or add it with npm run images:update -- ${name} ${wanted}`,
            });
        }
        return { tag: wanted, reference: `${repository}:${wanted}${known?.digest ? `@${known.digest}` : ""}` };
    };
    const built = config.image.build !== undefined;
    return {
        forwardemail: pick("forwardemail", "version", built || config.version === "latest" ? undefined : config.version, built),
        mongodb: pick("mongodb", "images.mongodb", config.images.mongodb),
        redis: pick("redis", "images.redis", config.images.redis),
        nginx: pick("nginx", "images.nginx", config.images.nginx),
        lego: pick("lego", "images.lego", config.images.lego, config.certificates.issuer !== "acme"),
        restic: pick("restic", "images.restic", config.images.restic, !config.backups.provider),
        ...(Object.fromEntries(METRICS_NAMES.map((name) => [name, pick(name, "metrics", undefined, !config.metrics.server)])) as Record<
            MetricsName,
            Image
        >),
    };
}

/** A tag with a digest of its own, whatever the lock file says by now: what an update went back to. */
function held(key: string, repository: string, image: string, problems: Problem[]): Image {
    const [tag, pinned] = image.split("@");
    if (tag === "" || !digest.safeParse(pinned).success)
        problems.push({ key, message: `got "${image}", wanted TAG or TAG@sha256: and 64 hexadecimal digits`, fix: "name a tag of the lock file" });
    return { tag, reference: `${repository}:${image}` };
}

/** What the lock file has by now instead of an image that is held: another digest of its tag, or a newer release. */
function better(name: ImageName, image: string, lock: Lock): Pick<Image, "better"> {
    const { repository, releases } = lock[name];
    const [tag] = image.split("@");
    const best = newestOf(name, lock);
    const wanted = isOlder(tag, best) ? best : tag;
    const known = Object.hasOwn(releases, wanted) ? releases[wanted].digest : null;
    return known && `${wanted}@${known}` !== image ? { better: `${repository}:${wanted}@${known}` } : {};
}

const newestOf = (name: ImageName, lock: Lock): string => newest(Object.keys(lock[name].releases).filter((tag) => tag.startsWith(MAJOR[name])));

/** Highest release by version number; pre-releases only where there is nothing else. */
export function newest(tags: string[]): string {
    if (tags.length === 0) return "latest";
    const final = tags.filter((tag) => !tag.includes("-"));
    return (final.length > 0 ? final : tags).reduce((best, tag) => (isOlder(best, tag) ? tag : best));
}

/** Whether one release comes before another, by their numbers. */
export function isOlder(one: string, other: string): boolean {
    const parts = (tag: string) => (/^v?(\d+(?:\.\d+)*)/.exec(tag)?.[1] ?? "0").split(".").map(Number);
    const [a, b] = [parts(one), parts(other)];
    const at = b.findIndex((number, place) => number !== (a[place] ?? 0));
    return at >= 0 && b[at] > (a[at] ?? 0);
}

/** Address of what upstream says of a release. */
export const notesOf = (tag: string): string => `https://github.com/forwardemail/forwardemail.net/releases/tag/${tag}`;
