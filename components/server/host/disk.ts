import { APT } from "./apt";

/** File systems that a disk may hold: they are used as they are, and grown. */
export const FILE_SYSTEMS = ["xfs", "ext4"];

/**
 * A disk of its own for the data directory: waits for it, makes a file system on a blank one, mounts it, and makes Docker wait for the
 * mount at boot. A file system that is there is used as it is and grown to its disk. Nothing takes this back: the data stays in reach.
 * Reads DEVICE and DIRECTORY. (Another SIZE is a reason to run again.) Runs as root, twice or a hundred times.
 */
export const DISK = `set -eu
${APT}
stop() { echo "$1 Fix: $2" >&2; exit 1; }
tries=0
until [ -b "$DEVICE" ]; do
    tries=$((tries + 1))
    [ $tries -le 60 ] || stop "There is no disk $DEVICE." "attach it to the server, and see ls -l /dev/disk/by-id"
    sleep 1
done
disk=$(readlink -f "$DEVICE")
command -v mkfs.xfs >/dev/null 2>&1 || { apt_update; install_packages xfsprogs; }

if ! mountpoint -q "$DIRECTORY"; then
    # wipefs names every signature: file systems, partition tables, RAID, LVM, encryption.
    found=$(wipefs --noheadings --output TYPE "$disk")
    case $found in
        "") mkfs.xfs -q "$disk"; echo "made an XFS file system on $DEVICE" ;;
        ${FILE_SYSTEMS.join(" | ")}) ;;
        *) stop "The disk $DEVICE holds something else: $(echo "$found" | tr '\\n' ' ')." "see lsblk -f; empty it (wipefs -a) if nobody needs it, or name another disk in data.device" ;;
    esac
    if [ -d "$DIRECTORY" ] && [ -n "$(ls -A "$DIRECTORY")" ]; then
        stop "$DIRECTORY holds files, which the disk would hide." "stop the stack (npm run down), move them away, and onto the disk once it is mounted"
    fi
    mkdir -p "$DIRECTORY"
elif [ "$(readlink -f "$(findmnt -n -o SOURCE "$DIRECTORY")")" != "$disk" ]; then
    stop "$DIRECTORY is another file system: $(findmnt -n -o SOURCE "$DIRECTORY")." "remove data.device, or unmount that one"
fi

unit=$(systemd-escape --path --suffix=mount "$DIRECTORY")
cat >"/etc/systemd/system/$unit.new" <<END
[Unit]
Description=Data of Forward Email

[Mount]
What=$DEVICE
Where=$DIRECTORY
Options=noatime,nodev,nosuid

[Install]
WantedBy=multi-user.target
END
mv "/etc/systemd/system/$unit.new" "/etc/systemd/system/$unit"
# Without its disk Docker would start the databases on an empty folder.
mkdir -p /etc/systemd/system/docker.service.d
printf '[Unit]\\nRequiresMountsFor=%s\\n' "$DIRECTORY" >/etc/systemd/system/docker.service.d/forwardemail-data.conf
systemctl daemon-reload
systemctl enable -q --now "$unit"
case $(findmnt -n -o FSTYPE "$DIRECTORY") in
    xfs) xfs_growfs "$DIRECTORY" >/dev/null ;;
    ext4) resize2fs "$disk" >/dev/null ;; # it says on the error output what it did
esac`;
