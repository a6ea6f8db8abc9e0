/**
 * Shell functions around apt. The lists have a lock of their own that `DPkg::Lock::Timeout` does not wait for, and a new machine
 * is often busy with its first updates.
 */
export const APT = `export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
apt_update() {
    tries=0
    until said=$(apt-get -q -o DPkg::Lock::Timeout=300 update 2>&1); do
        tries=$((tries + 1))
        case $said in *"Could not get lock"*) [ $tries -le 60 ] ;; *) false ;; esac || { printf '%s\\n' "$said" >&2; return 1; }
        sleep 5
    done
}
install_packages() { apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@" >/dev/null; }
need_packages() {
    missing=
    there=$(dpkg-query -W -f '\${Package} \${Status}\\n' "$@" 2>/dev/null || true)
    for package in "$@"; do printf '%s\\n' "$there" | grep -q "^$package .* installed$" || missing="$missing $package"; done
    [ -n "$missing" ] || return 0
    echo "installing$missing"
    apt_update
    # shellcheck disable=SC2086
    install_packages $missing
}`;

/** Shell lines, with {@link APT} before them, that install packages where one of the programs is missing. */
export const needPrograms = (programs: string, packages: string): string => `missing=
for program in ${programs}; do command -v $program >/dev/null || missing="$missing $program"; done
if [ -n "$missing" ]; then
    apt_update
    install_packages ${packages}
fi`;
