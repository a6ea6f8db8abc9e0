import { CATALOGUE, servicesOf } from "../../services/catalogue";
import type { ServerSettings, Settings } from "../../settings/settings";
import { APT } from "./apt";
import { FOLDER, PUT } from "./files";
import { LOGINS } from "./logins";

// fail2ban closes out who guesses passwords, by nftables rules of its own.
// It goes by the journal: sshd tells it there of failed log-ins, and a small service (logins.ts) of the application's.

/** Services that people log in to at a port of their own, where the application sees the address of its client. */
const WITH_LOGIN = ["smtp", "imap", "pop3"] as const;

/** Of the router's and other containers' clients nobody knows the address: to close out theirs would close out everybody. */
const PRIVATE = ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "::1", "fc00::/7", "fe80::/10"];

/** Values of {@link BANS}; none where nobody is to be closed out. */
export function bansValues({ profile, network, firewall }: Settings, { login }: ServerSettings): Record<string, string> | undefined {
    const { enabled, failures, minutes, exempt } = firewall.bans;
    if (!enabled) return undefined;
    const ports = servicesOf(profile).flatMap((service) => (WITH_LOGIN.some((one) => one === service) ? CATALOGUE[service].publish : []));
    const ofOperator = firewall.sshFrom.filter((from) => !from.endsWith("/0"));
    return {
        FAILURES: String(failures),
        MINUTES: String(minutes),
        EXEMPT: [...new Set([...PRIVATE, ...[...ofOperator, ...exempt].map(wide)])].join(" "),
        SSH: String(login?.port ?? 22),
        MAIL: ports.map((port) => port + network.portOffset).join(","),
    };
}

/** Over IPv6 a customer has at least a /64, and may take another address for each guess (RFC 6177): it is counted, closed out and exempt as one. */
function wide(network: string): string {
    const [address, bits] = network.split("/");
    return address.includes(":") && Number(bits) > 64 ? `${address}/64` : network;
}

const FAIL2BAN = "/etc/fail2ban";
const UNIT = "forwardemail-logins";
const FILES = [
    `${FAIL2BAN}/action.d/forwardemail.conf`,
    `${FAIL2BAN}/filter.d/forwardemail.conf`,
    `${FAIL2BAN}/jail.d/forwardemail.conf`,
    `/etc/systemd/system/${UNIT}.service`,
];

/**
 * Installs fail2ban and makes its two jails; what the operator has in jail.local wins. Reads FAILURES, MINUTES, EXEMPT (networks with spaces
 * between), SSH (port), MAIL (ports with commas between) and STACK. Runs as root, twice or a hundred times.
 */
export const BANS = `set -eu
${APT}
${PUT}
changed=

mkdir -p /var/lib/forwardemail-host
# What it was before, for when it is taken back.
[ -e ${FILES[2]} ] || systemctl is-enabled --quiet fail2ban 2>/dev/null || : >/var/lib/forwardemail-host/fail2ban

# Docker sends a packet on to a container before any input chain sees it: so before that (its DNAT is at -100).
put ${FILES[0]} <<'END' && changed=yes
[INCLUDES]
before = nftables.conf

[Init]
table = forwardemail-bans
chain_hook = prerouting
chain_priority = -150
blocktype = drop
addr_type = ipv4_addr\\; flags interval

[Init?family=inet6]
addr_type = ipv6_addr\\; flags interval
END
put ${FILES[1]} <<'END' && changed=yes
[Definition]
failregex = ^\\s*\\S+ \\S+: a wrong password from <SUBNET>$
journalmatch = _SYSTEMD_UNIT=${UNIT}.service
END
# Before the package: Debian starts it at once, and its own jail for SSH finds no log file on a system with a journal only.
put ${FILES[2]} <<END && changed=yes
[sshd]
enabled = true
backend = systemd
journalmatch = _SYSTEMD_UNIT=ssh.service + _SYSTEMD_UNIT=sshd.service + _COMM=sshd
action = forwardemail[port="$SSH"]
maxretry = $FAILURES
findtime = 1h
bantime = \${MINUTES}m
ignoreip = $EXEMPT

[forwardemail]
enabled = true
backend = systemd
filter = forwardemail
action = forwardemail[port="$MAIL"]
maxretry = $FAILURES
findtime = 1h
bantime = \${MINUTES}m
ignoreip = $EXEMPT
END
put ${FOLDER}/logins <<'LOGINS' && changed=yes
${LOGINS}
LOGINS
put ${FILES[3]} <<END && changed=yes
[Unit]
Description=Wrong passwords of Forward Email, for fail2ban
After=docker.service
[Service]
Environment=STACK=$STACK DOCKER_HOST=$DOCKER_HOST
ExecStart=/bin/sh ${FOLDER}/logins
Restart=always
RestartSec=10
[Install]
WantedBy=multi-user.target
END

need_packages fail2ban python3-systemd
refused() {
    printf '%s\\n' "$said" >&2
    echo "fail2ban refuses its configuration, see its words above. Fix: mend ${FAIL2BAN}/jail.local, or set firewall.bans.enabled to false." >&2
    exit 1
}
# One that was refused is looked at again.
tried=/var/lib/forwardemail-host/bans-changed
[ -z "$changed" ] || : >$tried
if [ -e $tried ] || ! systemctl is-active --quiet fail2ban || ! systemctl is-active --quiet ${UNIT}; then
    said=$(fail2ban-client -t 2>&1) || refused
    systemctl daemon-reload
    systemctl enable --quiet fail2ban ${UNIT}
    systemctl restart fail2ban ${UNIT}
    rm -f $tried
fi
runs() {
    list=$(fail2ban-client status 2>/dev/null) || return 1
    list=$(printf '%s\\n' "$list" | sed -n 's/.*Jail list://p' | tr -d ' \\t')
    for jail in $jails; do case ",$list," in *",$jail,"*) ;; *) return 1 ;; esac; done
}
jails="sshd forwardemail"
if ! runs; then
    # A jail that jail.local turns off never starts. To read all of the configuration takes longer than all the rest here.
    said=$(fail2ban-client -d 2>&1) || refused
    jails=$(printf '%s\\n' "$said" | sed -nE "s/^\\['start', '(sshd|forwardemail)'\\]$/\\1/p")
    tries=0
    until runs; do
        tries=$((tries + 1))
        [ $tries -le 60 ] || { echo "fail2ban does not run. Fix: see journalctl -u fail2ban and /var/log/fail2ban.log on the server." >&2; exit 1; }
        sleep 0.5
    done
fi`;

/** Takes back what {@link BANS} wrote. fail2ban goes on where it was there before; its package stays. */
export const UNDO_BANS = `set -eu
systemctl disable --quiet --now ${UNIT} 2>/dev/null || true
rm -f ${FILES.join(" ")} ${FOLDER}/logins
systemctl daemon-reload
if [ -e /var/lib/forwardemail-host/fail2ban ]; then
    systemctl disable --quiet --now fail2ban 2>/dev/null || true
    rm /var/lib/forwardemail-host/fail2ban
    echo "fail2ban is stopped. Its package stays."
else systemctl try-restart fail2ban 2>/dev/null || true; fi
nft delete table inet forwardemail-bans 2>/dev/null || true`;
