import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { Answer, Found, Host, Job, Scheduler, nightOf } from "./job";

/** A timer of systemd, of the machine for root, of the user otherwise. */
export function systemd(host: Host): Scheduler {
    const isRoot = host.user === 0;
    const systemctl = (...words: string[]) => host.run("systemctl", [...(isRoot ? [] : ["--user"]), ...words]);
    const must = (...words: string[]) => succeed(systemctl(...words), words);
    const fileOf = (unit: string) => path.join(host.units, unit);
    const read = (unit: string) => (existsSync(fileOf(unit)) ? readFileSync(fileOf(unit), "utf8") : undefined);
    const units = (name: string) => [`${name}.service`, `${name}.timer`];
    /** Its last time goes with it: a timer that begins anew must not make up for a night of before. The service, if it runs, ends by itself. */
    const stop = (name: string) => {
        systemctl("disable", "--now", `${name}.timer`);
        systemctl("clean", "--what=state", `${name}.timer`);
    };
    return {
        kind: isRoot ? "timer of systemd" : "timer of this user's systemd",
        install(job) {
            const wanted = Object.entries(unitsOf(job, isRoot));
            const isThere = wanted.every(([unit, text]) => read(unit) === text);
            const timer = `${job.name}.timer`;
            if (isThere && ["is-enabled", "is-active"].every((state) => systemctl(state, "--quiet", timer).status === 0)) return false;
            must("daemon-reload"); // before anything is written: it says whether systemd is to be had
            stop(job.name);
            mkdirSync(host.units, { recursive: true });
            for (const [unit, text] of wanted) writeFileSync(fileOf(unit), text);
            must("daemon-reload");
            must("enable", "--now", timer);
            return true;
        },
        remove(name) {
            if (units(name).every((unit) => read(unit) === undefined)) return false;
            must("daemon-reload");
            stop(name);
            for (const unit of units(name)) rmSync(fileOf(unit), { force: true });
            must("daemon-reload");
            systemctl("reset-failed", `${name}.service`); // fails where it did not
            return true;
        },
        find(name) {
            const [service, timer] = units(name).map(read);
            if (service === undefined || timer === undefined) return undefined;
            const show = (unit: string, property: string) => systemctl("show", "--value", `--property=${property}`, unit).stdout.trim();
            const isActive = systemctl("is-active", "--quiet", `${name}.timer`).status === 0;
            const result = show(`${name}.service`, "Result");
            return {
                ...found(service, timer),
                next: isActive ? show(`${name}.timer`, "NextElapseUSecRealtime") || "unknown" : "never: the timer is stopped",
                ...(["", "success"].includes(result) ? {} : { trouble: result }),
                log: `journalctl ${isRoot ? "-u" : "--user -u"} ${name}`,
            };
        },
        hints() {
            if (isRoot) return [];
            const lingers = host.run("loginctl", ["show-user", `${host.user}`, "--property=Linger", "--value"]).stdout.trim() === "yes";
            return lingers ? [] : ["It runs only while you are logged in. Fix: sudo loginctl enable-linger $USER"];
        },
    };
}

/** Files of the units, by their names. */
export function unitsOf(job: Job, isRoot: boolean): Record<string, string> {
    const { name, at, timeZone, environment, checkout, user, path } = job;
    const heading = "# Written by: npm run schedule -- install. Taken away by: npm run schedule -- remove";
    // The manager of a user knows neither the network nor other users.
    const network = isRoot ? "Wants=network-online.target\nAfter=network-online.target docker.service\n" : "";
    return {
        [`${name}.service`]: `${heading}
[Unit]
Description=Nightly run of ${name}
${network}
[Service]
Type=oneshot
${isRoot ? `User=${user}\n` : ""}WorkingDirectory=${checkout}
Environment="PATH=${path}"
${environment ? `EnvironmentFile=${environment}\n` : ""}ExecStart=/bin/sh operate/run.sh ${nightOf(job).join(" ")}
# An update that hangs must not keep the next night from going on with it.
TimeoutStartSec=3h
TimeoutStopSec=5min
`,
        [`${name}.timer`]: `${heading}
[Unit]
Description=Every night at ${at}${timeZone ? ` ${timeZone}` : ""}: ${name}

[Timer]
OnCalendar=*-*-* ${at}:00${timeZone ? ` ${timeZone}` : ""}
# Not every server of the world asks the registries at one moment.
RandomizedDelaySec=10min
# A night that was missed is made up for.
Persistent=true

[Install]
WantedBy=timers.target
`,
    };
}

function found(service: string, timer: string): Pick<Found, "checkout" | "when"> {
    const [, at, zone] = /^OnCalendar=\*-\*-\* (\d\d:\d\d):00 ?(.*)$/m.exec(timer) ?? [];
    return { checkout: /^WorkingDirectory=(.*)$/m.exec(service)?.[1] ?? "?", when: `every night at ${at ?? "?"}${zone ? ` ${zone}` : ""}` };
}

function succeed({ status, stderr }: Answer, words: string[]): void {
    if (status === 0) return;
    const noBus = /bus|XDG_RUNTIME_DIR/.test(stderr);
    throw new Error(
        `systemctl ${words.join(" ")} failed: ${stderr.trim() || "it is not there"}. Fix: ${noBus ? "log in as this user by ssh or at the console, not by su; or run this as root, for a timer of the machine" : "mend that, and run this again"}.`,
    );
}
