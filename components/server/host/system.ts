import { APT } from "./apt";
import { PUT } from "./files";

/**
 * Makes Debian or Ubuntu fit for a mail server: security updates, time, kernel settings, swap, sshd. Every file that it writes is its
 * own; none of the distribution's is changed. Reads SWAP_BELOW_MIB, IPV6 (`true` where containers have it) and STACK (name of the
 * deployment: a host is set up by one). Runs as root, twice or a hundred times.
 */
export const SYSTEM = `set -eu
${APT}
${PUT}
active() { systemctl is-active --quiet "$@"; }

# What cloud-init does at the first boot, package sources included, comes before.
! command -v cloud-init >/dev/null || timeout 300 cloud-init status --wait >/dev/null 2>&1 || true

mkdir -p /var/lib/forwardemail-host
owner=$(cat /var/lib/forwardemail-host/stack 2>/dev/null || echo "$STACK")
if [ "$owner" != "$STACK" ]; then
    echo "This host is set up by $owner already: two would undo each other's work. Fix: set servers[0].setUp to false here, and list this deployment's ports in firewall.allow there." >&2
    exit 1
fi
printf '%s\\n' "$STACK" >/var/lib/forwardemail-host/stack

need_packages unattended-upgrades nftables jq
active chrony || active ntpsec || active ntp || active openntpd || need_packages systemd-timesyncd

# Which packages: the distribution's own default, its security updates. A reboot stays the operator's.
put /etc/apt/apt.conf.d/52forwardemail <<'END' || true
APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Unattended-Upgrade "1";
END

# Redis cannot save in the background without (redis.conf, "overcommit_memory").
# With IPv6 Docker turns on forwarding, and then the kernel takes no router's word any more: the host's own default route would run out
# (Linux, ip-sysctl, accept_ra). Where the kernel keeps that route itself, it must go on listening.
settings='vm.overcommit_memory = 1'
if [ "\${IPV6:-}" = true ]; then
    for device in $(ip -6 route show default proto ra 2>/dev/null | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p' | sort -u); do
        if [ "$(cat "/proc/sys/net/ipv6/conf/$device/accept_ra")" != 0 ]; then settings="$settings
net.ipv6.conf.$(echo "$device" | tr . /).accept_ra = 2"; fi
    done
fi
if put /etc/sysctl.d/60-forwardemail.conf <<END
$settings
END
then sysctl -q -p /etc/sysctl.d/60-forwardemail.conf || echo "the kernel did not take every setting: is this a container?"; fi

# For who asks only: Redis and MongoDB both get slow with them (MongoDB manual, Transparent Huge Pages).
if put /etc/tmpfiles.d/forwardemail.conf <<'END'
w- /sys/kernel/mm/transparent_hugepage/enabled - - - - madvise
END
then systemd-tmpfiles --create /etc/tmpfiles.d/forwardemail.conf || echo "the kernel did not take the setting of huge pages: is this a container?"; fi

# A little swap lets an update through on a small machine; containers never swap.
memory=$(($(sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo) / 1024))
if [ "$memory" -lt "$SWAP_BELOW_MIB" ] && [ "$(wc -l </proc/swaps)" = 1 ]; then
    if [ ! -e /swapfile.forwardemail ]; then
        if [ "$(df -Pk / | awk 'NR == 2 { print $4 }')" -lt 6291456 ]; then echo "less than 6 GiB free: no swap is made"
        else
            (umask 077 && dd if=/dev/zero of=/swapfile.forwardemail.new bs=1M count=2048 status=none)
            mkswap -q /swapfile.forwardemail.new
            mv /swapfile.forwardemail.new /swapfile.forwardemail
        fi
    fi
    if [ -e /swapfile.forwardemail ]; then
        grep -q '^/swapfile.forwardemail ' /etc/fstab || echo '/swapfile.forwardemail none swap sw 0 0' >>/etc/fstab
        if swapon /swapfile.forwardemail; then echo "2 GiB of swap in /swapfile.forwardemail"; else echo "swap cannot be used here"; fi
    fi
fi

# Pulumi opens a dozen sessions at once. Whoever gets here has a key: passwords only help those who guess them.
# The first value that sshd reads counts, so the name sorts first.
if put /etc/ssh/sshd_config.d/00-forwardemail.conf <<'END'
MaxStartups 100:30:200
MaxSessions 100
PasswordAuthentication no
KbdInteractiveAuthentication no
END
then
    if ! sshd -t; then rm /etc/ssh/sshd_config.d/00-forwardemail.conf; echo "sshd refuses its new settings, which are taken back. Fix: see sshd -t." >&2; exit 1; fi
    systemctl try-reload-or-restart ssh # by a socket it may not run
fi
grep -qi '^ *include .*/etc/ssh/sshd_config.d' /etc/ssh/sshd_config || echo "sshd_config includes no sshd_config.d: its limits stay as they are"`;

/** Takes back what {@link SYSTEM} set; packages and a swap file stay. */
export const UNDO_SYSTEM = `set -eu
rm -f /etc/apt/apt.conf.d/52forwardemail /etc/sysctl.d/60-forwardemail.conf /etc/tmpfiles.d/forwardemail.conf /etc/ssh/sshd_config.d/00-forwardemail.conf
systemctl try-reload-or-restart ssh
rm -rf /var/lib/forwardemail-host
echo "The packages that were installed stay: unattended-upgrades, nftables, jq. The kernel keeps its settings until the next boot."`;
