/** Shell functions that bring a set back: into a scratch place to see that it can be done, on an empty deployment, or in place of the present data. */
export const RESTORE = `
# Sets \`id\` and \`snapshot\` of a set that is named, or of the newest.
choose() {
    known=$(sets)
    [ -n "$known" ] || failed "there is no complete set in $REPOSITORY. Fix: see backups.bucket and backups.prefix"
    if [ "$1" = latest ]; then line=$(printf '%s\\n' "$known" | tail -n 1); else line=$(printf '%s\\n' "$known" | grep "^$1 " || true); fi
    [ -n "$line" ] || failed "there is no complete set $1. Fix: take one of $(printf '%s\\n' "$known" | cut -d ' ' -f 1 | tail -n 5 | tr '\\n' ' '), or latest"
    id=\${line% *} snapshot=\${line#* }
    ask dump --tag "complete=$id" latest /manifest.json
    cp "$here/answer" "$here/manifest.json"
}
field() { jq -r "$1" "$here/manifest.json"; }

# A database reads what an older one wrote, and the application too; never the other way round.
fits() {
    [ "$(field .format)" = 1 ] || failed "set $id has the form $(field .format), which this program does not know. Fix: use a newer one"
    not_newer forwardemail "$FORWARDEMAIL_TAG" "version"
    not_newer mongodb "$MONGODB_TAG" "images.mongodb"
    not_newer redis "$REDIS_TAG" "images.redis"
    need_room $(($(field .bytes) * 2)) "Restoring set $id"
}
not_newer() {
    of_set=$(field ".images.$1" | tr -d v)
    newest=$(printf '%s\\n%s\\n' "$of_set" "$(echo "$2" | tr -d v)" | sort -V | tail -n 1)
    [ "$newest" != "$of_set" ] || [ "$of_set" = "$(echo "$2" | tr -d v)" ] ||
        failed "set $id was made with $1 $of_set, and this deployment runs $2, which is older. Fix: set $3 to $of_set or newer"
}

# The set's files below $stage/set, each compared with its hash.
fetch() {
    rm -rf "$stage"
    mkdir -p "$stage"
    status=0
    # shellcheck disable=SC2086
    docker run --rm --name "$scratch-restic" --hostname "$STACK" --cap-drop ALL --cap-add CHOWN --cap-add DAC_OVERRIDE --cap-add FOWNER --cap-add FSETID \\
        --security-opt no-new-privileges --env-file "$here/repository.env" -v "$here/cache:/cache" -v "$stage:/target" \\
        "$RESTIC" --cache-dir /cache --retry-lock 10m $OPTIONS restore "$snapshot:/set" --target /target/set --verify --quiet >"$here/answer" 2>"$here/said" </dev/null || status=$?
    [ $status -eq 0 ] || failed "set $id cannot be read whole: $(meaning $status)"
}

# Each part is of this set, and has what the manifest says.
check_parts() {
    [ "$(cat "$stage/set/mailboxes/.forwardemail-set" 2>/dev/null)" = "$id" ] || failed "the mailboxes of set $id are of another set"
    found=$(mailbox_files "$stage/set/mailboxes")
    [ "$found" = "$(field .mailboxes)" ] || failed "set $id has $found mailboxes, and its manifest says $(field .mailboxes)"
    check_redis
}
# Redis itself reads its files, and answers what they say of the set.
check_redis() {
    docker run -d --name "$scratch-redis" --network none --user redis --cap-drop ALL --security-opt no-new-privileges --memory 1g \\
        -v "$stage/set/redis:/from:ro" --tmpfs /scratch:mode=1777 --entrypoint sh "$REDIS_IMAGE" -c 'cp -r /from/appendonlydir /scratch/ && exec redis-server --dir /scratch --appendonly yes --port 6379 --bind 127.0.0.1' >/dev/null
    tries=0
    until said_redis=$(docker exec "$scratch-redis" redis-cli GET forwardemail:backup 2>/dev/null) && [ "$said_redis" = "$id" ]; do
        tries=$((tries + 1))
        [ $tries -le 60 ] || failed "the Redis data of set $id cannot be used: $(docker logs --tail 3 "$scratch-redis" 2>&1 | tail -c 300)"
        sleep 0.5
    done
    docker rm -f -v "$scratch-redis" >/dev/null
}
# Fills MongoDB on an empty folder from the set's dump, and counts.
fill_mongodb() {
    chown "$(docker run --rm --network none --entrypoint sh "$MONGODB_IMAGE" -c 'echo "$(id -u mongodb):$(id -g mongodb)"')" "$1"
    chmod 0755 "$stage/set/mongodb" # the dump, for the user of the image
    open_mongodb "$1" "$stage/set/mongodb"
    docker exec "$scratch-mongodb" mongorestore --quiet --nsExclude 'admin.*' --nsExclude 'config.*' /dump || failed "mongorestore failed"
    [ "$(in_mongodb 'db.getSiblingDB("forwardemail_backup").sets.findOne().id' | tail -n 1)" = "$id" ] || failed "the MongoDB data of set $id are of another set"
    documents=$(count_documents)
    [ "$(printf %s "$documents" | jq -cS .)" = "$(jq -cS .documents "$here/manifest.json")" ] ||
        failed "MongoDB has other documents than the manifest of set $id says: $(printf %s "$documents" | jq -c .)"
    close_mongodb
}

# --- restore drill -----------------------------------------------------------------------------------------------------------
drill_ended() {
    code=$?
    trap - EXIT
    clean
    rm -f "$here/manifest.json"
    jq -n --argjson code $code --argjson at "$(date +%s)" --arg set "\${id:-}" --arg error "\${error:-}" '{exitStatus: $code, at: $at, set: $set, error: $error}' >"$here/drill.json"
    [ $code -eq 0 ] || tell "the restore drill failed: \${error:-it was cut short}"
    exit $code
}
drill() {
    started=$(date +%s)
    take_lock
    trap drill_ended EXIT
    trap 'exit 143' HUP INT TERM
    clean
    choose "\${1:-latest}"
    fits
    fetch
    check_parts
    mkdir "$stage/mongodb"
    fill_mongodb "$stage/mongodb"
    note "set $id can be restored: $(field .mailboxes) mailboxes, $(printf %s "$documents" | jq '[.[]] | add // 0') documents, $(($(field .bytes) / 1048576)) MiB"
    note "now there are $(mailbox_files "$mailboxes") mailboxes"
    made=$(date -u -d "$(echo "$id" | sed 's/^\\(....\\)\\(..\\)\\(..\\)T\\(..\\)\\(..\\)\\(..\\)Z/\\1-\\2-\\3 \\4:\\5:\\6/')" +%s)
    note "RPO $((started - made)) s (the age of the set), RTO $(($(date +%s) - started)) s (reading and opening it here)"
}

# --- restore -----------------------------------------------------------------------------------------------------------------
has_data() {
    for place in "$mongodb" "$redis" "$mailboxes"; do
        find "$place" -mindepth 1 -maxdepth 1 ! -name lost+found ! -name '.forwardemail*' | grep -q . && return 0
    done
    return 1
}
empty() { for place; do find "$place" -mindepth 1 -maxdepth 1 ! -name lost+found -exec rm -rf {} +; done; }
move() { find "$1" -mindepth 1 -maxdepth 1 ! -name lost+found -exec mv -t "$2" {} +; }

put_in_place() {
    move "$stage/set/mailboxes" "$mailboxes"
    move "$stage/set/redis" "$redis"
    fill_mongodb "$mongodb"
    # The data belong to the keys that they were written with, and to this deployment from now on.
    for place in "$mailboxes" "$redis"; do sed -i "1s/.*/deployment $STACK/" "$place/.forwardemail"; done
    cp "$mailboxes/.forwardemail" "$mongodb/.forwardemail"
    if [ -n "$acme" ] && [ -e "$stage/set/acme" ] && [ -z "$(ls -A "$acme")" ]; then move "$stage/set/acme" "$acme"; fi
}

# For a deployment without data: \`restore latest\` or \`restore ID\`. Prints the deployment's secrets.
restore() {
    take_lock
    trap restore_ended EXIT
    trap 'exit 143' HUP INT TERM
    clean
    if [ -e "$here/restored" ] && has_data; then
        # Done before: the data are there, and have gone on since.
        case $1 in latest | "$(cat "$here/restored")") cat "$here/restored.json"; return ;; esac
    fi
    # What was begun here was begun on nothing.
    if [ -e "$here/restoring" ]; then empty "$mongodb" "$redis" "$mailboxes"; fi
    ! has_data || failed "this deployment has data, and restoreFrom is for one that has none. Fix: npm run restore, which keeps what is there; or remove restoreFrom"
    choose "$1"
    fits
    fetch
    check_parts
    echo "$id" >"$here/restoring"
    put_in_place
    cp "$stage/set/secrets.json" "$here/restored.json"
    mv "$here/restoring" "$here/restored"
    cat "$here/restored.json"
}
# --- in place of the present data -------------------------------------------------------------------------------------------
# What was there is kept in $here/before until the next time: \`undo\` brings it back.
before=$here/before
# shellcheck disable=SC2153
stop_all() {
    for service in $WRITERS; do container_of_any "$service"; done | xargs -r docker stop -t 90 >/dev/null
    for service in mongodb redis; do container_of_any "$service"; done | xargs -r docker stop -t 90 >/dev/null
}
start_all() {
    for service in mongodb redis; do container_of_any "$service"; done | xargs -r docker start >/dev/null
    for service in mongodb redis; do
        tries=0
        until [ "$(docker inspect -f '{{.State.Health.Status}}' "$(container_of_any $service)" 2>/dev/null)" = healthy ] || [ $tries -ge 120 ]; do tries=$((tries + 1)); sleep 0.5; done
    done
    for service in $WRITERS; do container_of_any "$service"; done | xargs -r docker start >/dev/null
}
container_of_any() { docker ps -aq --filter "label=forwardemail.stack=$STACK" --filter "label=forwardemail.service=$1"; }
store_of() { case $1 in mongodb) echo "$mongodb" ;; redis) echo "$redis" ;; *) echo "$mailboxes" ;; esac; }

set_aside() {
    rm -rf "$before"
    for store in mongodb redis mailboxes; do
        mkdir -p "$before/$store"
        move "$(store_of $store)" "$before/$store"
        touch "$before/$store.moved"
    done
}
bring_back() {
    for store in mongodb redis mailboxes; do
        [ -d "$before/$store" ] || continue
        # One that was not moved whole still has the rest in its place.
        [ ! -e "$before/$store.moved" ] || empty "$(store_of $store)"
        rm -f "$before/$store.moved"
        move "$before/$store" "$(store_of $store)"
    done
    rm -rf "$before"
}

replace() {
    take_lock
    trap replace_ended EXIT
    trap 'exit 143' HUP INT TERM
    clean
    choose "$1"
    fits
    fetch
    check_parts
    [ "$(tail -n +2 "$stage/set/mailboxes/.forwardemail")" = "$(tail -n +2 "$mailboxes/.forwardemail")" ] ||
        failed "set $id was written with other keys than this deployment has. Fix: restore it into a stack of its own, with restoreFrom"
    changed=yes
    stop_all
    set_aside
    put_in_place
    start_all
    changed=no
    note "set $id is in place; npm run restore -- --undo brings back what was there before"
}
replace_ended() {
    code=$?
    trap - EXIT
    if [ "\${changed:-no}" = yes ]; then
        warn "the restore failed, so what was there before is brought back"
        clean
        bring_back
        start_all
    fi
    clean
    rm -f "$here/manifest.json"
    exit $code
}
undo() {
    take_lock
    [ -d "$before" ] || failed "there is nothing to undo: no restore has replaced data here"
    stop_all
    bring_back
    start_all
    note "the data are as they were before the restore"
}

# --- retention ---------------------------------------------------------------------------------------------------------------
# With credentials of its own, from standard input: those of the server need not be able to delete. By time only; and as restic counts time
# from the newest snapshot, one from the future would push out all others.
prune() {
    take_lock
    credentials=$(mktemp)
    trap 'rm -f "$credentials"' EXIT
    trap 'exit 143' HUP INT TERM
    cat >"$credentials"
    complete=$(sets)
    [ -n "$complete" ] || failed "there is no complete set, so nothing is removed"
    future=$(jq -r --argjson now "$(date +%s)" '.[] | select((.time[0:19] + "Z" | fromdate) > $now + 3600) | .short_id' "$here/answer")
    [ -z "$future" ] || failed "these snapshots are from the future, so nothing is removed: $(echo "$future" | tr '\\n' ' '). Fix: see where they come from (docs/backups.md), and the clocks"
    # What never became a set, of runs that ended a day ago or earlier.
    broken=$(jq -r --argjson now "$(date +%s)" '[.[] | .tags[]? | select(startswith("complete=")) | .[9:]] as $complete
        | .[] | select(([.tags[]? | select(startswith("set=")) | .[4:]] - $complete) != []) | select((.time[0:19] + "Z" | fromdate) < $now - 86400) | .id' "$here/answer")
    # shellcheck disable=SC2086
    [ -z "$broken" ] || delete forget $broken
    # The two snapshots of a set have the same time, so both groups keep the same sets.
    # shellcheck disable=SC2086
    delete forget --group-by host,paths $KEEP
    delete prune
    note "$(echo "$complete" | wc -l) sets before, $(sets </dev/null | wc -l) now"
}
# A refusal to delete is no failure to restic.
delete() {
    ask "$@" </dev/null
    if grep -qi 'access denied' "$here/said" "$here/answer"; then failed "the key may not delete in the bucket. Fix: see backups.pruneAccessKeyId"; fi
}
restore_ended() { code=$?; trap - EXIT; clean; rm -f "$here/manifest.json"; exit $code; }
`;

/** What the script is told to do. */
export const COMMANDS = `
command=\${1:-}
[ $# -eq 0 ] || shift
case $command in
    open) open_repository ;;
    run) run ;;
    thaw) thaw ;;
    thaw-after) sleep "$1"; thaw ;;
    sets) sets ;;
    drill) drill "$@" ;;
    restore) restore "$1" ;;
    replace) replace "$1" ;;
    undo) undo ;;
    prune) prune ;;
    *) echo "usage: $0 run | thaw | sets | drill [SET]" >&2; exit 2 ;;
esac
`;
