import type { MetricsName } from "../metrics/programs";

// Every service of the deployment as plain data. Containers, published ports, certificate and DNS names, aliases,
// health, memory and start order all derive from this table: to add a service, add a row.
// The application's own rows follow upstream's self-hosting/docker-compose-self-hosted.yml, changed where a bridge
// network needs it (hostnames, aliases) or where health was not looked at (workers, databases, router).

export const SERVICE_NAMES = [
    "mongodb",
    "redis",
    "smtp",
    "sqlite",
    "mx",
    "web",
    "api",
    "imap",
    "pop3",
    "caldav",
    "carddav",
    "bree",
    "smtp_bree",
    "sqlite_bree",
    "router",
] as const;

export type ServiceName = (typeof SERVICE_NAMES)[number];
export type ServiceImage = "forwardemail" | "mongodb" | "redis" | "nginx";
/** lego is the ACME client and restic makes backups: each runs when something is due, and is no service. The rest is optional. */
export type ImageName = ServiceImage | "lego" | "restic" | MetricsName;
/** `forwarding` only receives and forwards; `full` also keeps mailboxes, calendars and contacts. */
export type Profile = "forwarding" | "full";
/** Data that outlives its container; see store.ts. */
export type StoreName = "mongodb" | "redis" | "mailboxes";

/** How a service shows that it works; rendered in health.ts. */
export type Probe =
    | { kind: "https"; port: number; path: string }
    | { kind: "websocket"; port: number }
    | { kind: "greeting"; scheme: "smtp" | "smtps" | "imaps" | "pop3s"; port: number }
    | { kind: "worker"; peers: Array<"mongodb" | "redis"> }
    | { kind: "mongodb" }
    | { kind: "redis" }
    | { kind: "redirect" };

export interface Service {
    image: ServiceImage;
    /** User of the image, by name: its number differs between images. */
    user: string;
    /** Smallest profile that runs it. */
    profile: Profile;
    /** Entry point of the application. The others are started by a script of their own. */
    entry?: string;
    /**
     * Host name inside the container, relative to the deployment's host when it ends in a dot. Docker writes it to
     * /etc/hosts and makes it an alias in the network, so it must not be a name under which a container looks for *another*
     * service: smtp_bree and sqlite_bree of upstream's compose file would find themselves.
     */
    hostname: string;
    /** Names under the deployment's host that this service answers inside the network; "" is the host itself. */
    aliases: string[];
    /** Names under the deployment's host that the public uses for it: in the certificate and in DNS. */
    publicNames: string[];
    /** Ports the world reaches directly. The same inside and outside but for `network.portOffset`. */
    publish: number[];
    /** Port behind the router's SNI routes. Such a service is replaced without a gap: the new container is healthy before the route moves. */
    routed?: number;
    /** Services that must be healthy before this one starts. */
    needs: ServiceName[];
    probe: Probe;
    stores: StoreName[];
    /** Reads TLS and DKIM keys. */
    keys: boolean;
    /** Default memory limit in MiB. */
    memoryMb: number;
    /** Time between SIGTERM and SIGKILL, in seconds; long where a message or a write may be in flight. */
    stopSeconds: number;
    /** The root file system is read-only; only where we know every path that is written. */
    readOnly: boolean;
}

const application = { image: "forwardemail", user: "forwardemail", keys: true, readOnly: false } as const;
const databases: ServiceName[] = ["mongodb", "redis"];

