/**
 * Shell functions about the logical volume (LVM) that a folder is on, and room for a snapshot of it: what backups need for one, and what
 * the preflight says of it.
 */
export const LOGICAL_VOLUME = `of_volume() { lvs --noheadings --units b --nosuffix -o "$1" "$2" 2>/dev/null | tr -d ' '; }
# VG/LV; nothing where there is none, or a snapshot of its file system cannot be mounted beside it.
volume_of() {
    command -v lvcreate >/dev/null || return 0
    case $(findmnt -n -f -o FSTYPE -T "$1") in
        ext4 | xfs) of_volume lv_full_name "$(findmnt -n -f -v -o SOURCE -T "$1")" ;;
    esac
}
# Bytes that a snapshot takes while so many are copied to the same volume: as many, and what the services write meanwhile.
snapshot_bytes() { echo $(($1 + $1 / 4 + 536870912)); }
# Where the snapshots of a volume go, and how many bytes are free there: the pool of a thin one, else the volume group.
keeper_of() { pool=$(of_volume pool_lv "$1"); echo "\${1%/*}\${pool:+/$pool}"; }
free_for_snapshots() {
    case $(keeper_of "$1") in
        */*) of_volume lv_size "$(keeper_of "$1")" | awk -v percent="$(of_volume data_percent "$(keeper_of "$1")")" '{ printf "%.0f", $1 * (100 - percent) / 100 }' ;;
        *) of_volume vg_free "$1" ;;
    esac
}`;
