#!/bin/bash
# Behaves like the official image's entry point: drops to the mongodb user, and makes the first user of an *empty* data
# directory from MONGO_INITDB_ROOT_USERNAME and _PASSWORD (or their _FILE forms), which also switches --auth on.
set -euo pipefail
[[ ${1:-} == -* ]] && set -- mongod "$@"
[[ ${1:-} == mongod ]] || exec "$@"

if [[ $(id -u) == 0 ]]; then
    find /data/configdb /data/db ! -user mongodb -exec chown mongodb {} +
    exec setpriv --reuid mongodb --regid mongodb --init-groups "$0" "$@"
fi

for key in MONGO_INITDB_ROOT_USERNAME MONGO_INITDB_ROOT_PASSWORD; do
    file=${key}_FILE
    [[ -z ${!file:-} ]] || export "$key=$(<"${!file}")"
done

dbpath=/data/db
for ((i = 1; i < $#; i++)); do
    [[ ${!i} != --dbpath ]] || { i=$((i + 1)) && dbpath=${!i}; }
done

create_user() {
    mongod --dbpath "$dbpath" --bind_ip 127.0.0.1 --port 27017 &
    local pid=$!
    until mongosh --quiet --eval 'db.adminCommand({ ping: 1 })' >/dev/null 2>&1; do
        kill -0 "$pid" && sleep 0.3
    done
    mongosh --quiet --eval 'db.getSiblingDB("admin").createUser({
        user: process.env.MONGO_INITDB_ROOT_USERNAME, pwd: process.env.MONGO_INITDB_ROOT_PASSWORD, roles: ["root"] })'
    kill "$pid" && wait "$pid"
}

if [[ -n ${MONGO_INITDB_ROOT_USERNAME:-} && -n ${MONGO_INITDB_ROOT_PASSWORD:-} ]]; then
    [[ -e $dbpath/mongod.lock ]] || create_user
    set -- "$@" --auth
fi
[[ " $* " == *" --bind_ip"* ]] || set -- "$@" --bind_ip_all
unset MONGO_INITDB_ROOT_USERNAME MONGO_INITDB_ROOT_PASSWORD
exec "$@"
