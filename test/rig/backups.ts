import { readFileSync } from "node:fs";
import * as path from "node:path";

import { SCRIPT } from "../../components/backups/backups";
import type { Vm } from "./vm";

/** The backup script in a virtual machine, on stores in a folder that services write to all the time. */
export interface BackupRig {
    /** Runs the script, with more folders before PATH, and answers what it said. */
    run(path?: string): Promise<string>;
    /** What the last run has left in its status. */
    status(): Promise<{ exitStatus: number; mode: string; pauseMs: number; set: string; error: string }>;
    /** The newest row of each of the two databases in a set. They are written in turn, so at one moment they differ by one at most. */
    rows(set: string): Promise<[number, number]>;
    /** The newest row now. */
    now(): Promise<number>;
}

const heredoc = (file: string, text: string, mode = "644") => `install -D -m ${mode} /dev/stdin ${file} <<'END-OF-FILE'\n${text}\nEND-OF-FILE\n`;

/** Values of backup.conf, which the stand-in for docker does not care for. */
const values = (place: string) => ({
    STACK: "mail",
    HOST: "example.com",
    MONGODB: `${place}/mongodb`,
    REDIS: `${place}/redis`,
    MAILBOXES: `${place}/mailboxes`,
    ALERT_AFTER: "86400",
    FREEZE_SECONDS: "120",
    BUCKET_LOOKUP: "path",
    ...Object.fromEntries(["FORWARDEMAIL", "MONGODB", "REDIS"].flatMap((name) => [`${name}_IMAGE`, `${name}_TAG`]).map((name) => [name, "x"])),
    ...Object.fromEntries(["ENDPOINT", "BUCKET", "REPOSITORY", "RESTIC", "OPTIONS", "LIMITS", "KEEP", "WRITERS"].map((name) => [name, "x"])),
});

const SERVICES = `
start() { # a service, and what it does
    mkdir -p "/sys/fs/cgroup/rig/$1"
    setsid bash -c 'echo $$ >"/sys/fs/cgroup/rig/$1/cgroup.procs"; eval "$2"' bash "$1" "$2" >/rig/$1.log 2>&1 </dev/null &
}
# Waits without a process: that would cost more here than all else.
count() { exec 7<> <(:); n=0; while n=$((n + 1)); do echo "insert into a.t values ($n); insert into b.t values ($n);"; read -rt 0.1 <&7; done; }
export -f count
for service in mongodb redis router; do start $service 'sleep infinity'; done`;

/** Puts \`mebibytes\` of mail and the two databases into a folder, and starts what writes to them. */
export async function startBackupRig(vm: Vm, place: string, mebibytes: number): Promise<BackupRig> {
    const conf = Object.entries(values(place)).map(([key, value]) => `${key}='${value}'`);
    const databases = `attach '${place}/mailboxes/a.sqlite' as a; attach '${place}/mongodb/b.sqlite' as b;`;
    await vm.run(`[ ! -d /sys/fs/cgroup/rig ] || for group in /sys/fs/cgroup/rig/*/; do
    echo 1 >$group/cgroup.kill; until rmdir $group 2>/dev/null; do sleep 0.1; done
done
mkdir -p /rig/sets ${place}/mongodb ${place}/redis ${place}/mailboxes
echo 'deployment mail' | tee ${place}/mongodb/.forwardemail ${place}/redis/.forwardemail >${place}/mailboxes/.forwardemail
for n in $(seq ${mebibytes}); do head -c 1M /dev/urandom >${place}/mailboxes/$n.mail; done
${heredoc("/usr/local/bin/docker", readFileSync(path.join(__dirname, "vm/docker"), "utf8"), "755")}
${heredoc(`${place}/backup/backup`, SCRIPT)}
${heredoc(`${place}/backup/backup.conf`, conf.join("\n"))}
touch ${place}/backup/docker.conf ${place}/backup/repository.env
echo '{}' >${place}/backup/secrets.json
for file in ${place}/mailboxes/a ${place}/mongodb/b; do sqlite3 $file.sqlite 'pragma journal_mode = wal; create table t (n integer primary key)'; done
${SERVICES}
start web "count | sqlite3 -cmd \\"${databases}\\""
`);
    const newest = (file: string) => vm.run(`sqlite3 -readonly ${file} 'select max(n) from t'`).then(Number);
    const rig: BackupRig = {
        run: (before = "/usr/local/bin") => vm.run(`PATH=${before}:$PATH sh ${place}/backup/backup run`),
        status: async () => JSON.parse(await vm.run(`cat ${place}/backup/status.json`)) as Awaited<ReturnType<BackupRig["status"]>>,
        async rows(set) {
            const files = ["a", "b"].map((name) => `/rig/sets/${set}/${name}.sqlite`);
            for (const file of files) await vm.run(`[ "$(sqlite3 ${file} 'pragma integrity_check')" = ok ]`);
            return [await newest(files[0]), await newest(files[1])];
        },
        now: () => newest(`${place}/mailboxes/a.sqlite`),
    };
    return rig;
}
