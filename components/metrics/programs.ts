/** What watches the deployment where `metrics` asks for it, in start order. Each is an image of its own, under the same name. */
export const METRICS_NAMES = ["blackbox_exporter", "node_exporter", "redis_exporter", "prometheus"] as const;

export type MetricsName = (typeof METRICS_NAMES)[number];

interface Program {
    /** What it listens on, inside the network only. */
    port: number;
    /** Answers 200 when it works. */
    health: string;
    /** Options, the same in the images and in Debian's packages, which the rehearsal runs. */
    options: string[];
    /** Files in {@link METRICS_DIRECTORY} that it reads at start only: a container of others is another one. */
    config: string[];
    /** Memory limit in MiB. */
    memoryMb: number;
}

/** Where the files are that the program writes (metrics.ts), in every container that reads them. */
export const METRICS_DIRECTORY = "/etc/metrics";
/** Prometheus' data, as its image has it. */
export const HISTORY_DIRECTORY = "/prometheus";

export const PROGRAMS: Record<MetricsName, Program> = {
    blackbox_exporter: {
        port: 9115,
        health: "/-/healthy",
        options: [`--config.file=${METRICS_DIRECTORY}/blackbox.yml`],
        config: ["blackbox.yml"],
        memoryMb: 64,
    },
    // Nothing of the host is mounted: /proc tells its load and memory in every container, and its disks are those that the mounts lie on.
    node_exporter: {
        port: 9100,
        health: "/",
        options: [
            "--collector.disable-defaults",
            ...["cpu", "filesystem", "loadavg", "meminfo", "textfile"].map((name) => `--collector.${name}`),
            `--collector.textfile.directory=${METRICS_DIRECTORY}`,
        ],
        config: [],
        memoryMb: 64,
    },
    redis_exporter: { port: 9121, health: "/", options: [], config: [], memoryMb: 64 },
    prometheus: {
        port: 9090,
        health: "/-/ready",
        options: [
            `--config.file=${METRICS_DIRECTORY}/prometheus.yml`,
            `--storage.tsdb.path=${HISTORY_DIRECTORY}`,
            "--storage.tsdb.retention.size=2GB", // whatever metrics.retention says: Docker's disk holds more than this
        ],
        config: ["prometheus.yml", "alerts.yml"],
        memoryMb: 512,
    },
};

/** How the programs find each other. */
export const addressOf = (name: MetricsName): string => `${name}:${PROGRAMS[name].port}`;
