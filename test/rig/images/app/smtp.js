"use strict";

/** Submission: authenticated senders put mail into the queue in MongoDB. */

const { attempt } = require("./attempts");
const { env, tls } = require("./env");
const { handler, read, reject, serveMail } = require("./mail");
const { broken, connect } = require("./run");

/** Of the application's own user, too: without the alias, its mail is refused (upstream's issue 362). */
async function authenticate(auth, session) {
    if (!(await attempt({ db, redis }, auth, session))) throw Object.assign(reject(535, "5.7.8 wrong user name or password"), { ignoreHook: true });
    return { user: auth.username.toLowerCase() };
}

async function sender({ address }, session) {
    if (address.toLowerCase() !== session.user) throw reject(553, `5.7.1 ${session.user} may not send as ${address}`);
}

async function queue(stream, session) {
    const message = await read(stream);
    const { mailFrom, rcptTo } = session.envelope;
    const pending = [...new Set(rcptTo.map(({ address }) => address))];
    const email = { status: "queued", from: mailFrom.address, pending, accepted: [], rejected: [], attempts: 0, next_at: new Date(), message };
    const { insertedId } = await db.collection("emails").insertOne({ ...email, created_at: new Date() });
    await logs.collection("logs").insertOne({ at: new Date(), service: "smtp", event: "queued", client: session.remoteAddress, from: email.from });
    return `queued as ${insertedId}`;
}

const isImplicitTls = [465, 2465, 2455].includes(env.SMTP_PORT);
const options = { ...tls("WEB"), secure: isImplicitTls, onAuth: handler(authenticate), onMailFrom: handler(sender), onData: handler(queue) };
if (broken === "smtp-crash") setTimeout(() => process.exit(1), 1000);
if (broken !== "hang") serveMail("SMTP", options);
const { db, logs, redis } = connect("BREE");
