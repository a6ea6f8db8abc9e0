"use strict";

/** Scheduled jobs of the site. The double's only job keeps both connections alive and leaves a trace. */

const { broken, connect, every } = require("./run");

const { db, redis } = connect("BREE");

console.log("Lad bree started");
if (broken === "worker-crash") setTimeout(() => process.exit(1), 3000);
every(30_000, async () => {
    await redis.set("bree:domains", await db.collection("domains").countDocuments());
});
