import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { alertRules } from "../../components/metrics/alerts";
import { blackboxConfig, probeTargets } from "../../components/metrics/probes";
import { METRICS_NAMES, PROGRAMS } from "../../components/metrics/programs";
import { prometheusConfig } from "../../components/metrics/prometheus";
import { SERVICE_NAMES, servicesOf } from "../../components/services/catalogue";
import type { BackupSettings, Settings } from "../../components/settings/settings";
import { PROJECT } from "../../operate/stackFile";
import { unpacked } from "../rig/images/debs";
import { expressions, namesIn } from "../rig/promql";

// What is written for Prometheus and blackbox exporter, as these programs themselves judge it.

const HOST = "mail.example.com";
const METRICS = { server: "main", retention: "30d", port: 9090 };
const settings = (more: Partial<Settings> = {}) => ({ name: "forwardemail-x", host: HOST, profile: "full", ...more }) as Settings;
const BACKUPS = { backups: { rpoHours: 12 } as BackupSettings };

let programs: string;
let folder: string;
beforeAll(async () => {
    programs = path.join(await unpacked(["prometheus", "prometheus-blackbox-exporter"], console.log), "usr/bin");
}, 300_000);
beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), "metrics-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function write(file: string, text: string): string {
    const name = path.join(folder, file);
    writeFileSync(name, text);
    return name;
}
const promtool = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(path.join(programs, "promtool"), args, { encoding: "utf8" });
    return { status, said: stdout + stderr };
};

describe("probes", () => {
    test.each(["full", "forwarding"] as const)("every service of %s has one, in a module that is there", (profile) => {
        const { modules } = parse(blackboxConfig({ profile }, false)) as { modules: Record<string, unknown> };
        const targets = probeTargets({ host: HOST, profile });
        expect(targets.map(({ service }) => service)).toEqual(servicesOf(profile));
        for (const { module, service } of targets) expect(Object.keys(modules), service).toContain(module);
    });

    test("every published port is asked by the name that clients use, in its own protocol", () => {
        const of = (service: string) => probeTargets({ host: HOST, profile: "full" }).find((one) => one.service === service);
        expect(of("mx")).toEqual({ service: "mx", module: "smtp", target: "mx.mail.example.com:25" });
        expect(of("smtp")).toEqual({ service: "smtp", module: "smtps", target: "smtp.mail.example.com:465" });
        expect(of("imap")).toEqual({ service: "imap", module: "imaps", target: "imap.mail.example.com:993" });
        expect(of("pop3")).toEqual({ service: "pop3", module: "pop3s", target: "pop3.mail.example.com:995" });
        expect(of("api")).toEqual({ service: "api", module: "https", target: "https://api.mail.example.com/v1/test" });
        expect(of("web")!.target).toBe("https://mail.example.com/");
        expect(of("router")!.target).toBe("http://mail.example.com/");
    });

    test("certificates are checked, by a private authority where there is one", () => {
        const modules = (privately: boolean) => (parse(blackboxConfig({ profile: "full" }, privately)) as { modules: object }).modules;
        const trusting = (privately: boolean) =>
            Object.entries(modules(privately)).filter(([, module]) => JSON.stringify(module).includes('"ca_file":"/etc/metrics/authority.pem"'));
        expect(trusting(true).map(([name]) => name)).toEqual(["https", "smtp", "smtps", "imaps", "pop3s"]);
        expect(trusting(false)).toEqual([]);
        const careless = Object.entries(modules(true)).filter(([, module]) => JSON.stringify(module).includes("insecure_skip_verify"));
        expect(careless.map(([name]) => name)).toEqual(["tls"]); // of no public name
    });

    test.each([true, false])("blackbox exporter takes its configuration (a private authority: %s)", (privately) => {
        const file = write("blackbox.yml", blackboxConfig({ profile: "full" }, privately));
        execFileSync(path.join(programs, "prometheus-blackbox-exporter"), ["--config.check", `--config.file=${file}`], { stdio: "pipe" });
    });
});

