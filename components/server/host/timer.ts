/** A program that systemd starts by the clock. */
export interface Timed {
    /** Name of the service and of its timer. */
    unit: string;
    description: string;
    /** Command line. */
    run: string;
    /** More lines of the service. */
    service: string[];
    timer: { description: string; /** OnCalendar and RandomizedDelaySec, `systemd.timer(5)`. */ when: [string, string] };
    /** Whether the shell fills variables in. @default false */
    expand?: boolean;
}

/** Shell lines that write a service and its timer; `systemctl daemon-reload` and `enable` are left to the caller. A time that was missed is made up for. */
export function writeTimed({ unit, description, run, service, timer, expand = false }: Timed): string {
    const end = expand ? "END" : "'END'";
    const [calendar, delay] = timer.when;
    return `cat >/etc/systemd/system/${unit}.service <<${end}
[Unit]
Description=${description}
Wants=network-online.target
After=network-online.target docker.service
[Service]
Type=oneshot
ExecStart=${run}
${service.join("\n")}
END
cat >/etc/systemd/system/${unit}.timer <<${end}
[Unit]
Description=${timer.description}
[Timer]
OnCalendar=${calendar}
RandomizedDelaySec=${delay}
Persistent=true
[Install]
WantedBy=timers.target
END`;
}

/** Shell lines that stop and remove services and their timers. */
export function removeTimed(...units: string[]): string {
    const all = (kinds: string[]) => units.flatMap((unit) => kinds.map((kind) => `${unit}.${kind}`));
    const files = all(["service", "timer"]).map((file) => `/etc/systemd/system/${file}`);
    return `systemctl disable -q --now ${all(["timer"]).join(" ")} 2>/dev/null || true
systemctl stop ${all(["service"]).join(" ")} 2>/dev/null || true
rm -f ${files.join(" ")}
systemctl daemon-reload`;
}
