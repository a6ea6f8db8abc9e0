import { APT } from "./apt";

/**
 * Docker Engine: installs it where there is none, and merges what the deployment needs into daemon.json. An engine that is there is kept.
 * Reads ENGINE (`distribution` or `docker`, where a new one comes from). Runs as root, twice or a hundred times.
 */
export const ENGINE = `set -eu
${APT}
if ! command -v dockerd >/dev/null 2>&1; then
    echo "installing Docker ($ENGINE)"
    apt_update
    if [ "$ENGINE" = docker ]; then
        install_packages ca-certificates curl
        # shellcheck source=/dev/null
        . /etc/os-release
        install -m 0755 -d /etc/apt/keyrings
        curl -fsSL "https://download.docker.com/linux/$ID/gpg" -o /etc/apt/keyrings/docker.asc
        printf 'Types: deb\\nURIs: https://download.docker.com/linux/%s\\nSuites: %s\\nComponents: stable\\nSigned-By: /etc/apt/keyrings/docker.asc\\n' "$ID" "$VERSION_CODENAME" >/etc/apt/sources.list.d/docker.sources
        apt_update
        install_packages docker-ce docker-ce-cli containerd.io
    else
        # Debian 13 has the client in a package of its own.
        install_packages docker.io "$(apt-cache show docker-cli >/dev/null 2>&1 && echo docker-cli || echo docker.io)" apparmor iptables
    fi
fi

file=/etc/docker/daemon.json
mkdir -p /etc/docker /var/lib/forwardemail-host
[ -s $file ] || rm -f $file
before=$(cat $file 2>/dev/null || echo '{}')
if ! printf '%s' "$before" | jq -e 'type == "object"' >/dev/null 2>&1; then
    echo "$file is not a JSON object. Fix: mend it, or move it away." >&2
    exit 1
fi
if printf '%s' "$before" | jq -e '.iptables == false or .ip6tables == false' >/dev/null; then
    echo "$file turns off iptables or ip6tables: published ports would hide every client's address, and all mail would look local. Fix: remove it." >&2
    exit 1
fi
# A node of a swarm refuses to start with live-restore.
live='{ "live-restore": true }'
case $(docker info -f '{{.Swarm.LocalNodeState}}' 2>/dev/null) in "" | inactive) ;; *) live='{}' ;; esac
# What is there wins over what is only good to have; not over what the deployment is wrong without: through the userland
# proxy every IPv6 client has a private address, which the application trusts. Another log driver keeps its own options.
printf '%s' "$before" | jq --indent 4 -S --argjson live "$live" '. as $there
    | (if ($there."log-driver" // "json-file") == "json-file" then { "log-driver": "json-file", "log-opts": { "max-size": "10m", "max-file": "5" } } else {} end)
    * $live * $there * { "userland-proxy": false, "experimental": true, "ip6tables": true }' >$file.new
# shellcheck disable=SC2016
if [ -e $file ] && [ "$(jq -S . $file)" = "$(jq -S . $file.new)" ]; then rm $file.new
else
    dockerd --validate --config-file $file.new >/dev/null 2>&1 || [ "$(dockerd --help | grep -c -- --validate)" = 0 ] || { echo "Docker refuses $file.new. Fix: see dockerd --validate --config-file $file.new." >&2; exit 1; }
    [ -e /var/lib/forwardemail-host/daemon.json.before ] || printf '%s\\n' "$before" >/var/lib/forwardemail-host/daemon.json.before
    mv $file.new $file
    cp $file /var/lib/forwardemail-host/daemon.json.ours
    if ! systemctl restart docker; then
        journalctl -u docker -n 5 --no-pager -o cat >&2 || true
        if [ "$before" = '{}' ]; then rm $file; else printf '%s\\n' "$before" >$file; fi
        rm /var/lib/forwardemail-host/daemon.json.*
        systemctl reset-failed docker
        systemctl restart docker
        echo "Docker did not start with the new $file, which was taken back. Fix: see its words above." >&2
        exit 1
    fi
    echo "wrote $file, and restarted Docker"
fi
if ! systemctl is-enabled -q docker || ! systemctl is-active -q docker; then systemctl enable -q --now docker; fi
# Docker's provider comes as the user who logs in.
if [ -n "\${SUDO_USER:-}" ] && ! id -nG "$SUDO_USER" | grep -qw docker; then usermod -aG docker "$SUDO_USER"; echo "$SUDO_USER may use Docker now"; fi`;

/** Gives daemon.json back as it was, unless somebody changed it since. Docker itself stays, with everything that others run on it. */
export const UNDO_ENGINE = `set -eu
file=/etc/docker/daemon.json
kept=/var/lib/forwardemail-host
if [ -e $kept/daemon.json.ours ] && cmp -s $file $kept/daemon.json.ours; then
    if [ "$(cat $kept/daemon.json.before)" = '{}' ]; then rm $file; else cp $kept/daemon.json.before $file; fi
    systemctl restart docker
else
    echo "$file was changed by somebody else and stays as it is."
fi
rm -f $kept/daemon.json.*
echo "Docker itself stays, and so does the data directory."`;
