"use strict";

/** Cleans the storage: temporary files that a crash left behind. */

const fs = require("node:fs/promises");
const path = require("node:path");
const { env } = require("./env");
const { connect, every } = require("./run");

const { redis } = connect("IMAP");
const storage = `/mnt/${env.SQLITE_STORAGE_PATH}`;

console.log("SQLite bree started");
every(30_000, async () => {
    const files = await fs.readdir(storage);
    for (const file of files.filter((name) => name.endsWith(".tmp"))) await fs.rm(path.join(storage, file));
    await redis.set("sqlite-bree:files", files.length);
});
