import { stringify } from "yaml";
import { Settings } from "../settings/settings";
import { METRICS_DIRECTORY } from "./programs";

interface Alert {
    name: string;
    /** PromQL; each series that it answers is an alert. */
    expr: string;
    /** How long before somebody is told. */
    for: string;
    /** `critical`: mail is not served, or will be lost. `warning`: it will not be served, if nobody looks. */
    severity: "critical" | "warning";
    summary: string;
    /** What to do. */
    fix: string;
}

/** Where node exporter sees the disk of the data and Docker's own: by what is mounted into its container. */
export const DISKS = { data: METRICS_DIRECTORY, docker: "/etc/hosts" };

/** Ready-made alerts, as Prometheus' rules. */
export function alertRules(settings: Pick<Settings, "name" | "backups">): string {
    const rules = alerts(settings).map(({ name, expr, for: time, severity, summary, fix }) => ({
        alert: name,
        expr,
        for: time,
        labels: { severity },
        annotations: { summary, fix },
    }));
    return stringify({ groups: [{ name: settings.name, rules }] }, { lineWidth: 0 });
}

function alerts({ name, backups }: Pick<Settings, "name" | "backups">): Alert[] {
    return [...SERVICES, ...(backups ? backupAlerts(name, backups.rpoHours) : []), ...Object.entries(DISKS).map(diskAlert), ...REST];
}

const SERVICES: Alert[] = [
    {
        name: "ServiceDown",
        expr: "avg_over_time(probe_success[5m]) < 0.5", // one that crashes again and again is down, too
        for: "2m",
        severity: "critical",
        summary: "{{ $labels.service }} is down, or mostly",
        fix: "npm run status, then npm run logs -- {{ $labels.service }}; npm run up replaces what is sick",
    },
    {
        name: "CertificateExpires",
        expr: "(probe_ssl_earliest_cert_expiry - time()) / 86400 < 14",
        for: "1h",
        severity: "critical",
        summary: '{{ $labels.service }} shows a certificate that is good for {{ printf "%.0f" $value }} days more',
        fix: "see why it is not renewed: docs/dns.md",
    },
];

function backupAlerts(stack: string, rpoHours: number): Alert[] {
    const fix = `npm run backup, and journalctl -u ${stack}-backup on the server`;
    return [
        {
            name: "BackupOverdue",
            expr: `(time() - forwardemail_backup_last_success_timestamp_seconds) / 3600 > ${rpoHours}`,
            for: "15m",
            severity: "critical",
            summary: `The newest complete set of backups is older than ${rpoHours} hours`,
            fix,
        },
        {
            name: "BackupUnknown",
            expr: "absent(forwardemail_backup_last_success_timestamp_seconds)",
            for: `${rpoHours}h`,
            severity: "critical",
            summary: `No run of the backup has told its end for ${rpoHours} hours`,
            fix,
        },
        {
            name: "BackupFailed",
            expr: "forwardemail_backup_exit_status != 0",
            for: "5m",
            severity: "warning",
            summary: "The last run of the backup failed",
            fix,
        },
    ];
}

const diskAlert = ([disk, mountpoint]: [string, string]): Alert => ({
    name: disk === "data" ? "DataDiskFull" : "DockerDiskFull",
    expr: `node_filesystem_avail_bytes{mountpoint="${mountpoint}"} / node_filesystem_size_bytes < 0.15`,
    for: "15m",
    severity: "critical",
    summary: `{{ $value | humanizePercentage }} of the disk with ${disk === "data" ? "mail and databases" : "Docker's images and logs"} is free`,
    fix: "free some, or give it a larger disk: docs/servers.md",
});

const REST: Alert[] = [
    {
        name: "MemoryLow",
        expr: "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes < 0.1",
        for: "15m",
        severity: "warning",
        summary: "{{ $value | humanizePercentage }} of the server's memory is available",
        fix: "a larger server, or lower limits: services.NAME.memory",
    },
    {
        name: "RedisDown",
        expr: "redis_up == 0",
        for: "5m",
        severity: "critical",
        summary: "Redis answers nobody who has its password",
        fix: "npm run logs -- redis, then npm run up",
    },
    {
        name: "RedisFull",
        expr: "redis_memory_used_bytes / (redis_memory_max_bytes > 0) > 0.85", // it drops no keys: past its limit, writes fail
        for: "10m",
        severity: "critical",
        summary: "Redis has used {{ $value | humanizePercentage }} of its memory; when it is full, no mail is taken",
        fix: "raise services.redis.memory",
    },
    {
        name: "MetricsDown",
        expr: "up == 0",
        for: "5m",
        severity: "warning",
        summary: "Prometheus cannot read {{ $labels.job }} at {{ $labels.instance }}",
        fix: "npm run up replaces what is sick",
    },
];
