/**
 * Shell functions around apt. The lists have a lock of their own that `DPkg::Lock::Timeout` does not wait for, and a new machine
 * is often busy with its first updates.
 */
export const APT = `export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
apt_update() {
    tries=0
    until apt-get -q -o DPkg::Lock::Timeout=300 update >/dev/null 2>/tmp/forwardemail-apt; do
        tries=$((tries + 1))
        if [ $tries -gt 60 ] || ! grep -q 'Could not get lock' /tmp/forwardemail-apt; then cat /tmp/forwardemail-apt >&2; return 1; fi
        sleep 5
    done
}
install_packages() { apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@" >/dev/null; }`;
