"use strict";

/**
 * Who has guessed wrong too often, as upstream's helpers/on-auth.js has it: different wrong passwords are counted by client address in
 * Redis, and from the tenth on the address is refused for a day. A wrong password is logged nowhere; such a refusal is.
 */

const { createHash } = require("node:crypto");
const { findAlias, login } = require("./accounts");

const LIMIT = 10;
const DAY = 24 * 3600 * 1000;

/** The alias, or undefined where the password is wrong or nobody has that name. Rejects for an address that is refused. */
async function attempt({ db, redis }, { username, password }, { remoteAddress }) {
    const [count, tried] = ["limit", "attempts"].map((what) => `auth_${what}_production:${remoteAddress}`);
    if (Number(await redis.get(count)) >= LIMIT) throw refusal(remoteAddress);
    if (!(await findAlias(db, username ?? ""))) return undefined; // which is not counted
    const alias = await login(db, username, password);
    if (alias) await redis.del(count);
    else
        await fail(
            redis,
            count,
            tried,
            createHash("sha256")
                .update(password ?? "")
                .digest("hex")
                .slice(0, 10),
        );
    return alias;
}

function refusal(remoteAddress) {
    const message = "You have exceeded the maximum number of failed authentication attempts. Please try again later.";
    console.error(`[error] ${message}`, { session: { remoteAddress } });
    return Object.assign(new Error(message), { responseCode: 550, response: "NO", ignoreHook: true });
}

async function fail(redis, count, tried, hash) {
    const before = JSON.parse((await redis.get(tried)) ?? "[]");
    if (before.includes(hash)) return;
    const all = JSON.stringify([...before, hash]);
    await redis.pipeline().incrby(count, 1).pexpire(count, DAY).set(tried, all, "PX", DAY).exec();
}

module.exports = { attempt };
