/** Folder of the program's own files on a server. */
export const FOLDER = "/etc/forwardemail";

/** Shell function that puts its standard input into a file: true when that changed it. Ends the script when it cannot, which `set -e` would not do in a condition. */
export const PUT = `put() {
    { mkdir -p "$(dirname "$1")" && cat >"$1.new"; } || exit 1
    if cmp -s "$1.new" "$1"; then rm "$1.new"; return 1; fi
    mv "$1.new" "$1" || exit 1
    echo "wrote $1"
}`;
