import { MADE_FOLDER } from "../../services/files";

/**
 * Shell functions of all commands of the backup script: where things are, how restic is run, what its words mean. The script lies in the
 * place `backup` beside its values (backup.conf), the credentials (repository.env) and the secrets of the deployment (secrets.json).
 */
export const COMMON = `#!/bin/sh
set -euf
umask 077
script=$(readlink -f "$0")
here=$(dirname "$script")
# shellcheck source=/dev/null
. "$here/backup.conf"
# shellcheck source=/dev/null
. "$here/docker.conf"
${MADE_FOLDER}
# Before a deployment's first start its stores are not there.
# shellcheck disable=SC2153
mongodb=$(made_folder "$MONGODB") redis=$(made_folder "$REDIS") mailboxes=$(made_folder "$MAILBOXES")
acme=''
[ -z "\${ACME:-}" ] || acme=$(made_folder "$ACME")
stage=$here/stage # what a run needs only while it runs; gone afterwards
scratch=$STACK.scratch # prefix of its containers: no other stack's has it

note() { printf '%s\\n' "$*"; }
warn() { echo "warning: backup: $*" >&2; }
tell() { # the webhook, if there is one: its URL is a secret, and so in a file
    [ -s "$here/alert" ] || return 0
    jq -cn --arg text "$STACK: backup: $*" '{text: $text}' |
        curl -sS -m 20 -o /dev/null -H 'Content-Type: application/json' -d @- --config "$here/alert" || warn "the webhook could not be told"
}
failed() {
    printf '%s\\n' "$*" >"$here/reason" 2>/dev/null || true # also from a subshell
    echo "error: backup: $*" >&2
    exit 1
}
reason() { cat "$here/reason" 2>/dev/null || echo "it was cut short"; }

for program in docker jq rsync flock setsid; do
    command -v $program >/dev/null || failed "the Docker host has no $program. Fix: install it (apt-get install jq rsync util-linux)"
done

take_lock() { # what to do where another one has it
    exec 9>"$here/.lock"
    # The reason of the one that runs is its own.
    flock -n 9 || { "\${1:-:}"; echo "error: backup: another backup, drill or restore of this stack is running. Fix: wait for it, or see systemctl status $STACK-backup" >&2; exit 1; }
    rm -f "$here/reason"
}
# What an earlier run left behind that was killed.
clean() {
    docker ps -aq --filter "name=^/?$scratch-" | xargs -r docker rm -f -v >/dev/null
    docker network ls -q --filter "name=^$scratch$" | xargs -r docker network rm >/dev/null
    drop_snapshot
    rm -rf "$stage"
}

# Of a service: the running ones, with -a all of them.
containers_of() { docker ps -q \${2:+"$2"} --filter "label=forwardemail.stack=$STACK" --filter "label=forwardemail.service=$1"; }
container_of() { containers_of "$1" | head -n 1; }
bytes_in() { du -sb "$@" 2>/dev/null | awk '{ sum += $1 } END { print sum + 0 }'; }
free_at() { df -B1 --output=avail "$1" | tail -n 1 | tr -d ' '; }
need_room() { # bytes, what for
    free=$(free_at "$here")
    [ "$free" -ge "$1" ] || failed "$2 needs $(($1 / 1048576)) MiB beside the data, and $((free / 1048576)) MiB are free. Fix: free some$([ ! -d "$here/before" ] || echo " ($here/before holds what the last restore replaced)"), or give data.directory a larger disk"
}

# restic with what it may see of the host. It is root without privileges: unless \`rights\` say more, it reads what belongs to others, and writes
# its own cache only.
restic() {
    mkdir -p "$here/cache"
    # shellcheck disable=SC2086
    timeout --foreground -k 10 "\${patience:-86400}" docker run --rm -i --name "$scratch-restic" --hostname "$STACK" --cap-drop ALL --security-opt no-new-privileges \${rights:---cap-add DAC_READ_SEARCH $LIMITS} \\
        --env-file "\${credentials:-$here/repository.env}" -v "$here/cache:/cache" \${visible:-} "$RESTIC" --cache-dir /cache --retry-lock 10m $OPTIONS "$@"
}

# Runs restic, keeps its words in $here/said, and ends with what they mean where it fails.
ask() {
    status=0
    restic "$@" >"$here/answer" 2>"$here/said" || status=$?
    [ $status -eq 0 ] || failed "$(meaning $status)"
}
meaning() {
    said=$(tr '\\n' ' ' <"$here/said")
    case "$1 $said" in
        "12 "* | *"wrong password"*) echo "the passphrase is not that of the repository at $REPOSITORY. Fix: give the one that it was made with: pulumi config set --secret backupPassphrase" ;;
        "11 "* | *"already locked"*) echo "the repository is locked by another run: $(echo "$said" | cut -c 1-200). Fix: wait for it; a lock that a crash left ends after half an hour" ;;
        *AccessDenied* | *"Access Denied"* | *"403 Forbidden"*) echo "the key may not use the bucket at $REPOSITORY: it is somebody else's, or the key lacks a right (docs/backups.md): $(echo "$said" | tail -c 200)" ;;
        *XMinioStorageFull* | *" 507 "* | *"free drive threshold"* | *QuotaExceeded*) echo "the bucket is full: $(echo "$said" | tail -c 200). Fix: npm run prune, or more room" ;;
        *"no such host"* | *"connection refused"* | *"i/o timeout"* | *"deadline exceeded"* | *x509* | *"network is unreachable"* | "124 "*) echo "the bucket's server cannot be reached at $REPOSITORY: $(echo "$said" | tail -c 200). Fix: see backups.endpoint, and that the server may connect to it" ;;
        *"repository contains errors"*) echo "what is in the bucket at $REPOSITORY is damaged: $(echo "$said" | cut -c 1-300). Fix: bring the old versions of its objects back (docs/backups.md)" ;;
        *) echo "restic ended with $1: $(echo "$said" | tail -c 400)" ;;
    esac
}

# Asks the store about the bucket, into $here/answer, in a way that it answers with a reason: what restic asks first, it may answer by a bare
# "denied". From a container, as restic does; the application's image has curl.
ask_bucket() {
    credential() { sed -n "s/^$1=//p" "\${credentials:-$here/repository.env}"; }
    case $BUCKET_LOOKUP in
        path) url=$ENDPOINT/$BUCKET ;;
        *) url=$(printf %s "$ENDPOINT" | sed "s|://|://$BUCKET.|") ;;
    esac
    empty=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 # SHA-256 of nothing
    printf 'user = "%s:%s"\\n' "$(credential AWS_ACCESS_KEY_ID)" "$(credential AWS_SECRET_ACCESS_KEY)" |
        docker run --rm -i --name "$scratch-curl" --cap-drop ALL --security-opt no-new-privileges --user nobody --entrypoint curl "$FORWARDEMAIL_IMAGE" -sS -m 30 --aws-sigv4 "aws:amz:\${REGION:-us-east-1}:s3" -H "x-amz-content-sha256: $empty" --config - "$url/?$1=" >"$here/answer" 2>"$here/said" ||
        failed "the bucket's server cannot be reached at $ENDPOINT: $(tr '\\n' ' ' <"$here/said"). Fix: see backups.endpoint, and that the server may connect to it"
    code=$(sed -n 's|.*<Code>\\([A-Za-z]*\\)</Code>.*|\\1|p' "$here/answer" | head -n 1)
}
reach() {
    ask_bucket location
    case $code in
        "" | AccessDenied) ;; # restic will tell: the key may lack this right alone
        AuthorizationHeaderMalformed) [ -z "\${REGION:-}" ] || failed "$(explain "$code")" ;; # restic finds the region by itself
        *) failed "$(explain "$code")" ;;
    esac
}
# The server's key can overwrite what it may not delete.
check_versions() {
    [ "\${VERSIONS:-}" = needed ] || return 0
    ask_bucket versioning
    case $code in
        "") grep -q '<Status>Enabled</Status>' "$here/answer" || warn "the bucket $BUCKET keeps no old versions, so whoever breaks into the server can overwrite every set. Fix: turn its versioning on" ;;
        *) warn "whether the bucket $BUCKET keeps old versions cannot be seen. Fix: allow the key s3:GetBucketVersioning (docs/backups.md)" ;;
    esac
}
explain() {
    case $1 in
        InvalidAccessKeyId) echo "the store at $ENDPOINT does not know the access key id. Fix: see backups.accessKeyId" ;;
        SignatureDoesNotMatch) echo "the secret does not belong to the access key id. Fix: pulumi config set --secret backupSecretKey" ;;
        RequestTimeTooSkewed) echo "the clock is wrong: it is $(date -u) on this host, says the host. Fix: see timedatectl" ;;
        AuthorizationHeaderMalformed | InvalidRegion | IncorrectEndpoint | PermanentRedirect) echo "the bucket $BUCKET is not in region \${REGION:-us-east-1} of $ENDPOINT. Fix: see backups.region and backups.endpoint" ;;
        NoSuchBucket) echo "there is no bucket $BUCKET at $ENDPOINT. Fix: see backups.bucket, or make it, with versioning" ;;
        *) echo "the store at $ENDPOINT answers $1 when it is asked for the bucket $BUCKET" ;;
    esac
}

# Opens the repository; makes it where there is none.
open_repository() {
    reach
    check_versions
    patience=90 status=0
    restic cat config >"$here/answer" 2>"$here/said" </dev/null || status=$?
    case $status in
        0) ;;
        10)
            ask init </dev/null
            case \${PREVIOUS:-$REPOSITORY} in
                "$REPOSITORY") ;;
                *) warn "$REPOSITORY begins empty: the sets before are in $PREVIOUS, and stay there. Fix: if that was not meant, set backups.bucket, endpoint and prefix back" ;;
            esac
            ;;
        *) failed "$(meaning $status)" ;;
    esac
    # An empty server in the place of one that was lost would take no mail for anybody, and back that up.
    if [ "\${BEGINS:-}" = restore ] || has_data; then return; fi
    known=$(sets) # by itself, so that sets which cannot be read are not taken for none
    [ -z "$known" ] ||
        failed "this deployment has no data, and $REPOSITORY has sets of it. Fix: npm run restore brings back the newest; to begin anew, set backups.prefix to another folder"
}

# The sets that are complete, oldest first: \`ID SNAPSHOT\` a line. A set is two snapshots: its data, and, once all of that is in the
# bucket, the manifest.
sets() {
    ask snapshots --json
    jq -r '[.[] | {id, tags: (.tags // [])}] as $all
        | [$all[] | .id as $snapshot | .tags[] | select(startswith("set=")) | {key: .[4:], value: $snapshot}] | from_entries as $data
        | [$all[] | .tags[] | select(startswith("complete=")) | .[9:] | select($data[.])] | unique[] | "\\(.) \\($data[.])"' "$here/answer"
}
`;
