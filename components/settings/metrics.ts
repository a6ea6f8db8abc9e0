import { z } from "zod";
import { Problem } from "../errors";
import { RawConfig } from "./parse";
import type { Config } from "./schema";
import { MetricsSettings } from "./settings";

/** Not a port that a service publishes, all of which are lower. */
const LOWEST_PORT = 1024;

export const metrics = z
    .strictObject(
        {
            server: z
                .string("a server's name")
                .optional()
                .describe("Name of the server, of `servers`, that runs Prometheus and its exporters. Default, there are none."),
            retention: z
                .string("a time such as 30d, 8w or 1y")
                .regex(/^[1-9]\d{0,3}[dwy]$/, "a whole number of days, weeks or years, such as 30d, 8w or 1y")
                .default("30d")
                .describe("How long history is kept; 2 GB of it at most."),
            port: z
                .int("a port")
                .min(LOWEST_PORT, `a port from ${LOWEST_PORT}`)
                .max(65535, "a port up to 65535")
                .default(9090)
                .describe("Port of Prometheus, on the server's loopback only: 127.0.0.1. network.portOffset is added."),
            alertmanager: z
                .string("a URL")
                .regex(/^https?:\/\/(\[[0-9a-f:]+\]|[a-zA-Z0-9.-]+)(:\d{1,5})?$/, "a URL without a path, such as http://192.0.2.9:9093")
                .optional()
                .describe("URL of an Alertmanager of yours, which is told of alerts. Default, they are only shown."),
        },
        "a map with server, retention, port, alertmanager",
    )
    .prefault({});

/** What the config says of metrics; nothing, where there are none. */
export function metricsOf({ metrics: { server, port, ...rest }, network }: Config): MetricsSettings | undefined {
    return server === undefined ? undefined : { ...rest, server, port: port + network.portOffset };
}

export function checkMetrics({ metrics: { server, port }, servers, network: { portOffset } }: Config, raw: RawConfig): Problem[] {
    const names = servers.map(({ name }) => name);
    const fix = `pulumi config set --path metrics.server ${names[0]}`;
    if (server === undefined) {
        const given = raw.metrics ? Object.keys((JSON.parse(raw.metrics) as object | null) ?? {}) : [];
        return given.length > 0 ? [{ key: "metrics.server", message: `is missing, wanted a name of servers: ${names.join(", ")}`, fix }] : [];
    }
    if (!names.includes(server)) return [{ key: "metrics.server", message: `got "${server}", wanted a name of servers: ${names.join(", ")}`, fix }];
    if (port + portOffset <= 65535) return [];
    const message = `got ${port}, which is ${port + portOffset} with network.portOffset, wanted a port up to ${65535 - portOffset}`;
    return [{ key: "metrics.port", message, fix: `pulumi config set --path metrics.port ${LOWEST_PORT}` }];
}
