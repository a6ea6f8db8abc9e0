import { publishedPorts } from "../../services/catalogue";
import type { ServerSettings, Settings } from "../../settings/settings";
import { FOLDER, PUT } from "./files";

/** What a host lets in. */
export interface FirewallRules {
    /** TCP ports of the deployment, as a client sees them. */
    ports: number[];
    /** Ports of other programs and containers that stay open. */
    allow: { tcp: number[]; udp: number[] };
    ssh: { port: number; /** Networks in CIDR form, IPv4 and IPv6. */ from: string[] };
}

/** Every network. */
export const EVERYWHERE = ["0.0.0.0/0", "::/0"];

/** What the firewall of a stack's server lets in. */
export function firewallRules({ profile, network, firewall }: Settings, { login }: ServerSettings): FirewallRules {
    const ports = publishedPorts(profile, network.portOffset);
    return { ports, allow: byProtocol(firewall.allow), ssh: { port: login?.port ?? 22, from: firewall.sshFrom } };
}

/** `8080` is a TCP port, `51820/udp` one of UDP. */
function byProtocol(allow: Array<number | string>): FirewallRules["allow"] {
    const udp = allow.filter((port) => typeof port === "string").map((port) => parseInt(port));
    return { tcp: allow.filter((port) => typeof port === "number"), udp };
}

/**
 * The rules as an nftables table of their own: Docker's and everybody else's stay, and a packet must pass both. Loading it twice is loading it once.
 *
 * Docker's published ports are forwarded, so they pass no input chain: the forward chain looks at the port that the client asked for
 * (`ct original proto-dst`). Of what else is forwarded, only what goes to a container is looked at.
 */
export function firewallTable({ ports, allow, ssh }: FirewallRules): string {
    const list = (all: number[]) => [...new Set(all)].sort((a, b) => a - b).join(", ");
    const [tcp, udp] = [list([...ports, ...allow.tcp]), list(allow.udp)];
    const rules = (rule: (protocol: string, open: string) => string) => [...(tcp ? [rule("tcp", tcp)] : []), ...(udp ? [rule("udp", udp)] : [])];
    const from4 = ssh.from.filter((network) => !network.includes(":"));
    const from6 = ssh.from.filter((network) => network.includes(":"));
    const sshRules = [
        ...(from4.length > 0 ? [`ip saddr { ${from4.join(", ")} } tcp dport ${ssh.port} jump ssh`] : []),
        ...(from6.length > 0 ? [`ip6 saddr { ${from6.join(", ")} } tcp dport ${ssh.port} jump ssh`] : []),
    ];
    return `table inet forwardemail
delete table inet forwardemail
table inet forwardemail {
    set ssh4 { type ipv4_addr; flags dynamic; timeout 10m; size 65536; }
    set ssh6 { type ipv6_addr; flags dynamic; timeout 10m; size 65536; }

    # More than Pulumi opens, less than a dictionary needs.
    chain ssh {
        ct state new meta nfproto ipv4 update @ssh4 { ip saddr limit rate over 300/minute burst 600 packets } counter drop
        ct state new meta nfproto ipv6 update @ssh6 { ip6 saddr limit rate over 300/minute burst 600 packets } counter drop
        accept
    }

    chain input {
        type filter hook input priority filter - 5; policy drop;
        ct state established,related accept
        ct state invalid drop
        iif lo accept
        ip protocol icmp accept
        # Neighbours, routers and path MTU: without these there is no IPv6 (RFC 4890).
        meta l4proto ipv6-icmp accept
        udp sport 67 udp dport 68 accept
        ip6 daddr fe80::/10 udp dport 546 accept
        ${[...sshRules, ...rules((protocol, open) => `${protocol} dport { ${open} } accept`)].join("\n        ")}
    }

    chain forward {
        type filter hook forward priority filter - 5; policy accept;
        # A smaller MTU on the way out than on the bridge (OpenStack, private networks) is no secret to the other side.
        tcp flags syn tcp option maxseg size set rt mtu
        # One name a rule: nft before 1.0.3 takes no wildcard inside a set.
        iifname "docker*" jump containers
        iifname "br-*" jump containers
        ct state established,related accept
        iifname "docker*" accept
        iifname "br-*" accept
        oifname != "docker*" oifname != "br-*" accept
        ${rules((protocol, open) => `meta l4proto ${protocol} ct status dnat ct original proto-dst { ${open} } accept`).join("\n        ")}
        drop
    }

    # The cloud's metadata answers whoever asks with the machine's credentials: link-local, on Azure and Alibaba addresses of their own.
    # Some clouds have their resolver there.
    chain containers {
        ip daddr { 169.254.0.0/16, 168.63.129.16, 100.100.100.200 } meta l4proto { tcp, udp } th dport 53 return
        ip daddr { 169.254.0.0/16, 168.63.129.16, 100.100.100.200 } drop
        ip6 daddr { fe80::/10, fd00:ec2::/32 } drop
    }
}
`;
}

