"use strict";

/** POP3 over TLS: wildduck's server on top of the sqlite service. */

const { Readable } = require("node:stream");
const POP3Server = require("wildduck/lib/pop3/server");
const { attempt } = require("./attempts");
const { env, tls } = require("./env");
const { mailbox } = require("./mailbox");
const { connect, onStop } = require("./run");

const path = "INBOX";
const reply =
    (work) =>
    (...args) => {
        const done = args.pop();
        work(...args).then((result) => done(null, result), done);
    };

const server = new POP3Server({
    ...tls("WEB"),
    secure: true,
    logger: false,
    SNICallback: (name, done) => done(null, server.secureContext.get("*")),

    onAuth: reply(async ({ username, password }, session) => {
        const alias = await attempt(stores, { username, password }, session);
        return alias && { user: { id: alias._id, username, alias } };
    }),

    onListMessages: reply(async ({ user }) => {
        const { messages } = await mailbox(user.alias, "open", { path });
        const listing = messages.map(({ uid, size, flags }) => ({ id: String(uid), uid, size, seen: flags.includes("\\Seen") }));
        return { messages: listing, count: listing.length, size: listing.reduce((sum, { size }) => sum + size, 0) };
    }),

    onFetchMessage: reply(async ({ uid }, { user }) => {
        const raw = await mailbox(user.alias, "fetch", { path, uid });
        return Readable.from([Buffer.from(raw, "base64")]);
    }),

    onUpdate: reply(async ({ deleted, seen }, { user }) => {
        const uids = (messages) => messages.map(({ uid }) => uid);
        await mailbox(user.alias, "flag", { path, uids: uids(seen), change: "add", flags: ["\\Seen"] });
        await mailbox(user.alias, "remove", { path, uids: uids(deleted) });
    }),
});
server.loggelf = () => {};
server.on("error", (error) => {
    if (error.syscall === "listen") throw error;
    console.error(error.message);
});
server.listen(env.POP3_PORT, "::", () => console.log(`POP3 server listening on ${env.POP3_PORT}`));
onStop(() => new Promise((resolve) => server.close(resolve)));
const stores = connect("POP3");
