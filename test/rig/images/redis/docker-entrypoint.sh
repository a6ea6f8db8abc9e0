#!/bin/sh
# Behaves like the official image's entry point: started as root, it gives /data to redis and drops to that user.
set -e
case $1 in
-* | *.conf) set -- redis-server "$@" ;;
esac
if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
    find . ! -user redis -exec chown redis {} +
    exec setpriv --reuid redis --regid redis --init-groups "$0" "$@"
fi
exec "$@"
