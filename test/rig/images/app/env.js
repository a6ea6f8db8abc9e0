"use strict";

/**
 * The environment contract: the application's own loader with its parsing traps (a comma makes an array, digits make a
 * number, `{{X}}` is HTML-escaped), then a refusal of whatever the real processes would only trip over later.
 */

const crypto = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");
const { createSecureContext } = require("node:tls");
const load = require("@ladjs/env");

function refuse(problems) {
    for (const problem of problems) console.error(`refused: ${problem}`);
    process.exit(1);
}

function loadEnv() {
    try {
        const file = (name) => path.join(__dirname, name);
        return load({ path: file(".env"), defaults: file(".env.defaults"), schema: file(".env.schema") });
    } catch (error) {
        return refuse([error.message]);
    }
}

const env = loadEnv();

const text = (value) => typeof value === "string" && value.length > 0;
const url = (scheme) => (value) => text(value) && value.startsWith(`${scheme}://`);

/** key: [test, what is wanted]. A message names the parsed type, never the value. */
const rules = {
    HELPER_ENCRYPTION_KEY: [(v) => text(v) && Buffer.byteLength(v) === 32, "exactly 32 bytes of text"],
    TXT_ENCRYPTION_KEY: [(v) => text(v) && /^[0-9a-f]{32}$/.test(v), "16 bytes in lower-case hex"],
    API_SECRETS: [(v) => Array.isArray(v) && v.length > 0 && v.every(text), "a comma-separated list (one secret: `secret,`)"],
    MONGO_URI: [url("mongodb"), "mongodb://…"],
    LOGS_URI: [url("mongodb"), "mongodb://…"],
    WEB_URL: [url("https"), "https://…"],
    API_URL: [url("https"), "https://…"],
    CALDAV_URL: [url("https"), "https://…"],
    CARDDAV_URL: [url("https"), "https://…"],
};
const secrets = ["SRS_SECRET", "WEBHOOK_SIGNATURE_KEY", "SMTP_TRANSPORT_PASS"];
const hosts = ["MX_HOST", "REDIS_HOST", "SMTP_HOST", "SQLITE_HOST", "WEB_HOST"];
for (const key of [...secrets, ...hosts]) rules[key] = [text, "non-empty text"];

const got = (value) => (value === "" ? "nothing" : Array.isArray(value) ? "a list" : `a ${typeof value} that does not fit`);
const problems = Object.entries(rules)
    .filter(([key, [test]]) => !test(env[key]))
    .map(([key, [, wanted]]) => `${key}: wanted ${wanted}, got ${got(env[key])}`);
if (env.NODE_ENV !== "production" || env.SELF_HOSTED !== true) problems.push("NODE_ENV must be production and SELF_HOSTED true");

if (problems.length > 0) refuse(problems);

function read(key) {
    try {
        return fs.readFileSync(env[key]);
    } catch (error) {
        return refuse([`${key}: ${error.message}`]);
    }
}

// The real configuration reads this file in every process, so a wrong owner or mode stops all of them.
const dkimKey = read("DKIM_PRIVATE_KEY_PATH").toString();
try {
    crypto.createPrivateKey(dkimKey);
} catch {
    refuse(["DKIM_PRIVATE_KEY_PATH: not a private key"]);
}

/** Key, certificate and chain of one front (`WEB`, `API`, `CALDAV`, `CARDDAV`). Read once: a renewal needs a restart. */
function tls(front) {
    const options = { key: read(`${front}_SSL_KEY_PATH`), cert: read(`${front}_SSL_CERT_PATH`), ca: read(`${front}_SSL_CA_PATH`) };
    try {
        createSecureContext(options);
    } catch (error) {
        refuse([`${front}_SSL_*: ${error.message}`]);
    }
    return options;
}

module.exports = { env, dkimKey, refuse, tls };
