import type { ServerSettings, Settings } from "../../settings/settings";
import { publishedPorts } from "../../services/catalogue";
import { LISTED } from "./blockLists";
import { FILE_SYSTEMS } from "./disk";
import { WOULD_CLOSE } from "./firewall";
import { LOGICAL_VOLUME } from "./logicalVolume";

/** One finding about a host, before anything on it is changed. */
export interface Check {
    level: "pass" | "warn" | "fail";
    check: string;
    found: string;
    /** What to do about it; empty on pass. */
    fix: string;
}

/** Where a mail server must get to: a large receiver, the image registries, a package mirror. */
export const REACH = ["gmail-smtp-in.l.google.com:25", "ghcr.io:443", "registry-1.docker.io:443", "deb.debian.org:80"];

/** Variables of {@link PREFLIGHT}. */
export interface PreflightValues extends Record<string, string> {
    /** Where the data will be; it need not exist. */
    DATA_DIRECTORY: string;
    /** Disk that will be mounted there; empty where none is. */
    DEVICE: string;
    /** Ports that the deployment publishes, with spaces between. */
    PORTS: string;
    /** `host:port` that must be reachable, with spaces between. */
    REACH: string;
    /** `open` where outbound port 25 must be, else empty: then it is only looked at. */
    OUTBOUND_25: string;
    /** Block lists to ask about the server's addresses, with spaces between. */
    BLOCK_LISTS: string;
    /** Domains to ask the list of names about, with spaces between. */
    DOMAINS: string;
    /** The outer address, where the cloud translates it to the server's own; empty where it does not. */
    ELASTIC_ADDRESS: string;
    /** Ports that the firewall will leave open, with spaces between; empty where none is set up. */
    OPEN: string;
    /** Name of the deployment: its own containers may hold the ports. */
    STACK: string;
    /** `yes` where backups copy the data at one moment. */
    BACKUPS: string;
}

/** What the preflight of a stack's server looks for. */
export function preflightValues(
    { name, host, domains, profile, network, data, firewall, backups }: Settings,
    { reach, blockLists, engine, login, aws }: ServerSettings,
): PreflightValues {
    const ports = publishedPorts(profile, network.portOffset);
    return {
        DATA_DIRECTORY: data.directory ?? "/var/lib/docker",
        DEVICE: data.device ?? "",
        PORTS: ports.join(" "),
        OPEN: engine ? [...ports, ...firewall.allow, login?.port].join(" ") : "",
        REACH: reach.join(" "),
        OUTBOUND_25: aws?.outbound25 === "open" ? "open" : "",
        BLOCK_LISTS: blockLists.join(" "),
        DOMAINS: blockLists.length > 0 ? [...new Set([...domains, host])].join(" ") : "",
        ELASTIC_ADDRESS: "",
        STACK: name,
        BACKUPS: backups ? "yes" : "",
    };
}

/**
 * Looks at a host and changes nothing. Runs as root by POSIX sh on Debian and Ubuntu, twice or a hundred times. One line a check:
 * level, check, found and fix, with tabs between. Reads the variables of {@link PreflightValues}.
 */
