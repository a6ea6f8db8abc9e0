/** Lists that many receivers ask about a sender's address (RFC 5782). */
export const BLOCK_LISTS = ["zen.spamhaus.org", "bl.spamcop.net"];

/** One that receivers ask about names in a mail (RFC 5782 §2.3), and a name that it always holds. */
const NAME_LIST = { list: "dbl.spamhaus.org", held: "dbltest.com" };

/**
 * Shell functions `block_lists` and `name_list` of the preflight: whether receivers refuse this server's addresses, or mail that names its
 * domains. Each list is asked beside the others. They take `say` and `public_addresses` from there, and read BLOCK_LISTS, DOMAINS and ELASTIC_ADDRESS.
 */
export const LISTED = `block_lists() {
    for list in $BLOCK_LISTS; do (
        ask() { timeout 8 getent ahostsv4 "$1.$list." 2>/dev/null | awk '!seen[$1]++ { printf "%s%s", sep, $1; sep = " " }'; }
        unknown() { say warn "list $list" "cannot be asked from here" "it refuses the resolvers of many providers, or the server's DNS does not work: look the address up at its web site"; }
        # Every list holds 127.0.0.2 and does not hold 127.0.0.1, so that one can tell silence, and yes to all, from a good answer (RFC 5782 §5).
        case $(ask 2.0.0.127) in 127.0.0.*) ;; *) unknown; exit ;; esac
        [ -z "$(ask 1.0.0.127)" ] || { unknown; exit; }
        for address in \${ELASTIC_ADDRESS:-$(public_addresses | grep -v : | cut -d / -f 1)}; do
            answer=$(ask "$(echo "$address" | awk -F . '{ print $4 "." $3 "." $2 "." $1 }')")
            case $answer in
                "") say pass "list $list" "$address is not listed" ;;
                127.0.0.10 | 127.0.0.11 | "127.0.0.10 127.0.0.11" | "127.0.0.11 127.0.0.10") # as Spamhaus uses them: a policy of whoever has the network
                    say warn "list $list" "$address is listed as one that sends no mail ($answer)" "give it a reverse name, and take it off at the list's web site" ;;
                127.0.0.*) say warn "list $list" "$address is listed ($answer)" "receivers refuse its mail: take another address before anybody knows this one, or have it taken off at the list's web site" ;;
                *) unknown ;;
            esac
        done
    ) & done
    wait
}

name_list() {
    for name in $DOMAINS; do (
        ask() { timeout 8 getent ahostsv4 "$1.${NAME_LIST.list}." 2>/dev/null | awk '!seen[$1]++ { printf "%s%s", sep, $1; sep = " " }'; }
        # A name that it holds and one that nobody has tell its answers from a refusal, and from yes to all, here too.
        case $(ask ${NAME_LIST.held})/$(ask invalid)/$(ask "$name") in
            127.0.1.*//) say pass "list $name" "is not on ${NAME_LIST.list}" ;;
            127.0.1.*//127.0.1.*) say warn "list $name" "is on ${NAME_LIST.list}" "receivers refuse mail that names it: see why, and have it taken off, at the list's web site" ;;
            *) say warn "list $name" "${NAME_LIST.list} cannot be asked from here" "it refuses the resolvers of many providers, or the server's DNS does not work: look the domain up at its web site" ;;
        esac
    ) & done
    wait
}`;
