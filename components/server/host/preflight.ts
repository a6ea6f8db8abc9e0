import type { ServerSettings, Settings } from "../../settings/settings";
import { CATALOGUE, servicesOf } from "../../services/catalogue";
import { WOULD_CLOSE } from "./firewall";

/** One finding about a host, before anything on it is changed. */
export interface Check {
    level: "pass" | "warn" | "fail";
    check: string;
    found: string;
    /** What to do about it; empty on pass. */
    fix: string;
}

/** Where a mail server must get to: a large receiver, the image registry, a package mirror. */
export const REACH = ["gmail-smtp-in.l.google.com:25", "ghcr.io:443", "deb.debian.org:80"];

/** Variables of {@link PREFLIGHT}. */
export interface PreflightValues extends Record<string, string> {
    /** Where the data will be; it need not exist. */
    DATA_DIRECTORY: string;
    /** Ports that the deployment publishes, with spaces between. */
    PORTS: string;
    /** `host:port` that must be reachable, with spaces between. */
    REACH: string;
    /** Ports that the firewall will leave open, with spaces between; empty where none is set up. */
    OPEN: string;
    /** Name of the deployment: its own containers may hold the ports. */
    STACK: string;
}

/** What the preflight of a stack's server looks for. */
export function preflightValues({ name, profile, network, data, firewall }: Settings, { reach, engine, ssh }: ServerSettings): PreflightValues {
    const ports = servicesOf(profile)
        .flatMap((service) => CATALOGUE[service].publish.map((port) => port + network.portOffset))
        .sort((a, b) => a - b);
    return {
        DATA_DIRECTORY: data.directory ?? "/var/lib/docker",
        PORTS: ports.join(" "),
        OPEN: engine ? [...ports, ...firewall.allow, ssh?.port].join(" ") : "",
        REACH: reach.join(" "),
        STACK: name,
    };
}

/**
 * Looks at a host and changes nothing. Runs as root by POSIX sh on Debian and Ubuntu, twice or a hundred times. One line a check:
 * level, check, found and fix, with tabs between. Reads DATA_DIRECTORY, PORTS, OPEN and REACH (lists with spaces), STACK (name of the
 * deployment, whose containers may hold the ports).
 */
