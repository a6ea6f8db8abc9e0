import { APT, needPrograms } from "../../server/host/apt";
import { removeTimed, writeTimed } from "../../server/host/timer";
import { FOLDER_OF } from "../../services/files";

// Several stacks can share one host: each has units of its own name.
const UNIT = '"$STACK"-backup';
const DRILL_UNIT = '"$STACK"-drill';
/** What they were called before, whichever stack they were of. */
const OLD_UNITS = ["forwardemail-backup", "forwardemail-drill"];

/** Shell line: \`here\` is the folder of the place BACKUP. */
const HERE = `${FOLDER_OF}
# shellcheck disable=SC2153
here=$(folder_of "$BACKUP")`;

/**
 * Opens the repository, or makes it in an empty bucket: wrong keys, region, bucket, passphrase or clock are found here, before there is
 * anything to back up. Installs what the script needs where the program sets up the host. Reads BACKUP, PACKAGES, BEGINS
 * (`restore` where data are to come from a set) and REPOSITORY, which it prints.
 */
export const OPEN = `set -eu
PREVIOUS=\${PULUMI_COMMAND_STDOUT:-}
export PREVIOUS
${APT}
if [ "\${PACKAGES:-}" = install ]; then
${needPrograms("curl jq rsync flock", "curl jq rsync util-linux")}
fi
${HERE}
printf 'DOCKER_HOST=%s\\nexport DOCKER_HOST\\n' "$DOCKER_HOST" >"$here/docker.conf"
BEGINS=\${BEGINS:-} sh "$here/backup" open </dev/null
printf %s "$REPOSITORY"`;

const IN_BACKGROUND = ["TimeoutStartSec=12h", "Nice=10", "IOSchedulingClass=idle"];

/** Puts the timers on the host. Reads STACK, BACKUP, HOURS (between two sets), WHEN (the same for systemd), JITTER (seconds) and DRILL (never, weekly or monthly). */
export const SCHEDULE = `set -eu
${HERE}
if grep -qsxF "ExecStart=/bin/sh $here/backup run" /etc/systemd/system/${OLD_UNITS[0]}.service; then
${removeTimed(...OLD_UNITS)}
fi
${writeTimed({
    unit: UNIT,
    description: "Back up the mail server",
    run: "/bin/sh $here/backup run",
    service: ["# Also when it was killed: the services must not stay held.", "ExecStopPost=/bin/sh $here/backup thaw", ...IN_BACKGROUND],
    timer: { description: "A set of backups every $HOURS hours", when: ["$WHEN", "$JITTER"] },
    expand: true,
})}
${writeTimed({
    unit: DRILL_UNIT,
    description: "Restore the newest backup into a scratch place",
    run: "/bin/sh $here/backup drill",
    service: IN_BACKGROUND,
    timer: { description: "Restore drill, $DRILL", when: ["$DRILL", "12h"] },
    expand: true,
})}
systemctl daemon-reload
systemctl enable -q --now ${UNIT}.timer
if [ "$DRILL" = never ]; then systemctl disable -q --now ${DRILL_UNIT}.timer 2>/dev/null || true
else systemctl enable -q --now ${DRILL_UNIT}.timer; fi`;

/** Reads STACK. */
export const UNDO_SCHEDULE = removeTimed(UNIT, DRILL_UNIT);

/** Brings an empty deployment its data, and prints its secrets. Reads BACKUP and SET. */
export const RESTORE_AT_START = `set -eu
${HERE}
sh "$here/backup" restore "$SET"`;
