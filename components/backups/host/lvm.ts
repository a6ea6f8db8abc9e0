import { LOGICAL_VOLUME } from "../../server/host/logicalVolume";

/**
 * Shell functions of `backup run` for stores that cannot be cloned and lie on a logical volume of LVM: the moment is that of a snapshot of
 * the volume, and the stores are copied from it while the services go on. Whatever is in the way of that, the two passes are left.
 */
export const LVM = `
${LOGICAL_VOLUME}

# Sets \`volume\`, and for a snapshot of it \`size\`: a thin one has none, and what gets full is its pool.
can_snapshot() {
    [ "$(stat -c %d "$mongodb" "$redis" "$mailboxes" | sort -u | wc -l)" -eq 1 ] || return 1
    for place in "$mongodb" "$redis" "$mailboxes"; do ! holds_mount "$place" || return 1; done
    volume=$(volume_of "$mongodb")
    [ -n "$volume" ] || return 1
    needed=$(snapshot_bytes "$bytes") keeper=$(keeper_of "$volume") left=$(free_for_snapshots "$volume")
    [ "\${left:=0}" -ge "$needed" ] || { give_up "it needs $((needed / 1048576)) MiB, and $keeper has $((left / 1048576))"; return 1; }
    case $keeper in */*) size='' ;; *) size="--size $((needed / 1024))k" ;; esac
}
give_up() { note "no snapshot of the logical volume $volume: $1. So the stores are copied in two passes"; }
in_a_line() { awk '{ $1 = $1; printf "%s%s", sep, $0; sep = "; " }' "$1"; }
# What is mounted inside of a store is on no snapshot of it.
holds_mount() { findmnt -n -l -o TARGET | awk -v inside="$(readlink -f "$1")/" 'index($0, inside) == 1 { found = 1 } END { exit !found }'; }
# Where a folder is on its file system, of which a folder may be what is mounted.
path_on_volume() {
    path=$(readlink -f "$1") root=$(findmnt -n -f -o FSROOT -T "$1") target=$(findmnt -n -f -o TARGET -T "$1")
    echo "\${root%/}\${path#"\${target%/}"}"
}

# Without 9, the lock: LVM may start its daemon.
take_snapshot() {
    # shellcheck disable=SC2086
    lvcreate --quiet --yes --snapshot $size --setactivationskip n --addtag "$scratch" --name "$scratch" "$volume" >/dev/null 2>"$here/said" 9>&- ||
        trouble="lvcreate says $(in_a_line "$here/said")"
}
# LVM freezes the file system for the snapshot, so it is clean. What is left to do at a mount (files that were deleted while open) is done on
# the snapshot. Only what reads it sees the mount, which ends with it.
read_snapshot() {
    type=$(findmnt -n -f -o FSTYPE -T "$mongodb") how=ro,nodev,nosuid
    [ "$type" != xfs ] || how=$how,nouuid # the volume has the same
    mkdir "$stage/moment"
    # shellcheck disable=SC2016
    unshare --mount sh -euc 'mount -t "$1" -o "$2" "$3" "$4"; cd "$4"; shift 4
        while [ $# -gt 0 ]; do cp -a "./$1" "$2"; shift 2; done' sh "$type" "$how" "/dev/\${volume%/*}/$scratch" "$stage/moment" \\
        "$(path_on_volume "$mongodb")" "$stage/mongodb" "$(path_on_volume "$redis")" "$stage/set/redis" "$(path_on_volume "$mailboxes")" "$stage/set/mailboxes" \\
        2>"$here/said" || trouble="it cannot be read: $(in_a_line "$here/said" | head -c 300)"
    is_intact || trouble="it was full before all was copied"
    [ -n "$trouble" ] || [ "$(cat "$stage/set/mailboxes/.forwardemail-set")" = "$id" ] || trouble="it is not of this moment"
}
# One that has overflowed reads as errors, or worse. State and health are the 5th and 9th letter (lvs(8)).
is_intact() { case $(of_volume lv_attr "\${volume%/*}/$scratch") in ????a???-*) ;; *) return 1 ;; esac; }
# Also that of an earlier run which was killed.
drop_snapshot() {
    command -v lvremove >/dev/null || return 0
    lvs --noheadings -o lv_full_name -S "lv_tags={\\"$scratch\\"} && origin!=\\"\\"" 2>/dev/null | while read -r left; do
        lvremove --quiet --yes "$left" >/dev/null 2>"$here/said" 9>&- || warn "the snapshot $left stays: $(in_a_line "$here/said"). Fix: lvremove $left"
    done
}

# Leaves \`mode\` as it is where nothing came of it.
copy_by_snapshot() {
    trouble=''
    sync -f "$mongodb" # of what is written before, nothing waits at the moment
    at_one_moment take_snapshot
    [ -n "$trouble" ] || read_snapshot
    drop_snapshot
    if [ -z "$trouble" ]; then mode=lvm; return; fi
    give_up "$trouble"
    rm -rf "$stage/mongodb" "$stage/set"
    mkdir "$stage/set"
}
`;