export const PREFLIGHT = `set -u
tab=$(printf '\\t')
say() { printf '%s\\t%s\\t%s\\t%s\\n' "$1" "$2" "$3" "\${4:-}"; }
has() { command -v "$1" >/dev/null 2>&1; }

${WOULD_CLOSE}
${LOGICAL_VOLUME}
${LISTED}

os() {
    # shellcheck source=/dev/null
    . /etc/os-release
    case "$ID-\${VERSION_ID:-}" in
        debian-12 | debian-13 | ubuntu-22.04 | ubuntu-24.04) say pass os "$PRETTY_NAME" ;;
        debian-* | ubuntu-*) say warn os "$PRETTY_NAME" "Debian 12 or 13, Ubuntu 22.04 or 24.04 are what is tried" ;;
        *) say fail os "$PRETTY_NAME" "install Debian 12 or 13, or Ubuntu 22.04 or 24.04" ;;
    esac
    if [ -d /proc/vz ] && [ ! -d /proc/bc ]; then say fail virtualisation OpenVZ "Docker does not run there: take a KVM machine"; fi
}

processor() {
    machine=$(uname -m)
    case $machine in
        x86_64)
            # MongoDB 5.0 and newer end with an illegal instruction without AVX (MongoDB manual, Production Notes, x86_64).
            if grep -qw avx /proc/cpuinfo; then say pass processor "$machine with AVX"; else
                say fail processor "$machine without AVX, which MongoDB needs" "take another kind of machine, or CPU type host at the hypervisor"; fi ;;
        aarch64)
            # ARMv8.2-A, which has atomics (same page).
            if grep -qw atomics /proc/cpuinfo; then say pass processor "$machine with atomics"; else
                say fail processor "$machine below ARMv8.2-A, which MongoDB needs" "take a newer machine"; fi ;;
        *) say fail processor "$machine" "the images are made for x86_64 and aarch64" ;;
    esac
}

memory() {
    # A machine of 2 GB shows less: the kernel keeps some.
    megabytes=$(($(sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo) / 1024))
    free=$(awk '/^MemTotal:/ { all = $2 } /^MemAvailable:/ { free = $2 } END { print int(100 * free / all) }' /proc/meminfo)
    if [ "$megabytes" -lt 1800 ]; then say fail memory "$megabytes MiB" "take a machine with 4 GB"
    elif [ "$free" -lt 10 ]; then say warn memory "$free % of $megabytes MiB available" "see docker stats, and which other program takes so much: ps aux --sort=-rss"
    elif [ "$megabytes" -lt 3600 ]; then say warn memory "$megabytes MiB" "4 GB leave room for searches and many clients"
    else say pass memory "$megabytes MiB"; fi
}

there_of() { # a folder that exists, for one that need not
    there=$1
    while [ ! -d "$there" ]; do there=$(dirname "$there"); done
    echo "$there"
}
free_at() { echo $(($(df -Pk "$(there_of "$1")" | awk 'NR == 2 { print $4 }') / 1048576)); } # GiB

disk() {
    if [ -n "\${DEVICE:-}" ] && ! mountpoint -q "$DATA_DIRECTORY"; then
        tries=0 # one that was attached just now
        until [ -b "$DEVICE" ] || [ $tries -ge 15 ]; do tries=$((tries + 1)); sleep 1; done
        if [ ! -b "$DEVICE" ]; then say fail disk "there is no disk $DEVICE" "attach it to the server, and see ls -l /dev/disk/by-id"; return; fi
        found=$(wipefs --noheadings --output TYPE "$(readlink -f "$DEVICE")" | tr '\\n' ' ')
        case $found in
            "" | ${FILE_SYSTEMS.map((type) => `"${type} "`).join(" | ")}) ;;
            *) say fail disk "$DEVICE holds something else: $found" "see lsblk -f; empty it (wipefs -a) if nobody needs it, or name another in data.device"; return ;;
        esac
        place="on $DEVICE"
        gigabytes=$(($(lsblk -bdno SIZE "$DEVICE") / 1073741824))
    else
        place="free for $DATA_DIRECTORY"
        gigabytes=$(free_at "$DATA_DIRECTORY")
        used=$(df -P "$(there_of "$DATA_DIRECTORY")" | awk 'NR == 2 { print $5 + 0 }')
    fi
    images=$(free_at /var/lib/docker)
    if [ "$images" -lt 8 ] && ! has docker; then say fail disk "$images GiB free for /var/lib/docker" "the images need about 6 GiB: make room"; return; fi
    if [ "$gigabytes" -lt 20 ]; then say warn disk "$gigabytes GiB $place" "20 GiB are little for mail; make room or add a disk"
    elif [ "\${used:-0}" -gt 85 ]; then say warn disk "$gigabytes GiB $place, $used % in use" "make room or add a disk before it is full: no mail is taken then"
    else say pass disk "$gigabytes GiB $place"; fi
}

ports() {
    if ! has ss; then say warn ports "cannot be looked at: ss is missing" "apt-get install iproute2"; return; fi
    ours=
    ! has docker || ours=$(docker ps --filter "label=forwardemail.stack=$STACK" --format '{{.Ports}}' 2>/dev/null)
    taken=
    for port in $PORTS; do
        case " $ours" in *":$port->"*) continue ;; esac
        who=$(ss -Hltnp "sport = :$port" | sed -n 's/.*users:(("\\([^"]*\\)".*/\\1/p' | sort -u | tr '\\n' ' ')
        [ -n "$(ss -Hltn "sport = :$port")" ] || has_published "$port" || continue
        taken="$taken$port (\${who:-a container }) "
    done
    if [ -n "$taken" ]; then say fail ports "taken: $taken" "stop these programs (ss -ltnp and docker ps show them); a mail server of the distribution goes with apt-get purge"
    else say pass ports "free, or ours: $PORTS"; fi
}
# Without a userland proxy a published port listens nowhere.
clones() {
    [ -n "\${BACKUPS:-}" ] || return 0
    if [ -n "\${DEVICE:-}" ] && ! mountpoint -q "$DATA_DIRECTORY"; then return; fi # a blank disk gets XFS
    there=$(there_of "$DATA_DIRECTORY")
    case $(findmnt -n -o FSTYPE -T "$there") in
        xfs | btrfs) say pass backups "the file system of $DATA_DIRECTORY clones" ;;
        *)
            volume=$(volume_of "$there")
            stores=$(du -sbc "$DATA_DIRECTORY/mongodb" "$DATA_DIRECTORY/redis" "$DATA_DIRECTORY/mailboxes" 2>/dev/null | awk 'END { print $1 + 0 }')
            needed=$(snapshot_bytes "$stores")
            if [ -n "$volume" ] && [ "$(free_for_snapshots "$volume")" -ge "$needed" ]; then say pass backups "$DATA_DIRECTORY is on a logical volume with room for a snapshot: $volume"
            else say warn backups "$(findmnt -n -o FSTYPE -T "$there") does not clone: services stand still while a backup copies what changed, and it needs room for a second copy" "XFS for data.directory: a disk of its own, data.device\${volume:+; or leave $((needed / 1048576)) MiB free in $(keeper_of "$volume") for a snapshot}"; fi
            ;;
    esac
}

has_published() { has docker && docker ps --format '{{.Ports}}' 2>/dev/null | grep -q ":$1->"; }

neighbours() {
    has docker || return 0
    others=$(docker ps --format '{{.Names}} {{.Label "forwardemail.stack"}}' 2>/dev/null | awk 'NF < 2 { print $1 }' | tr '\\n' ' ')
    # The application trusts private addresses (upstream helpers, regex-localhost): so its neighbours are on its allow list.
    closed=
    [ -z "\${OPEN:-}" ] || closed=$(would_close)
    [ -z "$closed" ] || say fail firewall "it would close ports that other containers publish: $closed" "list those that stay open in firewall.allow, or stop the containers"
    bridges=$(docker network ls -q --filter driver=bridge 2>/dev/null | xargs -r docker network inspect -f '{{index .Options "com.docker.network.bridge.name"}}' 2>/dev/null | grep -vE '^(docker.*|br-.*|)$' | tr '\\n' ' ')
    [ -z "\${OPEN:-}" ] || [ -z "$bridges" ] || say warn bridges "the firewall does not look at networks with a bridge name of their own: $bridges" "let Docker name them (br-...), or see to their ports yourself"
    [ -z "$others" ] || say warn neighbours "other containers: $others" "the application trusts mail from private addresses: see that none of them can be made to send"
}

closing() {
    [ -n "\${OPEN:-}" ] && has ss || return 0
    # The client's side of DHCP stays open.
    closed=$(ss -Hlntup | awk -v open=" $OPEN " '{
        at = $5; port = at; sub(/.*:/, "", port); sub(/:[0-9]*$/, "", at)
        if (at ~ /^(127\\.|\\[::1\\])/ || port ~ /^(68|546)$/ || ($1 == "tcp" && index(open, " " port " ")) || ($1 == "udp" && index(open, " " port "/udp "))) next
        who = match($0, /\\(\\("[^"]*"/) ? substr($0, RSTART + 3, RLENGTH - 4) : "?"
        print port "/" $1 " (" who ")" }' | sort -u | tr '\\n' ' ')
    [ -n "$closed" ] || return 0
    # A tunnel that ends here lives on for a while when its port is closed: long enough to fool the look whether one can still connect.
    via=$(ip route get "$(echo "\${SSH_CONNECTION:-}" | cut -d ' ' -f 1)" 2>/dev/null | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p')
    case $via in
        wg* | tun* | tap* | tailscale* | zt*) say fail closing "this connection comes through $via, and from outside no longer reachable: $closed" "list the tunnel's port in firewall.allow, such as 51820/udp" ;;
        *) say warn closing "from outside no longer reachable: $closed" "list what stays open in firewall.allow, such as 8080 or 51820/udp" ;;
    esac
}

clock() {
    if has timedatectl && [ "$(timedatectl show -p NTPSynchronized --value 2>/dev/null)" = yes ]; then say pass clock synchronised
    else say warn clock "not known to be synchronised" "apt-get install systemd-timesyncd: certificates, DKIM and one-time passwords need the time"; fi
}

public_addresses() { # IPv4 and IPv6, a line each, with the length of the prefix
    ip -o addr show scope global 2>/dev/null | awk '{ print $4 }' | grep -vE '^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.|100\\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\\.|f[cd])'
}

addresses() {
    public=$(public_addresses | tr '\\n' ' ')
    if [ -n "$public" ]; then say pass addresses "$public"
    elif [ -n "\${ELASTIC_ADDRESS:-}" ]; then say pass addresses "$ELASTIC_ADDRESS, by the cloud's translation"
    else say warn addresses "no public address on an interface" "behind NAT the outer address must be the server's alone, with a reverse name, and lead ports $PORTS here"; fi
}

resolver() {
    servers=$(sed -n 's/^nameserver *//p' /run/systemd/resolve/resolv.conf /etc/resolv.conf 2>/dev/null | grep -v '^127\\.' | sort -u | tr '\\n' ' ')
    case " $servers" in
        *" 8.8."* | *" 1.1.1.1 "* | *" 1.0.0.1 "* | *" 9.9.9.9 "*) say warn resolver "public: $servers" "block lists refuse questions from public resolvers, and from those of many providers (Spamhaus): install a resolver on the server (unbound) once it has its reverse name" ;;
        *) say pass resolver "\${servers:-on the server itself}" ;;
    esac
}

reboot() {
    [ ! -e /run/reboot-required ] || say warn reboot "an update of the system waits for it" "reboot when it suits: everything comes back by itself"
}

login() { # guessed passwords are how most servers are taken
    has sshd || return 0
    ! sshd -T 2>/dev/null | grep -qix 'passwordauthentication yes' || say warn login "sshd takes passwords" "have your key in ~/.ssh/authorized_keys, then set PasswordAuthentication no in /etc/ssh/sshd_config.d"
}

reach() {
    for target in $REACH; do (
        host=\${target%:*} port=\${target##*:}
        # Over IPv4, as containers go out. A mail server greets, and a provider's catch-all on port 25 may not.
        address=$(getent ahostsv4 "$host" 2>/dev/null | awk 'NR == 1 { print $1 }')
        greeting=
        # shellcheck disable=SC2016
        [ "$port" != 25 ] || greeting='&& read -r -t 6 line <&3 && [ "\${line#220}" != "$line" ]'
        if timeout 8 bash -c "exec 3<>/dev/tcp/\${address:-$host}/$port $greeting" 2>/dev/null; then say pass "outbound $port" "$target"
        elif [ "$port" = 25 ] && [ "\${OUTBOUND_25:-}" != open ]; then say warn "outbound 25" "$target cannot be reached" "ask the provider to open port 25: without it no mail leaves, because the application has no relay"
        else say fail "outbound $port" "$target cannot be reached" "see the server's DNS and the provider's firewall"; fi
    ) & done
    wait
}

if [ "$(id -u)" != 0 ]; then say fail user "$(id -un)" "log in as root, or as one who may use sudo without a password"; exit 0; fi
os; processor; memory; disk; ports; clones; neighbours; closing; clock; addresses; resolver; block_lists | sort; name_list | sort; reboot; login; reach | sort -t "$tab" -k 2`;

/** The same as a step of an `up`: what fails ends it, before anything on the host is changed, and warnings are told. */
export const MUST_PASS = `findings=$(
${PREFLIGHT}
)
printf '%s\\n' "$findings"
printf '%s\\n' "$findings" | awk -F '\\t' '$1 == "warn" { print "warning: " $2 ": " $3 " (" $4 ")" }' >&2
if printf '%s\\n' "$findings" | grep -q '^fail'; then
    printf '%s\\n' "$findings" | awk -F '\\t' '$1 == "fail" { print "Preflight: " $2 ": " $3 ". Fix: " $4 }' >&2
    exit 1
fi`;

/** Lines of {@link PREFLIGHT}. Anything else on the way, such as a greeting, is left out. */
export function parsePreflight(text: string): Check[] {
    return text.split("\n").flatMap((line) => {
        const [level, check, found, fix = ""] = line.split("\t");
        return (level === "pass" || level === "warn" || level === "fail") && check ? [{ level, check, found: found.trim(), fix }] : [];
    });
}
