import * as pulumi from "@pulumi/pulumi";
import { MONGODB_USER } from "./environment";
import { Secrets } from "./secrets";

// MongoDB and Redis start through a short script of ours. Their passwords come by the environment and go on to the
// server by standard input or a local connection: a command line would show them to every user of the host.

interface Start {
    command: string[];
    envs: pulumi.Input<string>[];
    /** Directory of the data in the image. */
    data: string;
}

/** Redis with a password, an append-only file, and a refusal to drop keys: it holds queues and sessions, not only a cache. */
export function redis(secrets: Secrets, memoryMb: number): Start {
    return {
        command: ["sh", "-c", REDIS],
        // The rest is for the copies that a rewrite of the append-only file needs; past it, writes fail and say why.
        envs: [pulumi.interpolate`REDISCLI_AUTH=${secrets.redisPassword}`, `MAXMEMORY=${Math.floor(memoryMb * 0.6)}mb`],
        data: "/data",
    };
}

export const REDIS = `exec redis-server - <<EOF
bind * -::*
dir /data
appendonly yes
maxmemory $MAXMEMORY
maxmemory-policy noeviction
requirepass $REDISCLI_AUTH
EOF`;

/**
 * MongoDB with access control. The image's MONGO_INITDB_* variables only work on an empty directory; this script makes
 * the user match on whatever data it finds (new, restored, imported): where the mark beside the data is not that of the
 * password and the roles, the server runs on loopback for a moment without access control, and the user is created or updated.
 */
export function mongodb(secrets: Secrets): Start {
    return {
        command: ["bash", "-c", MONGODB],
        envs: [`MONGODB_USER=${MONGODB_USER}`, pulumi.interpolate`MONGODB_PASSWORD=${secrets.mongodbPassword}`],
        data: "/data/db",
    };
}

export const MONGODB = `set -eu
cd /data/db
mark=.forwardemail-user
# clusterManager: an update to another major release ends with setFeatureCompatibilityVersion.
ROLES="readWriteAnyDatabase dbAdminAnyDatabase clusterMonitor clusterManager"
export ROLES
wanted=$(printf %s "$MONGODB_USER:$MONGODB_PASSWORD:$ROLES" | sha256sum | cut -c 1-32)
if [ "$(cat "$mark" 2>/dev/null)" != "$wanted" ]; then
    mongod --dbpath /data/db --bind_ip 127.0.0.1 --port 27018 &
    server=$!
    trap 'kill "$server"' EXIT
    until (exec 3<>/dev/tcp/127.0.0.1/27018) 2>/dev/null; do kill -0 "$server"; sleep 0.2; done
    mongosh --quiet --port 27018 admin --eval '
        const user = process.env.MONGODB_USER;
        const pwd = process.env.MONGODB_PASSWORD;
        const roles = process.env.ROLES.split(" ");
        const known = db.getUsers().users.some((u) => u.user === user);
        known ? db.updateUser(user, { pwd, roles }) : db.createUser({ user, pwd, roles });'
    trap - EXIT
    kill "$server"
    wait "$server" || true
    printf %s "$wanted" > "$mark.new"
    mv "$mark.new" "$mark"
fi
exec mongod --quiet --dbpath /data/db --bind_ip_all --auth`;
