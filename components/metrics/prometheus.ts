import { stringify } from "yaml";
import { MetricsSettings, Settings } from "../settings/settings";
import { probeTargets } from "./probes";
import { addressOf } from "./programs";

/** Name of the alerts' file beside prometheus.yml. */
export const ALERTS = "alerts.yml";

/** Configuration of Prometheus: what it reads, how often, and whom it tells. */
export function prometheusConfig(settings: Pick<Settings, "name" | "host" | "profile">, { alertmanager }: MetricsSettings): string {
    const job = (name: string, address: string) => ({ job_name: name, static_configs: [{ targets: [address] }] });
    return stringify(
        {
            global: {
                scrape_interval: "30s",
                scrape_timeout: "15s", // a greeting may wait for DNS
                evaluation_interval: "30s",
                external_labels: { deployment: settings.name },
            },
            rule_files: [ALERTS],
            ...(alertmanager ? { alerting: { alertmanagers: [whereIs(alertmanager)] } } : {}),
            scrape_configs: [
                probes(settings),
                job("node", addressOf("node_exporter")),
                job("redis", addressOf("redis_exporter")),
                job("prometheus", addressOf("prometheus")),
            ],
        },
        { lineWidth: 0, aliasDuplicateObjects: false },
    );
}

/** Blackbox exporter is asked for each target: https://github.com/prometheus/blackbox_exporter#prometheus-configuration. */
function probes(settings: Pick<Settings, "host" | "profile">): object {
    return {
        job_name: "probe",
        metrics_path: "/probe",
        static_configs: probeTargets(settings).map(({ service, module, target }) => ({
            targets: [target],
            labels: { service, __param_module: module },
        })),
        relabel_configs: [
            { source_labels: ["__address__"], target_label: "__param_target" },
            { source_labels: ["__param_target"], target_label: "instance" },
            { target_label: "__address__", replacement: addressOf("blackbox_exporter") },
        ],
    };
}

function whereIs(url: string): object {
    const { protocol, host } = new URL(url);
    const scheme = protocol.slice(0, -1);
    return { scheme, static_configs: [{ targets: [/:\d+$/.test(host) ? host : `${host}:${scheme === "https" ? 443 : 80}`] }] };
}
