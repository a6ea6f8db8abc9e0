// The application logs no wrong password: such an error has `ignoreHook`, and its logger keeps silent then, on the console and in MongoDB
// (upstream, helpers/on-auth.js and helpers/logger.js). But it counts them by client address in Redis, as auth_limit_production:ADDRESS, for
// a limit of its own: ten different ones from an address, and it refuses that address for a day (config/index.js, smtpLimitAuth).
// So a small service reads these counts and says in the journal where one has grown.

/**
 * Tells how often a wrong password came from where. Reads `KEY COUNT` of the round before, a dot, and those of this round. A count goes
 * when the right password comes, or after a day.
 */
export const COUNT = `
function network(address,    part, groups, rest, i, head, tail) {
    if (address !~ /:/) return address
    split(address, part, "::")
    head = part[1] == "" ? 0 : split(part[1], groups, ":")
    for (i = head + 1; i <= 4; i++) groups[i] = "0"
    tail = part[2] == "" ? 0 : split(part[2], rest, ":")
    for (i = 1; i <= tail; i++) if (8 - tail + i <= 4) groups[8 - tail + i] = rest[i]
    return groups[1] ":" groups[2] ":" groups[3] ":" groups[4] "::/64"
}
$1 == "." { isNow = 1 }
$1 ~ /^auth_limit_[a-z]+:/ && $2 ~ /^[0-9]+$/ {
    address = $1
    sub(/^auth_limit_[a-z]+:/, "", address)
    sub(/^::ffff:/, "", address)
    # The web interface has counts by user.
    if (address !~ /^[0-9]+[.][0-9]+[.][0-9]+[.][0-9]+$|^[0-9a-f:]+:[0-9a-f:]*$/) next
    if (isNow) now[address] += $2; else before[address] += $2
}
END {
    for (address in now)
        for (i = now[address] < before[address] ? 0 : before[address] + 0; i < now[address]; i++) print "a wrong password from " network(address)
}`;

/** The service. Reads STACK. What there is in its first round is old: it was told before a restart. */
export const LOGINS = `set -uf
# shellcheck disable=SC2016
read_counts='keys=$(redis-cli --scan --pattern "auth_limit_*") || exit 1
[ -n "$keys" ] || exit 0
set -- $keys
redis-cli mget "$@" | while read -r count; do echo "$1 $count"; shift; done'
unset before
while sleep 10; do
    redis=$(docker ps -q -f "label=forwardemail.stack=$STACK" -f label=forwardemail.service=redis)
    [ -n "$redis" ] || continue
    # While it is restarted or stands still for a backup there is no answer, which is not the answer that there is no count.
    counts=$(timeout 20 docker exec "$redis" sh -fc "$read_counts" 2>/dev/null) || continue
    # An awk for each round: one that reads from a pipe for good may wait until its buffer is full (mawk, -W interactive).
    [ -z "\${before+known}" ] || printf '%s\\n.\\n%s\\n' "$before" "$counts" | awk '${COUNT}'
    before=$counts
done`;