describe("Prometheus", () => {
    test.each([undefined, "http://192.0.2.9:9093", "https://alerts.example.com", "https://[2001:db8::9]:9093"])(
        "takes its configuration, with the alerts that it names (Alertmanager: %s)",
        (alertmanager) => {
            write("alerts.yml", alertRules(settings(BACKUPS)));
            const text = prometheusConfig(settings(), { ...METRICS, alertmanager });
            const { status, said } = promtool("check", "config", write("prometheus.yml", text));
            expect(status, said).toBe(0);
            expect(said).toContain("1 rule files found");
            const { alerting } = parse(text) as { alerting?: object };
            const wanted =
                { "https://alerts.example.com": "alerts.example.com:443" }[alertmanager ?? ""] ?? alertmanager?.replace(/^https?:\/\//, "");
            expect(JSON.stringify(alerting ?? null)).toContain(JSON.stringify(wanted ?? null));
        },
    );

    test("asks blackbox exporter for each target, and every program but that one for itself", () => {
        const { scrape_configs: jobs } = parse(prometheusConfig(settings(), METRICS)) as {
            scrape_configs: { static_configs: { targets: string[] }[] }[];
        };
        const [probes, ...rest] = jobs;
        expect(probes.static_configs).toHaveLength(SERVICE_NAMES.length);
        expect(rest.flatMap((job) => job.static_configs[0].targets).sort()).toEqual(
            METRICS_NAMES.filter((name) => name !== "blackbox_exporter")
                .map((name) => `${name}:${PROGRAMS[name].port}`)
                .sort(),
        );
    });

    test("there are alerts of backups only where there are backups", () => {
        expect(alertRules(settings())).not.toContain("forwardemail_backup");
        expect(alertRules(settings(BACKUPS))).toContain("/ 3600 > 12");
    });
});

/** What promtool's own test of rules is given: series, and the alerts that fire at a time. */
const firing = (time: string, alertname: string, services: Record<string, string>[]) => ({
    eval_time: time,
    alertname,
    exp_alerts: services.map((labels) => ({ exp_labels: labels })),
});

test("alerts fire when they should, and not before", () => {
    const probe = (service: string, values: string) => ({ series: `probe_success{service="${service}"}`, values });
    const disk = (mountpoint: string, free: number) => [
        { series: `node_filesystem_avail_bytes{mountpoint="${mountpoint}"}`, values: `${free}x100` },
        { series: `node_filesystem_size_bytes{mountpoint="${mountpoint}"}`, values: "100x100" },
    ];
    const names = [...alertRules(settings(BACKUPS)).matchAll(/alert: (\w+)/g)].map(([, name]) => name);
    const input_series = [
        probe("web", "1x100"),
        probe("imap", "1x10 0x90"),
        probe("bree", "0 0 0 1 0 0 0 1 0 0 0 1 0 0 0 1 0 0 0 1 0 0 0 1"), // crashes again and again
        { series: 'probe_ssl_earliest_cert_expiry{service="web"}', values: `${20 * 86400}x100` },
        { series: 'probe_ssl_earliest_cert_expiry{service="mx"}', values: `${10 * 86400}x100` },
        { series: "forwardemail_backup_last_success_timestamp_seconds", values: "-43200x100" }, // 12 h before all this
        { series: "forwardemail_backup_exit_status", values: "1x100" },
        ...disk("/etc/metrics", 16),
        ...disk("/etc/hosts", 14),
        { series: "node_memory_MemAvailable_bytes", values: "9x100" },
        { series: "node_memory_MemTotal_bytes", values: "100x100" },
        { series: "redis_up", values: "0x100" },
        { series: "redis_memory_used_bytes", values: "86x100" },
        { series: "redis_memory_max_bytes", values: "100x100" },
        { series: 'up{job="node"}', values: "0x100" },
    ];
    const at = (time: string, fired: Record<string, Record<string, string>[]>) => names.map((name) => firing(time, name, fired[name] ?? []));
    const critical = { severity: "critical" };
    const late = {
        ServiceDown: [{ ...critical, service: "imap" }],
        CertificateExpires: [{ ...critical, service: "mx" }],
        BackupOverdue: [critical],
        BackupFailed: [{ severity: "warning" }],
        DockerDiskFull: [{ ...critical, mountpoint: "/etc/hosts" }],
        MemoryLow: [{ severity: "warning" }],
        RedisDown: [critical],
        RedisFull: [critical],
        MetricsDown: [{ severity: "warning", job: "node" }],
    };
    write("alerts.yml", withoutTexts(alertRules(settings(BACKUPS))));
    const down = (time: string, ...services: string[]) =>
        firing(
            time,
            "ServiceDown",
            services.map((service) => ({ ...critical, service })),
        );
    const tests = [
        { interval: "1m", input_series, alert_rule_test: [...at("1m", {}), down("9m", "bree"), down("16m", "bree", "imap"), ...at("70m", late)] },
        { interval: "1m", input_series: [], alert_rule_test: [...at("11h", {}), ...at("13h", { BackupUnknown: [critical] })] },
    ];
    const { status, said } = promtool("test", "rules", write("test.yml", stringify({ rule_files: ["alerts.yml"], tests }, { lineWidth: 0 })));
    expect(said).toContain("SUCCESS");
    expect(status).toBe(0);
});

/** promtool compares annotations, too; what they say is for a reader. */
function withoutTexts(rules: string): string {
    const file = parse(rules) as { groups: { rules: { annotations?: object }[] }[] };
    for (const rule of file.groups.flatMap((group) => group.rules)) delete rule.annotations;
    return stringify(file, { lineWidth: 0 });
}

describe("the dashboard", () => {
    const dashboard = JSON.parse(readFileSync(path.join(PROJECT, "docs/metrics-dashboard.json"), "utf8")) as { panels: { id: number }[] };

    test("asks what Prometheus understands", () => {
        const rules = expressions(dashboard).map((expr, at) => ({ record: `panel:${at}`, expr }));
        expect(rules.length).toBeGreaterThan(15);
        const { status, said } = promtool("check", "rules", write("rules.yml", stringify({ groups: [{ name: "dashboard", rules }] })));
        expect(status, said).toBe(0);
        expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
    });

    test("shows what the alerts look at", () => {
        const shown = new Set(expressions(dashboard).flatMap(namesIn));
        const watched = new Set(expressions(parse(alertRules(settings(BACKUPS)))).flatMap(namesIn));
        // Whether the programs themselves are up, and whether a run failed, is in its panel of alerts.
        const left = ["up", "redis_up", "forwardemail_backup_exit_status"];
        expect([...watched].filter((name) => !shown.has(name) && !left.includes(name))).toEqual([]);
    });
});

test("names of metrics are told from everything else", () => {
    expect(namesIn('sum by (job) (rate(a_total{x="y z"}[5m])) / (b > 0) or time() - c')).toEqual(["a_total", "b", "c"]);
});
