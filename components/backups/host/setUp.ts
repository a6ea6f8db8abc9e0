import { APT } from "../../server/host/apt";
import { FOLDER_OF } from "../../services/files";

const UNIT = "forwardemail-backup";
const DRILL_UNIT = "forwardemail-drill";

/** Shell line: \`here\` is the folder of the place BACKUP. */
const HERE = `${FOLDER_OF}
# shellcheck disable=SC2153
here=$(folder_of "$BACKUP")`;

/**
 * Opens the repository, or makes it in an empty bucket: wrong keys, region, bucket, passphrase or clock are found here, before there is
 * anything to back up. Installs what the script needs where the program sets up the host. Reads BACKUP and PACKAGES.
 */
export const OPEN = `set -eu
${APT}
if [ "\${PACKAGES:-}" = install ]; then
    missing=
    for program in curl jq rsync flock; do command -v $program >/dev/null || missing="$missing $program"; done
    if [ -n "$missing" ]; then
        apt_update
        install_packages curl jq rsync util-linux
    fi
fi
${HERE}
printf 'DOCKER_HOST=%s\\nexport DOCKER_HOST\\n' "$DOCKER_HOST" >"$here/docker.conf"
sh "$here/backup" open </dev/null`;

/** Puts the timers on the host. Reads BACKUP, HOURS (between two sets), JITTER (seconds) and DRILL (never, weekly or monthly). */
export const SCHEDULE = `set -eu
${HERE}
cat >/etc/systemd/system/${UNIT}.service <<END
[Unit]
Description=Back up the mail server
Wants=network-online.target
After=network-online.target docker.service
[Service]
Type=oneshot
ExecStart=/bin/sh $here/backup run
# Also when it was killed: the services must not stay paused.
ExecStopPost=/bin/sh $here/backup thaw
TimeoutStartSec=12h
Nice=10
IOSchedulingClass=idle
END
cat >/etc/systemd/system/${UNIT}.timer <<END
[Unit]
Description=A set of backups every $HOURS hours
[Timer]
OnCalendar=*-*-* 00/$HOURS:00:00
RandomizedDelaySec=$JITTER
Persistent=true
[Install]
WantedBy=timers.target
END
cat >/etc/systemd/system/${DRILL_UNIT}.service <<END
[Unit]
Description=Restore the newest backup into a scratch place
Wants=network-online.target
After=network-online.target docker.service
[Service]
Type=oneshot
ExecStart=/bin/sh $here/backup drill
TimeoutStartSec=12h
Nice=10
IOSchedulingClass=idle
END
cat >/etc/systemd/system/${DRILL_UNIT}.timer <<END
[Unit]
Description=Restore drill, $DRILL
[Timer]
OnCalendar=$DRILL
RandomizedDelaySec=12h
Persistent=true
[Install]
WantedBy=timers.target
END
systemctl daemon-reload
systemctl enable -q --now ${UNIT}.timer
if [ "$DRILL" = never ]; then systemctl disable -q --now ${DRILL_UNIT}.timer 2>/dev/null || true
else systemctl enable -q --now ${DRILL_UNIT}.timer; fi`;

export const UNDO_SCHEDULE = `systemctl disable -q --now ${UNIT}.timer ${DRILL_UNIT}.timer 2>/dev/null || true
systemctl stop ${UNIT}.service ${DRILL_UNIT}.service 2>/dev/null || true
rm -f /etc/systemd/system/${UNIT}.service /etc/systemd/system/${UNIT}.timer /etc/systemd/system/${DRILL_UNIT}.service /etc/systemd/system/${DRILL_UNIT}.timer
systemctl daemon-reload`;

/** Brings an empty deployment its data, and prints its secrets. Reads BACKUP and SET. */
export const RESTORE_AT_START = `set -eu
${HERE}
sh "$here/backup" restore "$SET"`;