export const PREFLIGHT = `set -u
tab=$(printf '\\t')
say() { printf '%s\\t%s\\t%s\\t%s\\n' "$1" "$2" "$3" "\${4:-}"; }
has() { command -v "$1" >/dev/null 2>&1; }

${WOULD_CLOSE}

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
    if [ "$megabytes" -lt 1800 ]; then say fail memory "$megabytes MiB" "take a machine with 4 GB"
    elif [ "$megabytes" -lt 3600 ]; then say warn memory "$megabytes MiB" "4 GB leave room for searches and many clients"
    else say pass memory "$megabytes MiB"; fi
}

disk() {
    place=$DATA_DIRECTORY
    while [ ! -d "$place" ]; do place=$(dirname "$place"); done
    gigabytes=$(($(df -Pk "$place" | awk 'NR == 2 { print $4 }') / 1048576))
    if [ "$gigabytes" -lt 20 ]; then say warn disk "$gigabytes GiB free for $DATA_DIRECTORY" "20 GiB are little for mail; make room or add a disk"
    else say pass disk "$gigabytes GiB free for $DATA_DIRECTORY"; fi
}

ports() {
    if ! has ss; then say warn ports "cannot be looked at: ss is missing" "apt-get install iproute2"; return; fi
    ours=
    ! has docker || ours=$(docker ps --filter "label=forwardemail.stack=$STACK" --format '{{.Ports}}' 2>/dev/null)
    taken=
    for port in $PORTS; do
        who=$(ss -Hltnp "sport = :$port" | sed -n 's/.*users:(("\\([^"]*\\)".*/\\1/p' | sort -u | tr '\\n' ' ')
        [ -n "$(ss -Hltn "sport = :$port")" ] || has_published "$port" || continue
        case " $ours" in *":$port->"*) continue ;; esac
        taken="$taken$port (\${who:-a container }) "
    done
    if [ -n "$taken" ]; then say fail ports "taken: $taken" "stop these programs (ss -ltnp and docker ps show them); a mail server of the distribution goes with apt-get purge"
    else say pass ports "free, or ours: $PORTS"; fi
}
# Without a userland proxy a published port listens nowhere.
has_published() { has docker && docker ps --format '{{.Ports}}' 2>/dev/null | grep -q ":$1->"; }

neighbours() {
    has docker || return 0
    others=$(docker ps --format '{{.Names}} {{.Label "forwardemail.stack"}}' 2>/dev/null | awk 'NF < 2 { print $1 }' | tr '\\n' ' ')
    # The application trusts private addresses (upstream helpers, regex-localhost): so its neighbours are on its allow list.
    closed=
    [ -z "\${OPEN:-}" ] || closed=$(would_close)
    [ -z "$closed" ] || say fail firewall "it would close ports that other containers publish: $closed" "list those that stay open in firewall.allow, or stop the containers"
    [ -z "$others" ] || say warn neighbours "other containers: $others" "the application trusts mail from private addresses: see that none of them can be made to send"
}

closing() {
    [ -n "\${OPEN:-}" ] && has ss || return 0
    # The client's side of DHCP stays open.
    closed=$(ss -Hlntup | awk -v open=" $OPEN " '{
        at = $5; port = at; sub(/.*:/, "", port); sub(/:[0-9]*$/, "", at)
        if (at ~ /^(127\\.|\\[::1\\])/ || port ~ /^(68|546)$/ || ($1 == "tcp" && index(open, " " port " "))) next
        who = match($0, /\\(\\("[^"]*"/) ? substr($0, RSTART + 3, RLENGTH - 4) : "?"
        print port "/" $1 " (" who ")" }' | sort -u | tr '\\n' ' ')
    [ -z "$closed" ] || say warn closing "from outside no longer reachable: $closed" "list TCP ports that stay open in firewall.allow; UDP is closed"
}

clock() {
    if has timedatectl && [ "$(timedatectl show -p NTPSynchronized --value 2>/dev/null)" = yes ]; then say pass clock synchronised
    else say warn clock "not known to be synchronised" "apt-get install systemd-timesyncd: certificates, DKIM and one-time passwords need the time"; fi
}

addresses() {
    public=$(ip -o addr show scope global 2>/dev/null | awk '{ print $4 }' | grep -vE '^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.|100\\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\\.|f[cd])' | tr '\\n' ' ')
    if [ -n "$public" ]; then say pass addresses "$public"
    else say warn addresses "no public address on an interface" "behind NAT the outer address must be the server's alone, with a reverse name, and lead ports $PORTS here"; fi
}

resolver() {
    servers=$(sed -n 's/^nameserver *//p' /run/systemd/resolve/resolv.conf /etc/resolv.conf 2>/dev/null | grep -v '^127\\.' | sort -u | tr '\\n' ' ')
    case " $servers" in
        *" 8.8."* | *" 1.1.1.1 "* | *" 1.0.0.1 "* | *" 9.9.9.9 "*) say warn resolver "public: $servers" "block lists refuse questions from public resolvers (Spamhaus): use the provider's, or a resolver of the server's own" ;;
        *) say pass resolver "\${servers:-on the server itself}" ;;
    esac
}

reach() {
    for target in $REACH; do (
        host=\${target%:*} port=\${target##*:}
        # shellcheck disable=SC2016
        if timeout 8 bash -c 'exec 3<>"/dev/tcp/$1/$2"' - "$host" "$port" 2>/dev/null; then say pass "outbound $port" "$target"
        elif [ "$port" = 25 ]; then say warn "outbound 25" "$target cannot be reached" "ask the provider to open port 25: without it no mail leaves, because the application has no relay"
        else say fail "outbound $port" "$target cannot be reached" "see the server's DNS and the provider's firewall"; fi
    ) & done
    wait
}

if [ "$(id -u)" != 0 ]; then say fail user "$(id -un)" "log in as root, or as one who may use sudo without a password"; exit 0; fi
os; processor; memory; disk; ports; neighbours; closing; clock; addresses; resolver; reach | sort -t "$tab" -k 2`;

/** The same as a step of an `up`: what fails ends it, before anything on the host is changed. */
export const MUST_PASS = `findings=$(
${PREFLIGHT}
)
printf '%s\\n' "$findings"
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
