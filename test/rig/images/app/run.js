"use strict";

/** The life of one process: start, MongoDB and Redis, a graceful SIGTERM. */

const Redis = require("ioredis");
const { MongoClient } = require("mongodb");
const { env, refuse } = require("./env");

const version = process.env.DOUBLE_VERSION ?? "v0.0.0";
const broken = process.env.DOUBLE_BREAK ?? "";
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const closers = [];
let stopping = false;

/** Registers what has to happen before a clean exit. Run in the order of registration: listeners first, databases last. */
const onStop = (close) => closers.push(close);

async function stop(signal) {
    if (stopping) return;
    stopping = true;
    console.log(`${signal}: finishing`);
    setTimeout(() => process.exit(0), 15_000).unref();
    for (const close of closers) await close();
    process.exit(0);
}
// PID 1 has no default action for signals: without these a container would be killed after its grace period.
process.on("SIGTERM", () => stop("SIGTERM"));
process.on("SIGINT", () => stop("SIGINT"));

/** Ten tries, as the real processes make, then a non-zero exit: the container's restart policy takes over. */
async function insist(what, attempt) {
    for (let tries = 1; ; tries++) {
        try {
            return await attempt();
        } catch (error) {
            if (stopping) return undefined;
            console.error(`${what}: ${error.message} (try ${tries} of 10)`);
            if (tries === 10) refuse([`${what} cannot be used: ${error.message}`]);
            await sleep(1000);
        }
    }
}

/**
 * Connects in the background: servers listen before MongoDB answers, as the real ones do, so a green port proves nothing.
 * `prefix` picks the Redis settings (`WEB_REDIS_HOST` …).
 */
function connect(prefix) {
    const mongo = (uri) => new MongoClient(uri, { family: 4, serverSelectionTimeoutMS: 3000, appName: process.argv[1] });
    const [main, logs] = [mongo(env.MONGO_URI), mongo(env.LOGS_URI)];
    const setting = (key) => env[`${prefix}_REDIS_${key}`];
    const redis = new Redis({ host: setting("HOST"), port: setting("PORT"), password: setting("PASSWORD") || undefined, maxRetriesPerRequest: 1 });
    redis.on("error", (error) => console.error(`Redis: ${error.message}`));
    // A find, not a ping: a database that wants a password answers pings without one. The explicit connect is what a
    // client needs to try again after its first attempt failed.
    const probe = async (client) => (await client.connect()).db().collection("domains").findOne();
    Promise.all([insist("MongoDB", () => probe(main)), insist("MongoDB (logs)", () => probe(logs)), insist("Redis", () => redis.ping())]).then(() =>
        console.log("MongoDB and Redis connected"),
    );
    onStop(async () => {
        redis.disconnect();
        await Promise.all([main.close(), logs.close()]);
    });
    return { db: main.db(), logs: logs.db(), redis };
}

/** Repeats `job` until SIGTERM; a job under way is finished first. */
function every(ms, job) {
    let wake = () => {};
    const loop = (async () => {
        while (!stopping) {
            const again = await job().catch((error) => console.error(error.message));
            if (!again && !stopping) await Promise.race([sleep(ms), new Promise((resolve) => (wake = resolve))]);
        }
    })();
    // Before the databases are closed.
    closers.unshift(async () => {
        wake();
        await loop;
    });
}

module.exports = { version, broken, connect, every, onStop, sleep };
