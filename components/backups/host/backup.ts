/**
 * Shell functions of `backup run`: one set. All stores are copied at one moment, at which nothing in them can change, and the rest of the
 * work is done on the copy. On a file system that clones (XFS, btrfs) that moment is as long as it takes to clone, on a logical volume as a
 * snapshot takes (lvm.ts); elsewhere the stores are copied while they are in use, and what changed meanwhile once more when they are not.
 */
export const RUN = `
# Each part carries the id of the set, so that parts of two sets cannot be taken for one. The write to MongoDB waits for its journal.
mark_parts() {
    database=$(container_of mongodb) cache=$(container_of redis)
    [ "\${database:+x}\${cache:+x}" = xx ] || failed "mongodb or redis does not run. Fix: npm run up"
    docker exec -e "SET=$id" "$database" mongosh --quiet --norc --eval '
        db.getSiblingDB("admin").auth(process.env.MONGODB_USER, process.env.MONGODB_PASSWORD);
        db.getSiblingDB("forwardemail_backup").sets.updateOne({ _id: "newest" }, { $set: { id: process.env.SET } }, { upsert: true, writeConcern: { w: 1, j: true } });' >/dev/null ||
        failed "MongoDB cannot be written to"
    docker exec "$cache" redis-cli SET forwardemail:backup "$id" | grep -qx OK || failed "Redis cannot be written to. Fix: npm run up; it may be full (services.redis.memory)"
    printf '%s\\n' "$id" >"$mailboxes/.forwardemail-set.new"
    mv "$mailboxes/.forwardemail-set.new" "$mailboxes/.forwardemail-set"
}

# --- the cut ------------------------------------------------------------------------------------------------------------------
can_clone() {
    for place in "$mongodb" "$redis" "$mailboxes"; do
        cp --reflink=always "$place/.forwardemail" "$stage/probe" 2>/dev/null || return 1
    done
}
copy_stores() {
    copy_store "$mongodb" "$stage/mongodb"
    copy_store "$redis" "$stage/set/redis"
    copy_store "$mailboxes" "$stage/set/mailboxes"
}
copy_store() {
    if [ $mode = snapshot ]; then cp -a --reflink=always "$1" "$2"; return; fi
    mkdir -p "$2"
    status=0 # --modify-window: a file that changed twice in a second is another one each time
    rsync -a --delete --inplace --modify-window=-1 "$1/" "$2/" || status=$?
    case "$status $frozen" in
        "0 "* | "24 no") ;; # 24: files that went away meanwhile, which is what the second pass is for
        *) failed "$1 cannot be copied: rsync ended with $status" ;;
    esac
}

# Services are held by the kernel's freezer. \`docker pause\` does the same in ten times as long, in ten seconds when it meets a probe of health,
# and calls what it paused unhealthy.
freezers() { # of containers, a file a line
    [ $# -gt 0 ] || return 0
    docker inspect -f '{{.State.Pid}}' "$@" | while read -r pid; do
        group=$(sed -n 's/^0:://p' "/proc/$pid/cgroup" 2>/dev/null || true) # one that restarts has no process
        file=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)$group/cgroup.freeze
        if [ -n "$group" ] && [ -w "$file" ]; then echo "$file"; fi
    done
}
is_held() { grep -qx 'frozen 1' "\${1%freeze}events" 2>/dev/null; }
hold() {
    for file; do echo 1 >"$file"; done
    for file; do
        tries=0
        until is_held "$file"; do
            tries=$((tries + 1))
            [ $tries -le 500 ] || failed "services cannot be held: $file stays as it is"
            sleep 0.01
        done
    done
}
# Whether nobody has let go. A probe of health that comes to a held service is not held at once, and meets nothing that would answer it.
are_held() { for file; do grep -qsx 1 "$file" || return 1; done; }
release() { for file; do echo 0 >"$file"; done; }
# shellcheck disable=SC2046
thaw() { release $(freezers $(docker ps -q --filter "label=forwardemail.stack=$STACK")); }
# Whoever ends this script in between, even by SIGKILL: the services go on after a time.
freeze() {
    tries=0
    until
        writers=$(docker ps -q --filter "label=forwardemail.stack=$STACK" | grep -vxF -e "$database" -e "$cache" -e "$(container_of router)")
        # shellcheck disable=SC2086
        held_writers=$(freezers $writers) held_databases=$(freezers "$database" "$cache")
        # shellcheck disable=SC2086
        [ "$(echo $held_writers $held_databases | wc -w)" -eq $(($(echo $writers | wc -w) + 2)) ]
    do
        tries=$((tries + 1))
        [ $tries -le 10 ] || failed "services cannot be held: one restarts again and again (npm run up names it), or the Docker host has no cgroup v2"
        sleep 1
    done
    # shellcheck disable=SC2086
    setsid sh "$script" thaw-after "$FREEZE_SECONDS" $held_databases $held_writers 9>&- </dev/null >/dev/null 2>&1 &
    watch=$!
    frozen=yes
    began=$(date +%s%N)
    # shellcheck disable=SC2086
    hold $held_writers
    sleep 0.2 # MongoDB writes its journal each 0.1 s (storage.journal.commitIntervalMs); nothing new comes to it
    # shellcheck disable=SC2086
    hold $held_databases
}
# About what a dump takes: MongoDB compresses its files.
dump_bytes() { find "$mongodb" -name '*.wt' -printf '%s\\n' | awk '{ sum += $1 } END { print sum * 5 }'; }
# Runs what it is given while nothing can change.
at_one_moment() {
    freeze
    "$@"
    # shellcheck disable=SC2086
    if are_held $held_writers $held_databases; then whole=yes; else whole=no; fi
    # shellcheck disable=SC2086
    release $held_databases $held_writers
    pause=$((\${pause:-0} + ($(date +%s%N) - began) / 1000000))
    frozen=no
    kill -- "-$watch" 2>/dev/null || true
    [ $whole = yes ] || failed "the services went on after $FREEZE_SECONDS s, before all was copied. Fix: a file system that clones, such as XFS, for data.directory"
}
copy_at_one_moment() {
    frozen=no
    mode=copy
    mkdir -p "$stage/set"
    if can_clone; then
        mode=snapshot
        # A clone waits until the file is on disk.
        sync -f "$mongodb" "$redis" "$mailboxes"
        need_room "$(dump_bytes)" "A backup"
        at_one_moment copy_stores
        return
    fi
    bytes=$(bytes_in "$mongodb" "$redis" "$mailboxes")
    need_room $((bytes + $(dump_bytes))) "A backup on this file system"
    if can_snapshot; then copy_by_snapshot; fi
    if [ $mode = copy ]; then
        copy_stores
        at_one_moment copy_stores
    fi
}

# --- from the copy ------------------------------------------------------------------------------------------------------------
# MongoDB on a folder, without a network, and without the job that deletes what has expired: it would change what is counted.
open_mongodb() {
    docker run -d --name "$scratch-mongodb" --network none --user mongodb --cap-drop ALL --security-opt no-new-privileges --memory 1g \\
        -v "$1:/data/db" -v "$2:/dump" --entrypoint mongod "$MONGODB_IMAGE" --dbpath /data/db --bind_ip 127.0.0.1 --wiredTigerCacheSizeGB 0.25 --setParameter ttlMonitorEnabled=false >/dev/null
    tries=0
    until in_mongodb 'db.runCommand({ ping: 1 }).ok' >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ $tries -gt 120 ] || [ -z "$(docker ps -q --filter "name=^/?$scratch-mongodb")" ]; then
            failed "MongoDB does not start on the copy: $(docker logs --tail 5 "$scratch-mongodb" 2>&1 | tail -c 400)"
        fi
        sleep 0.5
    done
}
in_mongodb() { docker exec "$scratch-mongodb" mongosh --quiet --norc --eval "$1"; }
close_mongodb() { docker stop -t 120 "$scratch-mongodb" >/dev/null; docker rm -v "$scratch-mongodb" >/dev/null; }
# Documents by collection, as JSON.
count_documents() {
    in_mongodb 'const counts = {};
        for (const { name } of db.adminCommand({ listDatabases: 1 }).databases.filter(({ name }) => !["admin", "config", "local"].includes(name)))
            for (const collection of db.getSiblingDB(name).getCollectionNames().filter((collection) => !collection.startsWith("system.")))
                counts[name + "." + collection] = db.getSiblingDB(name).getCollection(collection).countDocuments({});
        print(JSON.stringify(counts));' | grep '^{' | tail -n 1
}
dump_mongodb() {
    docker exec "$scratch-mongodb" mongodump --quiet --out /dump || failed "mongodump failed"
    documents=$(count_documents)
    close_mongodb
    rm -rf "$stage/mongodb"
}
dump() {
    mkdir -m 0777 "$stage/set/mongodb" # for the user of the image; what is above it is closed
    open_mongodb "$stage/mongodb" "$stage/set/mongodb"
    dump_mongodb
    cp "$here/secrets.json" "$stage/set/secrets.json"
    [ -z "$acme" ] || cp -a "$acme" "$stage/set/acme"
    # Shared memory of SQLite: whoever opens a mailbox first makes it anew.
    find "$stage/set/mailboxes" -name '*-shm' -delete
}
mailbox_files() { find "$1" -type f -name '*.sqlite' | wc -l; }
describe() {
    jq -n --arg set "$id" --arg deployment "$STACK" --arg host "$HOST" --arg mode $mode --argjson pauseMs "$pause" --argjson documents "$documents" \\
        --arg architecture "$(uname -m)" --argjson mailboxes "$(mailbox_files "$stage/set/mailboxes")" --argjson bytes "$(bytes_in "$stage/set")" \\
        --arg forwardemail "$FORWARDEMAIL_TAG" --arg mongodbTag "$MONGODB_TAG" --arg redisTag "$REDIS_TAG" \\
        '{format: 1, set: $set, deployment: $deployment, host: $host, architecture: $architecture, mode: $mode, pauseMs: $pauseMs, bytes: $bytes,
          images: {forwardemail: $forwardemail, mongodb: $mongodbTag, redis: $redisTag}, mailboxes: $mailboxes, documents: $documents}' >"$stage/manifest.json"
}

# --- to the bucket ------------------------------------------------------------------------------------------------------------
upload() {
    at=$(date -u '+%Y-%m-%d %H:%M:%S')
    visible="-v $stage/set:/set:ro"
    # A copy has other inodes each time, and the time of what it was copied from.
    ask backup /set --host "$STACK" --tag "set=$id" --time "$at" --ignore-inode --ignore-ctime --quiet --json
    visible=''
    added=$(tail -n 1 "$here/answer" | jq -r .data_added)
    snapshot=$(tail -n 1 "$here/answer" | jq -r .snapshot_id)
    # Only now it is a set.
    jq --arg snapshot "$snapshot" '. + {snapshot: $snapshot}' "$stage/manifest.json" >"$stage/complete.json"
    ask backup --stdin --stdin-filename manifest.json --host "$STACK" --tag "complete=$id" --time "$at" --quiet --json <"$stage/complete.json"
}

# A thirteenth of the data a week: all of it in three months of weeks in which the server runs. $here/checked has the number of the last part.
check_weekly() {
    [ -z "$(find "$here/checked" -mtime -7 2>/dev/null)" ] || return 0
    part=$(cat "$here/checked" 2>/dev/null || true)
    part=$((\${part:-0} % 13 + 1))
    ask check --read-data-subset="$part/13"
    echo "$part" >"$here/checked"
    note "part $part of 13 of what is in the bucket was read, and is whole"
}

# --- what came of it ------------------------------------------------------------------------------------------------------------
last_success() {
    now=$(date +%s)
    success=$(jq -r '.lastSuccess // 0' "$here/status.json" 2>/dev/null) || true
    success=\${success:-0}
}
tell_overdue() { # why there is no newer set
    [ $((now - success)) -gt "$ALERT_AFTER" ] || return 0
    newest='there is no complete set yet'
    [ "$success" -eq 0 ] || newest="the newest complete set is of $(date -u -d "@$success")"
    tell "$newest. The last run $1"
}
# One that holds the lock for too long, such as a drill that hangs, tells nobody of the sets that are not made meanwhile.
kept_waiting() {
    last_success
    tell_overdue "did not begin: another backup, drill or restore is running"
}
report() {
    code=$1 error=''
    [ "$code" -eq 0 ] || error=$(reason)
    last_success
    [ "\${complete:-no}" = no ] || success=$now # also when what came after it failed
    case "\${complete:-no} $code" in
        *" 0") ;;
        yes*) tell "a set was made, and then: $error" ;;
        *) tell_overdue "failed: $error" ;;
    esac
    jq -n --argjson code "$code" --argjson at "$now" --argjson success "$success" --arg set "\${id:-}" --arg error "$error" \\
        --argjson seconds $((now - started)) --argjson pauseMs "\${pause:-null}" --argjson added "\${added:-null}" --arg mode "\${mode:-}" \\
        '{exitStatus: $code, at: $at, lastSuccess: $success, set: $set, error: $error, seconds: $seconds, pauseMs: $pauseMs, added: $added, mode: $mode}' >"$here/.status.new"
    mv "$here/.status.new" "$here/status.json"
    # For the textfile collector of Prometheus' node exporter.
    jq -r '"forwardemail_backup_exit_status \\(.exitStatus)", "forwardemail_backup_last_success_timestamp_seconds \\(.lastSuccess)",
        "forwardemail_backup_duration_seconds \\(.seconds)", "forwardemail_backup_pause_seconds \\((.pauseMs // 0) / 1000)", "forwardemail_backup_added_bytes \\(.added // 0)"' \\
        "$here/status.json" >"$here/.metrics.new"
    mv "$here/.metrics.new" "$here/metrics.prom"
    [ -z "\${METRICS:-}" ] || show_metrics
}
# A copy for who may read nothing else of this folder. Metrics that are not there yet, or no more, are no error of the backup.
show_metrics() {
    shown=$(folder_of "$METRICS" 2>/dev/null)
    [ -d "$shown" ] || return 0
    install -m 0644 "$here/metrics.prom" "$shown/.backup.new"
    mv "$shown/.backup.new" "$shown/backup.prom"
}
ended() {
    code=$?
    trap - EXIT
    set +e
    [ "\${frozen:-no}" = no ] || thaw
    report "$code"
    clean
    exit "$code"
}

run() {
    take_lock kept_waiting # whoever does not get it has no status to write, and nothing of others to end
    started=$(date +%s)
    trap ended EXIT
    trap 'exit 143' HUP INT TERM
    [ "$(state)" != unfinished ] || failed "a restore was cut short, and the data from before it are put aside. Fix: npm run restore -- --undo"
    thaw
    # Of runs that were killed: their watch would let go of what this one holds.
    for watch in $(pgrep -f "^sh $script thaw-after " || true); do kill -- "-$watch" 2>/dev/null || true; done
    clean
    id=$(date -u +%Y%m%dT%H%M%SZ)
    reach
    patience=120
    ask unlock # locks of runs that were killed
    patience=\${PATIENCE:-86400} # restic itself tries for a quarter of an hour
    mark_parts
    rm -f "$here/restoring" # of a first restore that was given up: what is here now is data
    copy_at_one_moment
    dump
    describe
    upload
    complete=yes
    note "set $id: $((added / 1024)) KiB new of $(($(jq .bytes "$stage/manifest.json") / 1024)) KiB; the services stood still for $pause ms ($mode)"
    check_weekly
}
`;
