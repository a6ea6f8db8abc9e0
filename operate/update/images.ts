import { CATALOGUE, ServiceImage } from "../../components/services/catalogue";
import { isOlder } from "../../components/settings/images";
import type { Running } from "../health";

/** Images that a stack takes beside the application's. */
export const OTHERS = ["mongodb", "redis", "nginx"] as const satisfies ServiceImage[];
export type Other = (typeof OTHERS)[number];
/** What the config's `images` says of them: a tag of the lock file, or TAG@sha256:DIGEST. */
export type Pins = Partial<Record<Other, string>>;

/** An image that an update changes beside the application's, as TAG@sha256:DIGEST. */
export interface ImageChange {
    name: Other;
    from: string;
    to: string;
    /** The operator named its tag: the config names it from then on. */
    isTold?: true;
}

/** `8.0.15@sha256:…` of a reference with its repository. */
export const pinOf = (reference: string): string => reference.slice(reference.lastIndexOf("/") + 1).replace(/^[^:@]*:/, "");

export const tagOf = (pin: string): string => pin.split("@")[0];

const runningImage = (running: Running[], name: Other): Running | undefined =>
    running.find(({ service, image }) => CATALOGUE[service]?.image === name && /:[^/]+@sha256:/.test(image));

/** What differs between the images that run and those that are wanted. One that does not run has no way back, and is left out. */
export function changedImages(running: Running[], wanted: Record<Other, { reference: string }>, told: Pins): ImageChange[] {
    return OTHERS.flatMap((name) => {
        const found = runningImage(running, name);
        const { reference } = wanted[name];
        if (!found || found.image === reference) return [];
        return [{ name, from: pinOf(found.image), to: pinOf(reference), ...(told[name] ? { isTold: true as const } : {}) }];
    });
}

/** What the config says on the way forward: only what the operator named. */
export const pinsForth = (images: ImageChange[] = []): Pins =>
    Object.fromEntries(images.filter(({ isTold }) => isTold).map(({ name, to }) => [name, tagOf(to)]));

/**
 * What the config says on the way back: the recorded images. But a database whose new major release works stays with it: MongoDB supports
 * no binary downgrade of the Community Edition from 7.0 on (its release notes, "Downgrade 8.0 to 7.0"), and Redis does not read the files of a
 * newer one. One whose new release does not come up goes back: it refuses by itself what it cannot read.
 * @param running Undefined where Docker could not be asked: then no database leaves its new major release.
 */
export function pinsBack(images: ImageChange[] = [], running: Running[] | undefined): Pins {
    return Object.fromEntries(
        images.map(({ name, from, to }) => {
            const found = running ? runningImage(running, name) : { image: to, health: "healthy" };
            const stays = name !== "nginx" && found?.health === "healthy" && seriesOf(pinOf(found.image)) !== seriesOf(from);
            return [name, stays ? pinOf(found.image) : from];
        }),
    );
}

/** The release series of a tag, as MongoDB's feature compatibility version names it: 8.0 of 8.0.15. Undefined where it has no number. */
export function seriesOf(tag: string): string | undefined {
    const [, major, minor = "0"] = /^(\d+)(?:\.(\d+))?/.exec(tag) ?? [];
    return major && `${major}.${minor}`;
}

/** Why a database must not go from one release to another; undefined, where it may. */
export function whyNotFrom(name: "mongodb" | "redis", from: string, to: string): string | undefined {
    const [old, next] = [seriesOf(from), seriesOf(to)];
    if (!old || !next || old === next) return undefined;
    const key = `images.${name}: ${to}`;
    if (isOlder(next, old))
        return `${key} is older than ${from}, which runs: no older release reads its data. Fix: images.${name}: "${from}"; or restore a set of backups that was made with ${next} (npm run restore)`;
    if (name === "redis" || isNext(old, next)) return undefined; // a newer Redis reads the files of all older ones
    return `${key} is more than a step from ${from}, which runs: MongoDB goes one major release at a time. Fix: "${Number.parseInt(old) + 1}.0" first`;
}

/** MongoDB's upgrade paths ("Downgrade 8.3 to 8.0", "Upgrade Version Path"): to the next major, and within one from its first release or to the neighbour. */
function isNext(old: string, next: string): boolean {
    const [[major, minor], [nextMajor, nextMinor]] = [old, next].map((series) => series.split(".").map(Number));
    return nextMajor === major ? minor === 0 || nextMinor === minor + 1 : nextMajor === major + 1 && nextMinor === 0;
}

/** An image's change in words; the digest only where the tag says nothing. */
export function changeText({ name, from, to }: ImageChange): string {
    const isMoved = tagOf(from) === tagOf(to);
    const text = (pin: string) => (isMoved ? pin.replace(/@sha256:(.{8}).*/, " ($1)") : tagOf(pin));
    return `${name} from ${text(from)} to ${text(to)}`;
}
