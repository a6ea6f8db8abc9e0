import { APT, needPrograms } from "../../server/host/apt";
import { FOLDER } from "../../server/host/files";
import { removeTimed, writeTimed } from "../../server/host/timer";
import { FOLDER_OF, MADE_FOLDER } from "../../services/files";
import { KNOWN, RENEW } from "./renew";

const UNIT = "forwardemail-certificate";

/** Shell functions of both scripts below: lego in a container of its own, with what it keeps at /lego. */
const LEGO = `# shellcheck disable=SC2153
lego() {
    docker run --rm -i --cap-drop ALL --security-opt no-new-privileges -e "LEGO_CA_CERTIFICATES=\${ROOTS:+/lego/roots.pem}" -v "$ACME:/lego" "$LEGO" "$@" \\
        --path /lego --server "$DIRECTORY" --account-id "$ACCOUNT" --email "$EMAIL"
}
${MADE_FOLDER}
# shellcheck disable=SC2153
acme=$(made_folder "$ACME")`;

/**
 * Registers the account whose key is standard input (PEM) with the authority, or finds it there, and prints its URL: what CAA records name
 * (RFC 8657 §3). lego makes keys by itself only, so that a new account gets ours by a key change (RFC 8555 §7.3.5). Reads ACME (place of
 * lego's files), LEGO (image), DIRECTORY, ACCOUNT, EMAIL, ROOTS.
 */
export const REGISTER = `set -eu
umask 077
${LEGO}
chmod 0700 "$acme"
cat >"$acme/.account.new"
[ -s "$acme/.account.new" ] || { echo "the account's key is missing" >&2; exit 1; }
[ -z "\${ROOTS:-}" ] || printf '%s\\n' "$ROOTS" >"$acme/roots.pem"
${KNOWN}
if ! cmp -s "$acme/.account.new" "$acme/account.pem" || ! jq -e .registration.accountURL "$known/account.json" >/dev/null 2>&1; then
    mv "$acme/.account.new" "$acme/account.pem"
    rm -rf "$known"
    if ! said=$(printf 'Y\\n' | lego accounts recover --private-key /lego/account.pem 2>&1); then
        rm -rf "$known"
        case $said in
            *accountDoesNotExist*) ;;
            *) echo "The ACME authority at $DIRECTORY cannot be used: $(printf '%s\\n' "$said" | tail -n 3). Fix: see certificates.directory, and that the server reaches it" >&2; exit 1 ;;
        esac
        if ! { said=$(lego accounts register --accept-tos </dev/null 2>&1) && said=$(printf 'Y\\n' | lego accounts keyrollover --private-key /lego/account.pem 2>&1); }; then
            rm -rf "$known"
            echo "The ACME account could not be registered at $DIRECTORY: $(printf '%s\\n' "$said" | tail -n 3)" >&2
            exit 1
        fi
    fi
fi
rm -f "$acme/.account.new"
jq -r .registration.accountURL "$known/account.json"`;

/** Puts secrets of the renewal on the host. Standard input holds lines `name base64`: the leaf's key, the webhook, and variables of lego. Reads ACME and LEAF. */
export const SECRETS = `set -eu
umask 077
${FOLDER_OF}
# shellcheck disable=SC2153
acme=$(folder_of "$ACME")
mkdir -p ${FOLDER}
: >${FOLDER}/certificate.secret.new
rm -f ${FOLDER}/certificate.alert
while read -r name content || [ -n "$name" ]; do
    case $name in
        leaf) printf %s "$content" | base64 -d >"$acme/.$LEAF.new" && mv "$acme/.$LEAF.new" "$acme/$LEAF" ;;
        alert) printf 'url = "%s"\\n' "$(printf %s "$content" | base64 -d)" >${FOLDER}/certificate.alert ;;
        *) printf '%s=%s\\n' "$name" "$(printf %s "$content" | base64 -d)" >>${FOLDER}/certificate.secret.new ;;
    esac
done
mv ${FOLDER}/certificate.secret.new ${FOLDER}/certificate.secret`;

export const UNDO_SECRETS = `rm -f ${FOLDER}/certificate.secret ${FOLDER}/certificate.alert
rmdir ${FOLDER} 2>/dev/null || true`;

/**
 * Puts the renewal on the host, with a timer, and runs it once. Where no certificate can be had yet, it says so and goes on: the stack's own
 * certificate serves until the timer succeeds. Reads CONFIG (shell assignments of certificate.conf) and FIRST_PATIENCE (how long names may
 * take to appear in DNS, in seconds).
 */
export const SET_UP = `set -eu
umask 077
${APT}
${needPrograms("curl openssl dig jq flock", "curl openssl bind9-dnsutils jq util-linux")}
printf '%s\\nDOCKER_HOST=%s\\nexport DOCKER_HOST\\n' "$CONFIG" "$DOCKER_HOST" >${FOLDER}/certificate.conf
cat >${FOLDER}/certificate.new <<'END_OF_RENEWAL'
${RENEW}END_OF_RENEWAL
chmod 0700 ${FOLDER}/certificate.new
mv ${FOLDER}/certificate.new ${FOLDER}/certificate # the timer may be running the old one
${writeTimed({
    unit: UNIT,
    description: "Renew the certificate of the mail server",
    run: `${FOLDER}/certificate`,
    service: [
        "# One that hangs would hold up all that follow; a oneshot has no limit of its own.",
        "TimeoutStartSec=1h",
        "# As long as it fails: what the authority would refuse is not asked for, so its limits are safe.",
        "Restart=on-failure",
        "RestartSec=1h",
    ],
    timer: { description: "Look twice a day whether the certificate is due", when: ["*-*-* 00,12:00:00", "6h"] },
})}
systemctl daemon-reload
systemctl enable -q --now ${UNIT}.timer
if PATIENCE=$FIRST_PATIENCE ${FOLDER}/certificate; then systemctl stop ${UNIT}.service
else
    echo "warning: certificate: the services use the one they had, or one of the stack's own; the server tries again each hour (journalctl -u ${UNIT})" >&2
    systemctl start --no-block ${UNIT}.service
fi`;

export const UNDO_SET_UP = `${removeTimed(UNIT)}
rm -f ${FOLDER}/certificate ${FOLDER}/certificate.conf`;
