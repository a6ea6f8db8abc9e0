import { FOLDER } from "../../server/host/folder";
import { FOLDER_OF } from "../../services/files";

/**
 * The script that keeps the certificate of a server valid: /etc/forwardemail/certificate, run by a timer and by each `up` that changes
 * it. It looks at every name before it asks the authority, asks for those that pass, checks what it got, and then changes files and
 * services one after the other. Whatever fails, the certificate that works stays. Its values are in certificate.conf beside it.
 * RENEW=now asks for a new one though the old one is not due. Ends with 0 when the certificate has all names and is not due.
 */
export const RENEW = `#!/bin/sh
set -eu
umask 077
# shellcheck source=/dev/null
. ${FOLDER}/certificate.conf
exec 9>/run/forwardemail-certificate.lock
flock -w 900 9 || { echo "another renewal has run for 15 minutes" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

note() { printf '%s\\n' "$*"; }
# Told to the log, to whoever started it, and to the webhook.
failed() {
    echo "warning: certificate: $*" >&2
    [ -z "\${ALERT:-}" ] || jq -cn --arg text "$STACK: certificate: $*" '{text: $text}' |
        curl -sS -m 20 -o /dev/null -H 'Content-Type: application/json' -d @- --config "$ALERT" || echo "warning: the webhook could not be told" >&2
}
${FOLDER_OF}
# shellcheck disable=SC2153
acme=$(folder_of "$ACME") keys=$(folder_of "$KEYS") router=$(folder_of "$ROUTER")
webroot=$router/acme # the router serves it
issued="$acme/certificates/$CERTIFICATE"

# --- what the authority would see -------------------------------------------------------------------------------------------
answers() { dig +short +time=3 +tries=2 "$2" "$1" 2>/dev/null | grep -v '^;' || true; }

# The closest name with CAA records decides (RFC 8659 §3).
caa_allows() {
    [ -n "\${CAA_ISSUER:-}" ] || return 0
    at=$1
    while case $at in *.*) true ;; *) false ;; esac; do
        records=$(answers "$at" CAA | grep -E '^[0-9]+ [a-z]+ ' || true)
        if [ -n "$records" ]; then
            # A wildcard goes by issuewild where there is one (§4.3).
            found=$(printf '%s\\n' "$records" | grep -E "^[0-9]+ $2 " || printf '%s\\n' "$records" | grep -E '^[0-9]+ issue ' || true)
            [ -z "$found" ] || printf '%s\\n' "$found" | grep -qE "\\"$CAA_ISSUER(\\"|;| )" || echo "CAA records of $at do not allow $CAA_ISSUER"
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
    v4=$(answers "$name" A) v6=$(answers "$name" AAAA)
    if [ -z "$v4$v6" ]; then echo "has no address in DNS"; return; fi
    # shellcheck disable=SC2153
    if [ -n "$v4" ] && ! printf '%s\\n' "$v4" | grep -qxF "$IPV4"; then echo "leads to $(echo "$v4" | tr '\\n' ' '), not to $IPV4"; return; fi
    # An authority tries IPv6 first.
    if [ -n "$v6" ] && { [ -z "\${IPV6:-}" ] || ! printf '%s\\n' "$v6" | grep -qxF "$IPV6"; }; then echo "has the IPv6 address $(echo "$v6" | tr '\\n' ' '), which is not this server's"; return; fi
    got=$(curl -sS -m 10 "http://$name/.well-known/acme-challenge/$probe" 2>&1) || true
    [ "$got" = "$probe" ] || echo "port 80 does not answer with our file: $(printf %s "$got" | tr -d '\\r' | head -n 1 | cut -c 1-120)"
}

look() {
    (umask 022; mkdir -p "$webroot/.well-known/acme-challenge")
    probe="probe-$$-$(date +%s)"
    if [ "$CHALLENGE" = http-01 ]; then
        (umask 022; printf %s "$probe" >"$webroot/.well-known/acme-challenge/$probe")
    fi
    rm -f "$work"/seen.*
    for one in $NAMES; do obstacle "$one" >"$work/seen.$one" & done
    wait
    rm -f "$webroot/.well-known/acme-challenge/$probe"
    good='' bad=''
    for one in $NAMES; do if [ -s "$work/seen.$one" ]; then bad="$bad $one"; else good="$good $one"; fi; done
}
why() { for one in $bad; do printf '%s: %s; ' "$one" "$(cat "$work/seen.$one")"; done; }

covers() { openssl x509 -in "$1" -noout -checkhost "$2" 2>/dev/null | grep -q 'does match'; }
left() { [ -e "$1" ] && openssl x509 -in "$1" -noout -checkend "$2" >/dev/null 2>&1; }

# --- ask ---------------------------------------------------------------------------------------------------------------------
# A set of names that lacks one that the present certificate has is asked for only where that one is about to expire.
choose() {
    for one in $bad; do
        if left "$keys/fullchain.pem" 604800 && [ -e "$issued.crt" ] && covers "$keys/fullchain.pem" "$one"; then
            failed "it stays as it is, because these names would be refused: $(why)"
            exit 1
        fi
    done
    [ -n "$good" ] || { failed "no name would pass, so the authority was not asked: $(why)"; exit 1; }
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
public_key() { openssl pkey -pubout -outform DER | sha256sum; }
check() {
    new="$issued.crt"
    [ "$(openssl x509 -in "$new" -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum)" = "$(public_key <"$acme/$LEAF")" ] ||
        { echo "it is for another key than ours"; return 1; }
    for one in $good; do
        case $one in \\**) continue ;; esac
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
    if [ -L "$keys/tls" ] && [ "$(begins "$new")" -lt "$(begins "$keys/fullchain.pem")" ]; then echo "it is older than the one in use"; return 1; fi
}

# --- change ------------------------------------------------------------------------------------------------------------------
# Key, certificate and chain change together: they are in a folder that a link names.
install_in() {
    place=$1 owner=$(stat -c %u:%g "$1") version=.tls-$fingerprint
    rm -rf "\${place:?}/$version"
    mkdir "$place/$version"
    cp "$acme/$LEAF" "$place/$version/privkey.pem"
    cp "$issued.crt" "$place/$version/fullchain.pem"
    cp "$issued.issuer.crt" "$place/$version/chain.pem"
    chmod 0440 "$place/$version"/*
    chmod 0750 "$place/$version"
    chown -R "$owner" "$place/$version"
    point "$place" "$version"
    for file in privkey.pem fullchain.pem chain.pem; do
        [ -L "$place/$file" ] || { ln -sfn "tls/$file" "$place/.$file.new"; mv -T "$place/.$file.new" "$place/$file"; }
    done
}
point() { ln -sfn "$2" "$1/.tls.new"; mv -T "$1/.tls.new" "$1/tls"; }

container_of() { docker ps -q --filter "label=forwardemail.stack=$STACK" --filter "label=forwardemail.service=$1" | head -n 1; }
healthy() {
    tries=0
    until [ "$(docker inspect -f '{{.State.Health.Status}}' "$1" 2>/dev/null)" = healthy ]; do
        tries=$((tries + 1))
        [ $tries -le $((START_TIMEOUT * 2)) ] || return 1
        sleep 0.5
    done
}
restart() { docker restart "$1" >/dev/null && healthy "$1"; }

# A twin under the same name in the network answers meanwhile: the router asks the one when the other does not.
restart_behind() {
    name=$(docker inspect -f '{{.Name}}' "$1" | tr -d /)
    docker rm -f "$name-twin" >/dev/null 2>&1 || true
    docker inspect "$1" | jq --arg name "$name" '.[0] as $c | $c.Config + {Hostname: ($c.Config.Hostname + "-twin"), HostConfig: $c.HostConfig,
        NetworkingConfig: {EndpointsConfig: ($c.NetworkSettings.Networks | map_values({Aliases: [$name]}))}}' |
        curl -sS --fail-with-body --unix-socket "\${DOCKER_HOST#unix://}" -H 'Content-Type: application/json' -d @- -o "$work/twin" "http://docker/containers/create?name=$name-twin" ||
        { echo "warning: certificate: $name gets no twin: $(head -c 200 "$work/twin" 2>/dev/null)" >&2; restart "$1"; return; }
    docker start "$name-twin" >/dev/null
    done=0
    if healthy "$name-twin"; then restart "$1" || done=1; else echo "the twin of $name did not become healthy" >&2; done=1; fi
    docker stop "$name-twin" >/dev/null
    docker rm -f "$name-twin" >/dev/null
    return $done
}

restart_all() {
    for service in $READERS; do
        container=$(container_of "$service")
        [ -n "$container" ] || continue
        case " $ROUTED " in *" $service "*) restart_behind "$container" ;; *) restart "$container" ;; esac || { echo "$service"; return 1; }
    done
}
reload_router() {
    container=$(container_of router)
    [ -z "$container" ] || docker exec "$container" nginx -c "$ROUTER_CONF" -s reload 2>/dev/null || true
}

# -----------------------------------------------------------------------------------------------------------------------------
tries=0
while look; [ -n "$bad" ] && [ $tries -lt "\${PATIENCE:-0}" ]; do tries=$((tries + 10)); sleep 10; done
choose
ask || { failed "the authority gave none, and the old one stays: $(grep -iE 'error|warn' "$work/lego" | tail -n 3 | tr '\\n' ' ' | cut -c 1-600)"; exit 1; }
fingerprint=$(openssl x509 -in "$issued.crt" -noout -fingerprint -sha256 | cut -d = -f 2 | tr -d : | cut -c 1-16)
if [ "$(readlink "$keys/tls" 2>/dev/null)" != ".tls-$fingerprint" ]; then
    reason=$(check) || { failed "what the authority gave is not installed: $reason"; exit 1; }
    before=$(readlink "$keys/tls" || true)
    install_in "$keys"
    [ ! -e "$router/fullchain.pem" ] || install_in "$router"
    reload_router
    if ! stuck=$(restart_all); then
        if [ -n "$before" ]; then point "$keys" "$before"; restart_all >/dev/null || true; fi
        failed "$stuck did not come up with the new one\${before:+, so the old one is back}"
        exit 1
    fi
    for place in "$keys" "$router"; do
        find "$place" -maxdepth 1 -name '.tls-*' ! -name ".tls-$fingerprint" -exec rm -rf {} +
    done
    note "installed a certificate for$good until $(openssl x509 -in "$issued.crt" -noout -enddate | cut -d = -f 2)"
else
    note "not due until the authority says so; it ends $(openssl x509 -in "$issued.crt" -noout -enddate | cut -d = -f 2)"
fi
[ -z "$bad" ] || { failed "it lacks names that would be refused: $(why)"; exit 1; }
`;
