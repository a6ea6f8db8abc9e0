import { FOLDER } from "../../server/host/files";
import { FOLDER_OF } from "../../services/files";

/** Shell line: `known` is the folder where lego keeps the account. */
export const KNOWN = `# shellcheck disable=SC2153
known="$acme/accounts/$(printf %s "$DIRECTORY" | sed 's|^https://||; s|/.*||; s|:|_|')/$ACCOUNT"`;

/**
 * The script that keeps the certificate of a server valid: /etc/forwardemail/certificate, run by a timer and by each `up` that changes
 * it. It looks at every name before it asks the authority, asks for those that pass, checks what it got, and then changes files and
 * services one after the other. Whatever fails, the certificate that works stays. Its values are in certificate.conf beside it.
 * RENEW=now asks for a new one though the old one is not due. Ends with 0 when the certificate has all names and is not due.
 */
export const RENEW = `#!/bin/sh
set -euf # no globs: names may be wildcards
umask 077
# shellcheck source=/dev/null
. ${FOLDER}/certificate.conf
work='' told=''

note() { printf '%s\\n' "$*"; }
# Told to the log, to whoever started it, and to the webhook.
warn() {
    echo "warning: certificate: $*" >&2
    [ -z "\${ALERT:-}" ] || jq -cn --arg text "$STACK: certificate: $*" '{text: $text}' |
        curl -sS -m 20 -o /dev/null -H 'Content-Type: application/json' -d @- --config "$ALERT" || echo "warning: the webhook could not be told" >&2
}
failed() { told=1; warn "$*"; exit 1; }
# Nothing ends it in silence.
ended() {
    status=$?
    rm -rf "$work"
    [ $status -eq 0 ] || [ -n "$told" ] || warn "the renewal was cut short with status $status: journalctl -u forwardemail-certificate"
}
trap ended EXIT
trap 'exit 143' HUP INT TERM # without it, a signal would end the shell before the trap above
exec 9>/run/forwardemail-certificate.lock
flock -w 900 9 || failed "another renewal has run for 15 minutes"
work=$(mktemp -d)
${FOLDER_OF}
# shellcheck disable=SC2153
acme=$(folder_of "$ACME") keys=$(folder_of "$KEYS") router=$(folder_of "$ROUTER")
webroot=$router/acme # the router serves it
issued="$acme/certificates/$CERTIFICATE"
pending=$acme/.pending # while an installation is not finished: the version before it, and the readers that have not started again since
refused=$acme/.refused # fingerprint of a certificate that services did not come up with
${KNOWN}
account=$(jq -r '.registration.accountURL // empty' "$known/account.json" 2>/dev/null || true)

# --- what the authority would see -------------------------------------------------------------------------------------------
answers() { dig +short +time=3 +tries=2 "$2" "$1" 2>/dev/null | grep -v '^;' || true; }
# Without the names that an alias goes through.
addresses() { answers "$1" "$2" | grep -v '\\.$' || true; }

# Whether one of the records is for this authority, and for our account and challenge where it names them (RFC 8657).
one_allows() {
    sed 's/^[^"]*"//; s/"$//' | tr -d ' \\t' | awk -F ';' -v issuer="$CAA_ISSUER" -v account="$account" -v challenge="$CHALLENGE" '
        {
            good = $1 == issuer
            for (i = 2; i <= NF; i++) {
                if ($i ~ /^accounturi=/ && account != "" && substr($i, 12) != account) good = 0
                if ($i ~ /^validationmethods=/ && !index("," substr($i, 19) ",", "," challenge ",")) good = 0
            }
            if (good) found = 1
        }
        END { exit !found }'
}

# The closest name with CAA records decides (RFC 8659 §3).
caa_allows() {
    [ -n "\${CAA_ISSUER:-}" ] || return 0
    at=$1
    while case $at in *.*) true ;; *) false ;; esac; do
        records=$(answers "$at" CAA | grep -E '^[0-9]+ [a-z]+ ' || true)
        if [ -n "$records" ]; then
            # A wildcard goes by issuewild where there is one (§4.3).
            found=$(printf '%s\\n' "$records" | grep -E "^[0-9]+ $2 " || printf '%s\\n' "$records" | grep -E '^[0-9]+ issue ' || true)
            [ -z "$found" ] || printf '%s\\n' "$found" | one_allows || echo "CAA records of $at do not allow $CAA_ISSUER for this account by $CHALLENGE"
            return 0
        fi
        at=\${at#*.}
    done
}

# Says why the authority would refuse the name; nothing, when it would not.
obstacle() {
    name=$1
    case $name in \\**) caa_allows "\${name#*.}" issuewild; return ;; esac
    found=$(caa_allows "$name" issue)
    if [ -n "$found" ]; then echo "$found"; return; fi
    [ "$CHALLENGE" = http-01 ] || return 0
    v4=$(addresses "$name" A) v6=$(addresses "$name" AAAA)
    if [ -z "$v4$v6" ]; then echo "has no address in DNS"; return; fi
    # An authority takes any of them.
    # shellcheck disable=SC2153
    if [ -n "$v4" ] && printf '%s\\n' "$v4" | grep -qvxF "$IPV4"; then echo "leads to $(echo "$v4" | tr '\\n' ' '), not to $IPV4"; return; fi
    # It tries IPv6 first.
    if [ -n "$v6" ] && printf '%s\\n' "$v6" | grep -qvxF "\${IPV6:-none}"; then echo "has the IPv6 address $(echo "$v6" | tr '\\n' ' '), which is not this server's"; return; fi
    got=$(curl -sS -m 10 "http://$name/.well-known/acme-challenge/$probe" 2>&1) || true
    [ "$got" = "$probe" ] || echo "port 80 does not answer with our file: $(printf %s "$got" | tr -d '\\r' | head -n 1 | cut -c 1-120)"
}

look() {
    (umask 022; mkdir -p "$webroot/.well-known/acme-challenge")
    probe="probe-$$-$(date +%s)"
    if [ "$CHALLENGE" = http-01 ]; then
        (umask 022; printf %s "$probe" >"$webroot/.well-known/acme-challenge/$probe")
    fi
    rm -rf "$work/seen"
    mkdir "$work/seen"
    for one in $NAMES; do obstacle "$one" >"$work/seen/$one" & done
    wait
    rm -f "$webroot/.well-known/acme-challenge/$probe"
    good='' bad=''
    for one in $NAMES; do if [ -s "$work/seen/$one" ]; then bad="$bad $one"; else good="$good $one"; fi; done
}
why() { for one in $bad; do printf '%s: %s; ' "$one" "$(cat "$work/seen/$one")"; done; }

covers() { openssl x509 -in "$1" -noout -checkhost "$2" 2>/dev/null | grep -q 'does match'; }
left() { [ -e "$1" ] && openssl x509 -in "$1" -noout -checkend "$2" >/dev/null 2>&1; }

# --- ask ---------------------------------------------------------------------------------------------------------------------
# A set of names that lacks one that the present certificate has is asked for only where that one is about to expire.
choose() {
    for one in $bad; do
        if is_ours && left "$keys/fullchain.pem" 604800 && covers "$keys/fullchain.pem" "$one"; then
            failed "it stays as it is, because these names would be refused: $(why)"
        fi
    done
    [ -n "$good" ] || failed "no name would pass, so the authority was not asked: $(why)"
}
# Only we make links: the services read a certificate that was asked for here, under this name or another.
is_ours() { [ -L "$keys/fullchain.pem" ]; }

key_of() { openssl pkey -in "$1" -pubout 2>/dev/null; }
key_in() { openssl x509 -in "$1" -noout -pubkey 2>/dev/null; }
# lego renews with its own copy of the key, and cannot go on with a file that a full disk left empty: without its files it begins anew.
heal() {
    ours=$(key_of "$acme/$LEAF") || return 0
    is_whole || rm -f "$issued.crt" "$issued.issuer.crt" "$issued.key" "$issued.json"
}
is_whole() {
    [ "$(key_in "$issued.crt")" = "$ours" ] && [ "$(key_of "$issued.key")" = "$ours" ] &&
        [ -s "$issued.issuer.crt" ] && jq -e . "$issued.json" >/dev/null 2>&1
}

ask() {
    set -- --path /lego --server "$DIRECTORY" --account-id "$ACCOUNT" --email "$EMAIL" --accept-tos --cert.name "$CERTIFICATE" \\
        --private-key "/lego/$LEAF" --reuse-key --force-cert-domains --no-random-sleep
    [ "\${RENEW:-}" != now ] || set -- "$@" --renew-force
    case $CHALLENGE in
        http-01) set -- "$@" --http --http.webroot /webroot ;;
        *) set -- "$@" --dns "$DNS_PROVIDER" ;;
    esac
    for one in $good; do set -- "$@" --domains "$one"; done
    docker run --rm --cap-drop ALL --security-opt no-new-privileges --env-file ${FOLDER}/certificate.secret \\
        -v "$ACME:/lego" -v "$webroot:/webroot" "$LEGO" run "$@" >"$work/lego" 2>&1
}

# --- look at what came -------------------------------------------------------------------------------------------------------
begins() { date -d "$(openssl x509 -in "$1" -noout -startdate | cut -d = -f 2)" +%s; }
check() {
    new="$issued.crt"
    [ "$(key_in "$new")" = "$(key_of "$acme/$LEAF")" ] || { echo "it is for another key than ours"; return 1; }
    for one in $good; do
        covers "$new" "$one" || { echo "it does not have the name $one"; return 1; }
    done
    left "$new" 3600 || { echo "it expires within an hour"; return 1; }
    [ "$(begins "$new")" -le "$(($(date +%s) + 60))" ] || { echo "it is not valid yet: is the clock right?"; return 1; }
    set -- -untrusted "$issued.crt"
    case $TRUST in
        system) ;;
        roots) set -- "$@" -CAfile "$acme/roots.pem" ;;
        none) set -- "$@" -partial_chain -CAfile "$issued.issuer.crt" ;;
    esac
    openssl verify "$@" "$new" >"$work/verify" 2>&1 || { echo "its chain does not verify: $(tail -n 1 "$work/verify")"; return 1; }
    # One of another key or authority may be newer: it was in use in between.
    case $(version_of "$keys") in
        ".tls-$CERTIFICATE-"*) ! left "$keys/fullchain.pem" 0 || [ "$(begins "$new")" -ge "$(begins "$keys/fullchain.pem")" ] || { echo "it is older than the one in use"; return 1; } ;;
    esac
}

# --- change ------------------------------------------------------------------------------------------------------------------
# What the services read, by the names that they read: a link, or a mark, may say more than is there.
is_installed() {
    for place; do
        cmp -s "$acme/$LEAF" "$place/privkey.pem" && cmp -s "$issued.crt" "$place/fullchain.pem" && cmp -s "$issued.issuer.crt" "$place/chain.pem" || return 1
    done
}
version_of() { if [ -L "$1/fullchain.pem" ]; then readlink "$1/tls" || true; fi; }
mark() { printf '%s\\n%s\\n' "$1" "$2" >"$pending.new"; mv "$pending.new" "$pending"; }
marked() { sed -n "$1p" "$pending"; }

# Key, certificate and chain change together: they are in a folder that a link names, and on the disk before it does.
install_in() {
    place=$1 owner=$(stat -c %u:%g "$1") folder=$1/$version
    mkdir "$folder"
    cp "$acme/$LEAF" "$folder/privkey.pem"
    cp "$issued.crt" "$folder/fullchain.pem"
    cp "$issued.issuer.crt" "$folder/chain.pem"
    chmod 0440 "$folder/privkey.pem" "$folder/fullchain.pem" "$folder/chain.pem"
    chmod 0750 "$folder"
    chown -R "$owner" "$folder"
    sync -f "$folder"
    point "$place" "$version"
    for file in privkey.pem fullchain.pem chain.pem; do
        [ -L "$place/$file" ] || { ln -sfn "tls/$file" "$place/.$file.new"; mv -T "$place/.$file.new" "$place/$file"; }
    done
}
point() { ln -sfn "$2" "$1/.tls.new"; mv -T "$1/.tls.new" "$1/tls"; }

container_of() { docker ps -q --filter "label=forwardemail.stack=$STACK" --filter "label=forwardemail.service=$1" | head -n 1; }
health() { docker inspect -f '{{.State.Health.Status}}' "$1" 2>/dev/null || true; }
healthy() {
    tries=0
    until [ "$(health "$1")" = healthy ]; do
        tries=$((tries + 1))
        [ $tries -le $((START_TIMEOUT * 2)) ] || return 1
        sleep 0.5
    done
}
restart() { docker restart "$1" >/dev/null && healthy "$1"; }

# A twin under the same name in the network answers meanwhile: the router asks the one when the other does not. It is not of the stack,
# whose own runs would take it for a container too many.
restart_behind() {
    name=$(docker inspect -f '{{.Name}}' "$1" | tr -d /)
    docker rm -f "$name-twin" >/dev/null 2>&1 || true
    docker inspect "$1" | jq --arg name "$name" '.[0] as $c | $c.Config + {Hostname: ($c.Config.Hostname + "-twin"),
        Labels: (($c.Config.Labels // {}) | with_entries(select(.key | startswith("forwardemail.") | not))), HostConfig: $c.HostConfig,
        NetworkingConfig: {EndpointsConfig: ($c.NetworkSettings.Networks | map_values({Aliases: [$name]}))}}' |
        curl -sS --fail-with-body --unix-socket "\${DOCKER_HOST#unix://}" -H 'Content-Type: application/json' -d @- -o "$work/twin" "http://docker/containers/create?name=$name-twin" ||
        { echo "warning: certificate: $name gets no twin: $(head -c 200 "$work/twin" 2>/dev/null)" >&2; restart "$1"; return; }
    docker start "$name-twin" >/dev/null
    done=0
    # Each time the router has to learn who is there before the other goes: it keeps addresses for up to two seconds (\`valid=1s\`, in whole seconds).
    if healthy "$name-twin"; then sleep 2; restart "$1" || done=1; sleep 2; else echo "the twin of $name did not become healthy" >&2; done=1; fi
    docker stop "$name-twin" >/dev/null
    docker rm -f "$name-twin" >/dev/null
    return $done
}

# Sorts readers into those that are well, and those whose restart would help nobody, and say nothing of the certificate.
sort_readers() {
    well='' sick=''
    for service; do
        container=$(container_of "$service")
        [ -n "$container" ] || continue
        case $(health "$container") in
            healthy) well="$well $service" ;;
            starting) if healthy "$container"; then well="$well $service"; else sick="$sick $service"; fi ;; # the server may have just booted
            *) sick="$sick $service" ;;
        esac
    done
}
start_again() {
    container=$(container_of "$1")
    [ -n "$container" ] || return 0
    case " $ROUTED " in *" $1 "*) restart_behind "$container" ;; *) restart "$container" ;; esac
}
# Names the first that does not come up, and leaves those after it alone.
restart_all() { for service in $well; do start_again "$service" || { echo "$service"; return 1; }; done; }
reload_router() {
    container=$(container_of router)
    [ -z "$container" ] || docker exec "$container" nginx -c "$ROUTER_CONF" -s reload 2>/dev/null || true
}

# Says how it went; the same certificate is not tried again by itself.
roll_back() {
    stuck=$1
    shift
    for place; do [ ! -d "$place/$before" ] || point "$place" "$before"; done
    reload_router
    still=''
    for service in $well; do start_again "$service" >/dev/null || still="$still $service"; done
    echo "$fingerprint" >"$refused"
    rm -f "$pending"
    [ -z "$still" ] || failed "$stuck did not come up with the new one, and with the old one, which is back, these did not:$still"
    failed "$stuck did not come up with the new one, so the old one is back"
}

# Begins an installation; \`finish\` ends it, in this run or in a later one.
begin() {
    reason=$(check) || failed "what the authority gave is not installed: $reason"
    if [ -e "$pending" ]; then before=$(marked 1); else before=$(version_of "$keys"); fi
    mark "$before" "$READERS"
    version=.tls-$CERTIFICATE-$fingerprint-$(date +%s%N)
    for place; do install_in "$place"; done
}
finish() {
    before=$(marked 1)
    case $before in *"-$fingerprint-"*) before='' ;; esac # the same certificate is no way back
    # shellcheck disable=SC2046
    sort_readers $(marked 2)
    reload_router
    if ! stuck=$(restart_all); then
        [ -z "$before" ] || roll_back "$stuck" "$@"
        failed "$stuck did not come up with the new one"
    fi
    for place; do find "$place" -maxdepth 1 -name '.tls-*' ! -name "$(readlink "$place/tls")" -exec rm -rf {} +; done
    rm -f "$refused"
    if [ -n "$sick" ]; then
        mark "$(version_of "$keys")" "$sick"
        warn "these were not healthy before, and start again with it when they are:$sick"
    else rm -f "$pending"; fi
    note "installed a certificate for$good until $(ends)"
}
ends() { openssl x509 -in "$issued.crt" -noout -enddate | cut -d = -f 2; }

# -----------------------------------------------------------------------------------------------------------------------------
docker ps -aq --filter "name=^/?$STACK-.*-twin$" | xargs -r docker rm -f >/dev/null || true # of a run that was cut short
tries=0
while look; [ -n "$bad" ] && [ $tries -lt "\${PATIENCE:-0}" ]; do tries=$((tries + 10)); sleep 10; done
choose
heal
ask || failed "the authority gave none, and the old one stays: $(grep -iE 'error|warn' "$work/lego" | tail -n 3 | tr '\\n' ' ' | cut -c 1-600)"
fingerprint=$(openssl x509 -in "$issued.crt" -noout -fingerprint -sha256 | cut -d = -f 2 | tr -d : | cut -c 1-16)
set -- "$keys"
if [ -e "$router/fullchain.pem" ] || [ -L "$router/fullchain.pem" ]; then set -- "$@" "$router"; fi
if ! is_installed "$@"; then
    if [ "\${RENEW:-}" != now ] && [ "$(cat "$refused" 2>/dev/null)" = "$fingerprint" ]; then
        failed "services did not come up with what the authority gave, and it is not tried again: RENEW=now ${FOLDER}/certificate asks for another"
    fi
    begin "$@"
fi
if [ -e "$pending" ]; then finish "$@"; else note "not due until the authority says so; it ends $(ends)"; fi
[ -z "$bad" ] || failed "it lacks names that would be refused: $(why)"
`;
