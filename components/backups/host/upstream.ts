/**
 * Shell functions that make a set of an installation by upstream's setup.sh: of the newest files that its scripts/backup-*.sh have left in
 * its folder, of .env and of ssl/dkim.key. What keeps nothing of the old installation (passwords of databases, of the first-run page) is
 * made anew.
 */
export const UPSTREAM = `
# Makes $stage/set from the folder, as a run makes it from the stores.
gather() {
    from=$1
    [ -d "$from" ] || failed "there is no folder $from on the server. Fix: copy the whole folder of the old installation there (docs/migrate-from-setup-sh.md)"
    dumped=$(newest_of mongo-backups 'mongo-backup-*.tgz')
    cached=$(newest_of redis-backups 'redis-*.rdb')
    stored=$(newest_of sqlite-backups 'sqlite-backup-*.tgz')
    check_folder
    id=$(date -u +%Y%m%dT%H%M%SZ)
    printf '%s\\n' "Taken over: what was backed up at $(stamp_of "$dumped"). What came later is not in it." >"$here/told"
    need_room $(($(bytes_in "$dumped") * 20 + $(bytes_in "$cached") * 4 + $(bytes_in "$stored") * 3)) "Taking over $from"
    mkdir -p "$stage/set/mailboxes" "$stage/set/redis"
    gather_secrets
    gather_mongodb
    gather_redis
    gather_mailboxes
    mode=import pause=0
    describe
    cp "$stage/manifest.json" "$here/manifest.json"
}
newest_of() { find "$from/$1" -maxdepth 1 -name "$2" 2>/dev/null | sort | tail -n 1; } # their names tell the time
stamp_of() { basename "$1" | sed 's/.*\\([0-9]\\{4\\}-[0-9][0-9]-[0-9][0-9]\\)_\\([0-9][0-9]\\)-\\([0-9][0-9]\\).*/\\1 \\2:\\3/'; }

check_folder() {
    lacks=''
    [ -e "$from/.env" ] || lacks="$lacks, .env"
    [ -n "$dumped" ] || lacks="$lacks, mongo-backups/mongo-backup-*.tgz"
    [ -n "$cached" ] || lacks="$lacks, redis-backups/redis-*.rdb"
    # One without mailboxes says so.
    if [ -z "$stored" ] && ! grep -sqE '^COMPOSE_PROFILES=("")?$' "$from/.env"; then lacks="$lacks, sqlite-backups/sqlite-backup-*.tgz"; fi
    [ -z "$lacks" ] || failed "$from lacks \${lacks#, }. Fix: run the scripts/backup-*.sh of the old installation, and copy its whole folder (docs/migrate-from-setup-sh.md)"
    first='' last=''
    for file in "$dumped" "$cached" $stored; do
        at=$(date -d "$(stamp_of "$file")" +%s 2>/dev/null) || failed "the name of $file tells no time. Fix: give it back the name that upstream's script gave it"
        if [ -z "$first" ] || [ "$at" -lt "$first" ]; then first=$at; fi
        if [ -z "$last" ] || [ "$at" -gt "$last" ]; then last=$at; fi
    done
    [ $((last - first)) -le 3600 ] ||
        failed "the newest backups in $from are of different times: $(for file in "$dumped" "$cached" $stored; do basename "$file"; done | tr '\\n' ' ')- the application deletes mailboxes that its database does not know. Fix: run the three scripts/backup-*.sh of the old installation once more"
}

# .env is a list of KEY=value, some in quotes.
setting() { jq -r --arg key "$1" '.[$key] // ""' "$stage/env.json"; }
gather_secrets() {
    jq -Rn '[inputs | capture("^(?<key>[A-Z0-9_]+)=(?<value>.*?)\\\\s*$") | .value |= (capture("^(?<quote>[\\"\\u0027])(?<inner>.*)\\\\k<quote>$") // {inner: .}).inner] | from_entries' "$from/.env" >"$stage/env.json"
    [ "$(setting DOMAIN)" = "$HOST" ] || failed "$from is the installation of $(setting DOMAIN), and this deployment is $HOST. Fix: set host to $(setting DOMAIN)"
    for key in HELPER_ENCRYPTION_KEY TXT_ENCRYPTION_KEY; do
        [ -n "$(setting $key)" ] || failed "$from/.env has no $key, and without it nobody can read the mailboxes. Fix: copy the .env that the old installation runs with"
    done
    [ -z "$(setting IMAGE_TAG | grep '^v\\{0,1\\}[0-9]' || true)" ] || not_newer forwardemail "$(setting IMAGE_TAG)" "$FORWARDEMAIL_TAG" version
    selector=$(setting DKIM_KEY_SELECTOR) dkim=$from/ssl/dkim.key
    if [ ! -e "$dkim" ]; then
        echo "$dkim is missing, so the key of the server's own mail was made anew: publish its record." >>"$here/told"
        dkim=/dev/null
    elif [ "\${selector:-default}" != "$DKIM_SELECTOR" ]; then
        failed "the old installation signs with the selector \${selector:-default}, and this deployment with $DKIM_SELECTOR. Fix: set dkim to {\${selector:-default}: active}"
    fi
    jq --rawfile dkim "$dkim" --arg selector "$DKIM_SELECTOR" '{helperEncryptionKey: .HELPER_ENCRYPTION_KEY, txtEncryptionKey: .TXT_ENCRYPTION_KEY, srsSecret: .SRS_SECRET,
        webhookSignatureKey: .WEBHOOK_SIGNATURE_KEY, ("dkimKeys." + $selector): $dkim} | with_entries(select((.value // "") != ""))' "$stage/env.json" >"$stage/set/secrets.json"
}

gather_mongodb() {
    mkdir "$stage/mongodb"
    mkdir -m 0777 "$stage/set/mongodb"
    tar -xzf "$dumped" -C "$stage/set/mongodb" --strip-components 1 --no-same-owner || failed "$dumped cannot be unpacked"
    chmod -R a+rX "$stage/set/mongodb"
    load_mongodb "$stage/mongodb"
    in_mongodb "db.getSiblingDB('forwardemail_backup').sets.updateOne({ _id: 'newest' }, { \\$set: { id: '$id' } }, { upsert: true })" >/dev/null
    find "$stage/set/mongodb" -mindepth 1 -delete
    dump_mongodb
}
# From the one file that BGSAVE writes to the files that this deployment's Redis works with.
gather_redis() {
    cp "$cached" "$stage/set/redis/dump.rdb"
    chown -R "$(user_of redis "$REDIS_IMAGE")" "$stage/set/redis"
    open_redis -v "$stage/set/redis:/data" --entrypoint redis-server "$REDIS_IMAGE" --dir /data --save '' --appendonly no --bind 127.0.0.1
    redis_says OK SET forwardemail:backup "$id"
    redis_says OK CONFIG SET appendonly yes
    tries=0
    until docker exec "$scratch-redis" redis-cli INFO persistence | tr -d '\\r' | grep -xc -e aof_rewrite_in_progress:0 -e aof_rewrite_scheduled:0 -e aof_last_bgrewrite_status:ok | grep -qx 3; do
        tries=$((tries + 1))
        [ $tries -le 1200 ] || failed "Redis cannot write what it read from $cached: $(docker logs --tail 3 "$scratch-redis" 2>&1 | tail -c 300)"
        sleep 0.5
    done
    docker stop -t 60 "$scratch-redis" >/dev/null
    docker rm -v "$scratch-redis" >/dev/null
    rm "$stage/set/redis/dump.rdb"
}
gather_mailboxes() {
    [ -z "$stored" ] || tar -xzf "$stored" -C "$stage/set/mailboxes" --no-same-owner || failed "$stored cannot be unpacked"
    find "$stage/set/mailboxes" -name '*-shm' -delete
    echo "$id" >"$stage/set/mailboxes/.forwardemail-set"
    { echo "deployment $STACK"; fingerprint helperEncryptionKey; fingerprint txtEncryptionKey; } >"$stage/set/mailboxes/.forwardemail"
    cp "$stage/set/mailboxes/.forwardemail" "$stage/set/redis/.forwardemail"
}
fingerprint() { echo "$1 $(jq -j --arg key "$1" '$key + ":" + .[$key]' "$stage/set/secrets.json" | sha256sum | cut -c 1-32)"; } # as secrets.ts
`;