/** How long the operator's machine has to connect again before the rules are taken back, in seconds. */
export const REVERT_SECONDS = 60;

const UNIT = "forwardemail-firewall";
const REVERT = `${UNIT}-revert`;

/** What OPEN holds for these rules: TCP ports as they are, UDP ports as `51820/udp`, with spaces between. */
export const openPorts = ({ ports, allow }: FirewallRules) => [...ports, ...allow.tcp, ...allow.udp.map((port) => `${port}/udp`)].join(" ");

/** Ports that other containers publish and OPEN does not name, with their containers. Reads OPEN and STACK. */
export const WOULD_CLOSE = `would_close() {
    ours=$(docker ps --filter "label=forwardemail.stack=$STACK" --format '{{.Names}}' 2>/dev/null)
    for other in $(docker ps --format '{{.Names}}' 2>/dev/null | grep -vxF "$ours"); do
        for port in $(docker port "$other" | sed -n 's|^[0-9]*/\\(.*\\) -> \\(.*\\):\\([0-9]*\\)$|\\2 \\3/\\1|p' | grep -vE '^(127\\.|\\[::1\\])' | cut -d ' ' -f 2 | sed 's|/tcp$||' | sort -u); do
            case " $OPEN " in *" $port "*) ;; *) printf '%s (%s) ' "$port" "$other" ;; esac
        done
    done
}`;

/**
 * Loads the table, with a timer that takes it back unless {@link CONFIRM} comes over a new connection.
 * Refuses rules that would close a port that another container publishes. Reads TABLE, OPEN (ports with spaces between), STACK.
 */
export const FIREWALL = `set -eu
${PUT}
${WOULD_CLOSE}
closed=$(would_close)
if [ -n "$closed" ]; then
    echo "The firewall would close ports that other containers publish: $closed. Fix: list those that stay open in firewall.allow, or stop the containers." >&2
    exit 1
fi

mkdir -p ${FOLDER}
umask 077
printf '%s' "$TABLE" >${FOLDER}/firewall.nft.new
nft -c -f ${FOLDER}/firewall.nft.new
cat >${FOLDER}/firewall-revert <<'END'
#!/bin/sh
# Nobody connected after a change of the firewall: back to what was.
rm -f ${FOLDER}/firewall.nft.new
if [ -e ${FOLDER}/firewall.nft ]; then nft -f ${FOLDER}/firewall.nft; else nft delete table inet forwardemail; fi
END
unit=/etc/systemd/system/${UNIT}.service
# systemd reads all its units anew, which takes as long as everything else here: only where one changed.
if put $unit <<'END'
[Unit]
Description=Firewall of Forward Email
DefaultDependencies=no
After=local-fs.target nftables.service
# A restart or a reload of nftables.service flushes every table, ours too.
PartOf=nftables.service
ReloadPropagatedFrom=nftables.service
Before=network-pre.target docker.service shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target
ConditionPathExists=${FOLDER}/firewall.nft

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f ${FOLDER}/firewall.nft
ExecReload=/usr/sbin/nft -f ${FOLDER}/firewall.nft

[Install]
WantedBy=multi-user.target nftables.service
END
then
    systemctl daemon-reload
    ! systemctl is-enabled -q ${UNIT} || systemctl reenable -q ${UNIT}
fi
# A timer of an earlier try must not take back this one.
systemctl stop ${REVERT}.timer 2>/dev/null || true
systemd-run --quiet --collect --unit=${REVERT} --on-active=${REVERT_SECONDS} --timer-property=AccuracySec=1s /bin/sh ${FOLDER}/firewall-revert
nft -f ${FOLDER}/firewall.nft.new`;

/** Keeps the new rules: that this runs is the proof that one can still connect. */
export const CONFIRM = `set -eu
[ -e ${FOLDER} ] || exit 0 # it was removed
[ -e ${FOLDER}/firewall.nft.new ] || { echo "The firewall was taken back, because nobody connected within ${REVERT_SECONDS} s." >&2; exit 1; }
systemctl stop ${REVERT}.timer
mv ${FOLDER}/firewall.nft.new ${FOLDER}/firewall.nft
systemctl is-enabled -q ${UNIT} || systemctl enable -q ${UNIT}
systemctl restart ${UNIT}`;

/** Removes the table, its unit and its files; what was there before was never touched. */
export const UNDO_FIREWALL = `set -eu
systemctl stop ${REVERT}.timer 2>/dev/null || true
systemctl disable -q --now ${UNIT} 2>/dev/null || true
rm -rf ${FOLDER} /etc/systemd/system/${UNIT}.service
systemctl daemon-reload
nft delete table inet forwardemail 2>/dev/null || true`;
