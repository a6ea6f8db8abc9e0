import { createHash } from "node:crypto";
import * as docker from "@pulumi/docker";
import type { types } from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { Certificate } from "../certificates/certificates";
import { PulledImage, pullImage } from "../server/pull";
import { Server } from "../server/server";
import { runtime, stackLabels } from "../services/container";
import { Place, createPlace, writeFiles } from "../services/files";
import { healthcheck } from "../services/health";
import { MetricsSettings, Settings } from "../settings/settings";
import { alertRules } from "./alerts";
import { AUTHORITY, blackboxConfig } from "./probes";
import { HISTORY_DIRECTORY, METRICS_DIRECTORY, METRICS_NAMES, MetricsName, PROGRAMS } from "./programs";
import { ALERTS, prometheusConfig } from "./prometheus";

export interface MetricsArgs {
    settings: Settings;
    metrics: MetricsSettings;
    server: Server;
    /** Network of the services. */
    networkId: pulumi.Input<string>;
    certificate: Certificate;
    redisPassword: pulumi.Input<string>;
    /** What is watched: it is there before. */
    watched: pulumi.Resource;
}

/** User of every image that has no right to anything. */
const NOBODY = "nobody";
const STOP_SECONDS = 10;

/**
 * Prometheus and its exporters beside the services: whoever looks at a deployment changes nothing of it, so turning them on or off
 * replaces no other container. Nothing of it faces the world: Prometheus is published on the host's loopback only.
 */
export class Metrics extends pulumi.ComponentResource {
    /** Of the files that the programs read. A run of the backup leaves its figures there, too (backups/host/backup.ts). */
    private readonly place: Place;
    /** Metrics are no data that a deployment needs: they are not in data.directory, and go with Prometheus. */
    private readonly history: Place;
    /** By name. No secret is among them. */
    private readonly files: Record<string, string>;

    constructor(
        private readonly name: string,
        private readonly args: MetricsArgs,
        opts?: pulumi.ComponentResourceOptions,
    ) {
        super("forwardemail:metrics:Metrics", `${name}-metrics`, {}, opts);
        const { directory } = args.settings.data;
        const authority = authorityOf(args.settings, args.certificate);
        this.files = {
            "blackbox.yml": blackboxConfig(args.settings, authority !== undefined),
            "prometheus.yml": prometheusConfig(args.settings, args.metrics),
            [ALERTS]: alertRules(args.settings),
        };
        this.place = createPlace("metrics", { name, directory }, { parent: this });
        this.history = createPlace("prometheus", { name }, { parent: this });
        const images = this.pullImages();
        const written = this.write(images.prometheus, authority);
        for (const program of METRICS_NAMES) this.run(program, images[program], [written, args.watched]);
        this.registerOutputs({});
    }

    private pullImages(): Record<MetricsName, PulledImage> {
        const { settings, server } = this.args;
        const pull = (name: MetricsName) => pullImage(`${this.name}-${name}`, settings.images[name].reference, server, { parent: this });
        return Object.fromEntries(METRICS_NAMES.map((name) => [name, pull(name)])) as Record<MetricsName, PulledImage>;
    }

    private write(image: PulledImage, authority: pulumi.Output<string> | undefined): pulumi.Resource {
        const { server } = this.args;
        const files = { ...this.files, ...(authority ? { [AUTHORITY]: authority } : {}) };
        return writeFiles(`${this.name}-metrics-files`, { server, place: this.place, image, user: NOBODY, files }, { parent: this });
    }

    private run(program: MetricsName, { reference, pulled }: PulledImage, after: pulumi.Resource[]): docker.Container {
        const { settings, server, networkId } = this.args;
        const { options, config, port, health, memoryMb } = PROGRAMS[program];
        const name = `${this.name}-${program.replaceAll("_", "-")}`;
        return new docker.Container(
            name,
            {
                name,
                image: reference,
                user: NOBODY,
                networksAdvanced: [{ name: networkId, aliases: [program] }],
                labels: stackLabels(settings, program, { "forwardemail.config": this.configDigest(config) }),
                healthcheck: pulumi
                    .output(server.apiVersion)
                    .apply((api) => healthcheck(`wget -q -O /dev/null http://127.0.0.1:${port}${health}`, api)),
                ...runtime(settings, memoryMb, STOP_SECONDS),
                readOnly: true,
                tmpfs: { "/tmp": "rw,noexec,nosuid,nodev,size=16m" },
                ...this.own(program, options),
            },
            { parent: this, dependsOn: [pulled, ...after], deleteBeforeReplace: true, replaceOnChanges: ["healthcheck", "tmpfs"] },
        );
    }

    private configDigest(config: string[]): string | undefined {
        if (config.length === 0) return undefined;
        const text = config.map((file) => this.files[file]).join("\n");
        return createHash("sha256").update(text).digest("hex").slice(0, 32);
    }

    private own(program: MetricsName, options: string[]): Partial<docker.ContainerArgs> {
        const { metrics, redisPassword } = this.args;
        const files = this.place.mount(METRICS_DIRECTORY, true);
        switch (program) {
            case "prometheus":
                return {
                    command: [...options, `--storage.tsdb.retention.time=${metrics.retention}`],
                    mounts: [files, this.history.mount(HISTORY_DIRECTORY, false)],
                    ports: [loopback(PROGRAMS.prometheus.port, metrics.port)],
                };
            case "redis_exporter":
                return { envs: ["REDIS_ADDR=redis://redis:6379", pulumi.interpolate`REDIS_PASSWORD=${redisPassword}`] };
            default:
                return { command: options, mounts: [files] };
        }
    }
}

/** Prometheus asks nobody for a password: only who is on the host reaches it. */
const loopback = (internal: number, external: number): types.input.ContainerPort => ({ internal, external, ip: "127.0.0.1", protocol: "tcp" });

/** What the probes trust; nothing, where that is the public authorities. Of a provided certificate it is that very one with its chain. */
function authorityOf({ certificates }: Settings, { authority, fullchain, trusted }: Certificate): pulumi.Output<string> | undefined {
    if (certificates.issuer === "acme") return certificates.roots ? trusted : undefined;
    return certificates.issuer === "provided" ? fullchain : authority;
}
