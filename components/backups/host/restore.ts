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
    not_newer forwardemail "$(field .images.forwardemail)" "$FORWARDEMAIL_TAG" version
    not_newer mongodb "$(field .images.mongodb)" "$MONGODB_TAG" images.mongodb
    not_newer redis "$(field .images.redis)" "$REDIS_TAG" images.redis
    need_room $(($(field .bytes) * 2)) "Restoring set $id"
}
not_newer() { # what, its version in the set, its version here, the config's key
    theirs=\${2#v} ours=\${3#v}
    [ "$theirs" = "$ours" ] || [ "$(printf '%s\\n%s\\n' "$theirs" "$ours" | sort -V | tail -n 1)" = "$ours" ] ||
        failed "set $id was made with $1 $theirs, and this deployment runs $ours, which is older. Fix: set $4 to $2 or newer"
}

# The set's files below $stage/set, each compared with its hash.
fetch() {
    rm -rf "$stage"
    mkdir -p "$stage"
    status=0
    rights='--cap-add CHOWN --cap-add DAC_OVERRIDE --cap-add FOWNER --cap-add FSETID' visible="-v $stage:/target"
    restic restore "$snapshot:/set" --target /target/set --verify --quiet >"$here/answer" 2>"$here/said" </dev/null || status=$?
    rights='' visible=''
    [ $status -eq 0 ] || failed "set $id cannot be read whole: $(meaning $status)"
}

# Each part is of this set, and has what the manifest says.
check_parts() {
    [ "$(cat "$stage/set/mailboxes/.forwardemail-set" 2>/dev/null)" = "$id" ] || failed "the mailboxes of set $id are of another set"
    found=$(mailbox_files "$stage/set/mailboxes")
    [ "$found" = "$(field .mailboxes)" ] || failed "set $id has $found mailboxes, and its manifest says $(field .mailboxes)"
    check_redis
}
user_of() { docker run --rm --network none --entrypoint sh "$2" -c "echo \\$(id -u $1):\\$(id -g $1)"; }
# Redis itself reads its files, and answers what they say of the set.
check_redis() {
    cp -a --reflink=auto "$stage/set/redis" "$stage/redis"
    open_redis -v "$stage/redis:/data" --entrypoint redis-server "$REDIS_IMAGE" --dir /data --appendonly yes --bind 127.0.0.1
    redis_says "$id" GET forwardemail:backup
    docker rm -f -v "$scratch-redis" >/dev/null
    rm -rf "$stage/redis"
}
# Redis without a network.
open_redis() { docker run -d --name "$scratch-redis" --network none --user redis --cap-drop ALL --security-opt no-new-privileges "$@" >/dev/null; }
redis_says() { # the answer, and to which words
    wanted=$1 tries=0
    shift
    until [ "$(docker exec "$scratch-redis" redis-cli "$@" 2>/dev/null)" = "$wanted" ]; do
        tries=$((tries + 1))
        [ $tries -le 60 ] || failed "the Redis data of set $id cannot be used: $(docker logs --tail 3 "$scratch-redis" 2>&1 | tail -c 300)"
        sleep 0.5
    done
}
load_mongodb() {
    chown "$(user_of mongodb "$MONGODB_IMAGE")" "$1"
    open_mongodb "$1" "$stage/set/mongodb"
    docker exec "$scratch-mongodb" mongorestore --quiet --nsExclude 'admin.*' --nsExclude 'config.*' /dump || failed "mongorestore failed"
}
# Fills MongoDB on an empty folder from the set's dump, and counts.
fill_mongodb() {
    chmod 0755 "$stage/set/mongodb" # the dump, for the user of the image
    load_mongodb "$1"
    [ "$(in_mongodb 'db.getSiblingDB("forwardemail_backup").sets.findOne().id' | tail -n 1)" = "$id" ] || failed "the MongoDB data of set $id are of another set"
    documents=$(count_documents)
    [ "$(printf %s "$documents" | jq -cS .)" = "$(jq -cS .documents "$here/manifest.json")" ] ||
        failed "MongoDB has other documents than the manifest of set $id says: $(printf %s "$documents" | jq -c .)"
    close_mongodb
}

# --- a mailbox opens only with its user's password ----------------------------------------------------------------------------
# That of CANARY, an alias of the operator's own, is read over IMAP: from containers like those that run, in a network of their own, on the
# set's data.
read_canary() {
    [ -n "\${CANARY:-}" ] || return 0
    docker network create --internal "$scratch" >/dev/null
    for service in mongodb redis sqlite imap; do start_on_set $service; done
    docker exec -i "$scratch-imap" curl -sSk -m 60 --config - -X 'EXAMINE INBOX' imaps://127.0.0.1:993/ <"$here/canary" >"$here/answer" 2>"$here/said" ||
        failed "the mailbox of $CANARY in set $id cannot be opened: $(tr '\\n' ' ' <"$here/said"). Fix: see backups.canary and the secret backupCanaryPassword"
    note "the mailbox of $CANARY opens: $(sed -n 's/^\\* \\([0-9]*\\) EXISTS.*/\\1/p' "$here/answer") mails in its inbox"
}
start_on_set() {
    like=$(container_of "$1")
    [ -n "$like" ] || failed "$1 does not run. Fix: npm run up"
    docker inspect "$like" | jq --arg network "$scratch" --arg set "$stage" --arg mongodb "$MONGODB" --arg redis "$REDIS" --arg mailboxes "$MAILBOXES" '
        {($mongodb): "\\($set)/mongodb", ($redis): "\\($set)/set/redis", ($mailboxes): "\\($set)/set/mailboxes"} as $stores | .[0] as $c
        | $c.Config + {Labels: {}, HostConfig: ($c.HostConfig + {NetworkMode: $network, PortBindings: {}, RestartPolicy: {Name: "no"},
            Mounts: [$c.HostConfig.Mounts[]? | if $stores[.Source] then {Type: "bind", Source: $stores[.Source], Target} else . + {ReadOnly: true} end]}),
        NetworkingConfig: {EndpointsConfig: {($network): {Aliases: [$c.NetworkSettings.Networks[].Aliases[]?]}}}}' |
        curl -sS --fail-with-body --unix-socket "\${DOCKER_HOST#unix://}" -H 'Content-Type: application/json' -d @- -o "$here/answer" "http://docker/containers/create?name=$scratch-$1" ||
        failed "$1 cannot be started beside what runs: $(head -c 300 "$here/answer")"
    docker start "$scratch-$1" >/dev/null
    becomes_healthy "$scratch-$1" 120 || failed "$1 does not start on set $id: $(docker logs --tail 3 "$scratch-$1" 2>&1 | tail -c 300)"
}
becomes_healthy() { # container, seconds
    tries=0
    until [ "$(docker inspect -f '{{.State.Health.Status}}' "$1" 2>/dev/null)" = healthy ]; do
        tries=$((tries + 1))
        [ $tries -le $(($2 * 2)) ] || return 1
        sleep 0.5
    done
}

# --- restore drill -----------------------------------------------------------------------------------------------------------
drill_ended() {
    code=$?
    trap - EXIT
    set +e
    clean
    rm -f "$here/manifest.json"
    error=''
    [ $code -eq 0 ] || error=$(reason)
    [ $code -eq 0 ] || tell "the restore drill failed: $error"
    jq -n --argjson code $code --argjson at "$(date +%s)" --arg set "\${id:-}" --arg error "$error" '{exitStatus: $code, at: $at, set: $set, error: $error}' >"$here/drill.json"
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
    read_canary
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
    # Mailboxes come last: without the database that knows them, the application would delete them.
    fill_mongodb "$mongodb"
    move "$stage/set/redis" "$redis"
    move "$stage/set/mailboxes" "$mailboxes"
    # The data belong to the keys that they were written with, and to this deployment from now on.
    for place in "$mailboxes" "$redis"; do sed -i "1s/.*/deployment $STACK/" "$place/.forwardemail"; done
    cp "$mailboxes/.forwardemail" "$mongodb/.forwardemail"
    if [ -n "$acme" ] && [ -e "$stage/set/acme" ] && [ -z "$(ls -A "$acme")" ]; then move "$stage/set/acme" "$acme"; fi
}

# For a deployment without data: \`restore latest\`, \`restore ID\` or \`restore /FOLDER\`. Prints the deployment's secrets.
restore() {
    take_lock
    trap restore_ended EXIT
    trap 'exit 143' HUP INT TERM
    clean
    if [ -e "$here/restored" ] && has_data; then
        # Done before: the data are there, and have gone on since.
        if [ "$1" = latest ] || grep -qxF -e "$1" "$here/restored"; then cat "$here/restored.json"; return; fi
    fi
    # What was begun here was begun on nothing, unless services have run on it since.
    present=$(docker ps -aq --filter "label=forwardemail.stack=$STACK")
    [ -z "$present" ] || rm -f "$here/restoring"
    if [ -e "$here/restoring" ]; then empty "$mongodb" "$redis" "$mailboxes"; fi
    ! has_data || failed "this deployment has data, and restoreFrom is for one that has none. Fix: npm run restore, which keeps what is there; or remove restoreFrom"
    case $1 in
        /*) gather "$1" ;;
        *)
            choose "$1"
            fits
            fetch
            ;;
    esac
    check_parts
    printf '%s\\n' "$id" "$1" >"$here/restoring"
    put_in_place
    cp "$stage/set/secrets.json" "$here/restored.json"
    mv "$here/restoring" "$here/restored"
    cat "$here/restored.json"
}
restore_ended() { code=$?; trap - EXIT; clean; rm -f "$here/manifest.json"; exit $code; }

# --- in place of the present data -------------------------------------------------------------------------------------------
# What was there is kept in $here/before until the next time: \`undo\` brings it back. While that is all there is of it, nothing removes it.
before=$here/before
# shellcheck disable=SC2086,SC2153
stop_all() { stop_these $WRITERS && stop_these mongodb redis; }
# Nothing that could not be listed counts as stopped: its data are moved next.
stop_these() {
    found=$(for service; do containers_of "$service" -a || exit 1; done) || return 1
    # shellcheck disable=SC2086
    [ -z "$found" ] || docker stop -t 90 $found >/dev/null
}
start_all() {
    for service in mongodb redis; do containers_of "$service" -a; done | xargs -r docker start >/dev/null
    for service in mongodb redis; do becomes_healthy "$(containers_of $service -a)" 60 || true; done # the next up tells
    for service in $WRITERS; do containers_of "$service" -a; done | xargs -r docker start >/dev/null
}
store_of() { case $1 in mongodb) echo "$mongodb" ;; redis) echo "$redis" ;; *) echo "$mailboxes" ;; esac; }

set_aside() {
    rm -rf "$before.gone"
    [ ! -e "$before" ] || mv "$before" "$before.gone"
    mkdir "$before"
    touch "$before/unfinished"
    changed=yes # from here on what was there is in $before
    rm -rf "$before.gone"
    for store in mongodb redis mailboxes; do
        mkdir "$before/$store"
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
    [ ! -e "$before/unfinished" ] || failed "an earlier restore was cut short, and the data from before it are put aside. Fix: npm run restore -- --undo"
    choose "$1"
    fits
    fetch
    check_parts
    [ "$(tail -n +2 "$stage/set/mailboxes/.forwardemail")" = "$(tail -n +2 "$mailboxes/.forwardemail")" ] ||
        failed "set $id was written with other keys than this deployment has. Fix: restore it into a stack of its own, with restoreFrom"
    stopped=yes
    stop_all
    set_aside
    put_in_place
    start_all
    rm "$before/unfinished"
    changed=no stopped=no
    note "set $id is in place; npm run restore -- --undo brings back what was there before, which is kept in $before until then, or until you remove it"
}
replace_ended() {
    code=$?
    trap - EXIT
    if [ "\${changed:-no}" = yes ]; then
        warn "the restore failed, so what was there before is brought back"
        clean
        stop_all || failed "services do not stop, so nothing is brought back yet. Fix: npm run restore -- --undo"
        bring_back
    fi
    [ "\${stopped:-no}" = no ] || start_all
    clean
    rm -f "$here/manifest.json"
    exit $code
}
# Whether data of before a restore are there, and whether they are all there is: what \`undo\` would bring back.
state() {
    if [ -e "$before/unfinished" ]; then echo unfinished
    elif [ -d "$before" ]; then echo "finished $(date -u -r "$before/mailboxes.moved" '+%Y-%m-%d %H:%M') UTC"
    else echo none; fi
}
undo() {
    take_lock
    [ -d "$before" ] || failed "there is nothing to undo: no restore has replaced data here"
    touch "$before/unfinished" # if this is cut short, it is to be done again
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
    credentials=$(mktemp -p /run) # in memory: a power cut leaves nothing of it
    trap 'rm -f "$credentials"' EXIT
    trap 'exit 143' HUP INT TERM
    cat >"$credentials"
    complete=$(sets)
    [ -n "$complete" ] || failed "there is no complete set, so nothing is removed"
    future=$(jq -r --argjson now "$(date +%s)" '.[] | select((.time[0:19] + "Z" | fromdate) > $now + 3600) | .short_id' "$here/answer")
    [ -z "$future" ] || failed "these snapshots are from the future, so nothing is removed: $(echo "$future" | tr '\\n' ' '). Fix: see where they come from (docs/backups.md), and the clocks"
    # A set is kept or not by its manifest, and its data with it. What never became a set goes, too, when no lock holds it: no run is under way,
    # for this has its lock.
    # shellcheck disable=SC2086
    delete forget --group-by host,paths --path /manifest.json $KEEP
    ask snapshots --json </dev/null
    orphans=$(jq -r --argjson until $(($(date +%s) - \${LOCK_DAYS:-0} * 86400)) '[.[] | .tags[]? | select(startswith("complete=")) | .[9:]] as $complete
        | .[] | select(([.tags[]? | select(startswith("set=")) | .[4:]] - $complete) != [] and (.time[0:19] + "Z" | fromdate) <= $until) | .id' "$here/answer")
    # shellcheck disable=SC2086
    [ -z "$orphans" ] || delete forget $orphans
    delete prune
    left=$(sets </dev/null)
    note "$(echo "$complete" | wc -l) sets before, $(echo "$left" | wc -l) now"
}
# A refusal to delete is no failure to restic.
delete() {
    ask "$@" </dev/null
    if grep -qi 'access denied' "$here/said" "$here/answer"; then failed "the key may not delete in the bucket. Fix: see backups.pruneAccessKeyId"; fi
}
`;

/** What the script is told to do. */
export const COMMANDS = `
command=\${1:-}
[ $# -eq 0 ] || shift
case $command in
    open) open_repository ;;
    run) run ;;
    thaw) # after a run of the timer, which may have ended because another one has the lock
        exec 9>"$here/.lock"
        if flock -n 9; then thaw; drop_snapshot; fi
        ;;
    data) if has_data; then echo yes; else echo no; fi ;;
    thaw-after) # seconds, freezers: without Docker, which may not answer by then
        sleep "$1"
        shift
        release "$@"
        ;;
    state) state ;;
    told) cat "$here/told" 2>/dev/null || true ;;
    sets) sets ;;
    drill) drill "$@" ;;
    restore) restore "$1" ;;
    replace) replace "$1" ;;
    undo) undo ;;
    prune) prune ;;
    *) echo "usage: $0 run | thaw | sets | drill [SET]" >&2; exit 2 ;;
esac
`;