// prettier-ignore -- a table: one service, three lines
export const CATALOGUE: Record<ServiceName, Service> = {
    mongodb: {
        image: "mongodb",
        user: "mongodb",
        profile: "forwarding",
        hostname: "mongodb",
        aliases: [],
        publicNames: [],
        publish: [],
        needs: [],
        probe: { kind: "mongodb" },
        stores: ["mongodb"],
        keys: false,
        memoryMb: 1024,
        stopSeconds: 60,
        readOnly: true,
    },
    redis: {
        image: "redis",
        user: "redis",
        profile: "forwarding",
        hostname: "redis",
        aliases: [],
        publicNames: [],
        publish: [],
        needs: [],
        probe: { kind: "redis" },
        stores: ["redis"],
        keys: false,
        memoryMb: 512,
        stopSeconds: 30,
        readOnly: true,
    },
    smtp: {
        ...application,
        profile: "forwarding",
        entry: "smtp.js",
        hostname: "smtp.",
        aliases: ["smtp"],
        publicNames: ["smtp"],
        publish: [465],
        needs: databases,
        probe: { kind: "greeting", scheme: "smtps", port: 465 },
        stores: [],
        memoryMb: 768,
        stopSeconds: 30,
    },
    sqlite: {
        ...application,
        profile: "full",
        entry: "sqlite.js",
        hostname: "sqlite.",
        aliases: ["sqlite"],
        publicNames: [],
        publish: [],
        needs: databases,
        probe: { kind: "websocket", port: 3456 },
        stores: ["mailboxes"],
        memoryMb: 1024,
        stopSeconds: 90,
    },
    mx: {
        ...application,
        profile: "forwarding",
        entry: "mx.js",
        hostname: "mx.",
        aliases: ["mx"],
        publicNames: ["mx"],
        publish: [25],
        needs: databases,
        probe: { kind: "greeting", scheme: "smtp", port: 25 },
        stores: ["mailboxes"],
        memoryMb: 1024,
        stopSeconds: 30,
    },
    web: {
        ...application,
        profile: "forwarding",
        entry: "web.js",
        hostname: "web",
        aliases: [],
        publicNames: [""],
        publish: [],
        routed: 3000,
        needs: databases,
        probe: { kind: "https", port: 3000, path: "/" },
        stores: [],
        memoryMb: 1024,
        stopSeconds: 15,
    },
    api: {
        ...application,
        profile: "forwarding",
        entry: "api.js",
        hostname: "api",
        aliases: [],
        publicNames: ["api"],
        publish: [],
        routed: 4000,
        needs: databases,
        probe: { kind: "https", port: 4000, path: "/v1/test" },
        stores: [],
        memoryMb: 768,
        stopSeconds: 15,
    },
    imap: {
        ...application,
        profile: "full",
        entry: "imap.js",
        hostname: "imap.",
        aliases: ["imap"],
        publicNames: ["imap"],
        publish: [993],
        needs: ["sqlite"],
        probe: { kind: "greeting", scheme: "imaps", port: 993 },
        stores: ["mailboxes"],
        memoryMb: 1024,
        stopSeconds: 15,
    },
    pop3: {
        ...application,
        profile: "full",
        entry: "pop3.js",
        hostname: "pop3.",
        aliases: ["pop3"],
        publicNames: ["pop3"],
        publish: [995],
        needs: ["sqlite"],
        probe: { kind: "greeting", scheme: "pop3s", port: 995 },
        stores: ["mailboxes"],
        memoryMb: 768,
        stopSeconds: 15,
    },
    caldav: {
        ...application,
        profile: "full",
        entry: "caldav.js",
        hostname: "caldav",
        aliases: [],
        publicNames: ["caldav"],
        publish: [],
        routed: 5000,
        needs: ["sqlite"],
        probe: { kind: "https", port: 5000, path: "/" },
        stores: [],
        memoryMb: 768,
        stopSeconds: 15,
    },
    carddav: {
        ...application,
        profile: "full",
        entry: "carddav.js",
        hostname: "carddav",
        aliases: [],
        publicNames: ["carddav"],
        publish: [],
        routed: 6000,
        needs: ["sqlite"],
        probe: { kind: "https", port: 6000, path: "/" },
        stores: [],
        memoryMb: 768,
        stopSeconds: 15,
    },
    bree: {
        ...application,
        profile: "forwarding",
        entry: "bree.js",
        hostname: "bree",
        aliases: [],
        publicNames: [],
        publish: [],
        needs: databases,
        probe: { kind: "worker", peers: ["mongodb"] },
        stores: [],
        memoryMb: 2048,
        stopSeconds: 30,
    },
    smtp_bree: {
        // Sends mail: its host name is the EHLO name, which must be the one that the reverse DNS of the server gives.
        ...application,
        profile: "forwarding",
        entry: "smtp-bree.js",
        hostname: "mx.",
        aliases: [],
        publicNames: [],
        publish: [],
        // A kill in the middle of a delivery leaves the message locked, and `unlock-emails` is not among the self-hosted jobs.
        needs: databases,
        probe: { kind: "worker", peers: ["mongodb", "redis"] },
        stores: [],
        memoryMb: 1024,
        stopSeconds: 60,
    },
    sqlite_bree: {
        ...application,
        profile: "full",
        entry: "sqlite-bree.js",
        hostname: "sqlite-bree",
        aliases: [],
        publicNames: [],
        publish: [],
        needs: databases,
        probe: { kind: "worker", peers: ["mongodb"] },
        stores: ["mailboxes"],
        memoryMb: 1024,
        stopSeconds: 30,
    },
    router: {
        image: "nginx",
        user: "nginx",
        profile: "forwarding",
        hostname: "router",
        aliases: ["", "api", "caldav", "carddav"],
        publicNames: [],
        publish: [80, 443],
        needs: [],
        probe: { kind: "redirect" },
        stores: [],
        keys: false,
        memoryMb: 128,
        stopSeconds: 10,
        readOnly: true,
    },
};

/** Services of a profile, in start order of the table. */
export function servicesOf(profile: Profile): ServiceName[] {
    return SERVICE_NAMES.filter((name) => profile === "full" || CATALOGUE[name].profile === "forwarding");
}

/** Every port of the host that a deployment publishes, ascending. */
export function publishedPorts(profile: Profile, offset: number): number[] {
    return servicesOf(profile)
        .flatMap((service) => CATALOGUE[service].publish.map((port) => port + offset))
        .sort((a, b) => a - b);
}

/** Label of the name that MX records lead to. */
export const EXCHANGER = "mx";

/** `""` is the host itself, `"mx"` is mx.HOST. */
export function under(host: string, label: string): string {
    return label === "" ? host : `${label}.${host}`;
}

/** Every name that clients of the deployment connect to: what its certificate must cover. */
export function publicNames(host: string, profile: Profile): string[] {
    return servicesOf(profile).flatMap((name) => CATALOGUE[name].publicNames.map((label) => under(host, label)));
}
