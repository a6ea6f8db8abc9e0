"use strict";

/** IMAP over TLS: wildduck's protocol core on top of the sqlite service. Folders are fixed; IDLE reports nothing by itself. */

const { IMAPServer, imapHandler } = require("wildduck/imap-core");
const parseMimeTree = require("wildduck/imap-core/lib/indexer/parse-mime-tree");
const { attempt } = require("./attempts");
const { env, tls } = require("./env");
const { mailbox } = require("./mailbox");
const { connect, onStop } = require("./run");

const server = new IMAPServer({
    ...tls("WEB"),
    secure: true,
    logger: false,
    id: { name: "application double" },
    SNICallback: (name, done) => done(null, server.secureContext.get("*")),
});
server.notifier = { addListener() {}, removeListener() {}, releaseConnection: (data, done) => done(), getUpdates: (...args) => args.pop()(null, []) };

/** Registers an async handler. The session is always the argument before the callback. */
function on(event, work) {
    server[event] = (...args) => {
        const done = args.pop();
        const { user } = args.at(-1) ?? {};
        work(...args, user?.alias).then((result) => done(null, ...[].concat(result)), done);
    };
}

const list = async (query, session, alias) => {
    const folders = await mailbox(alias, "folders");
    return [folders.map(({ path, special }) => ({ path, specialUse: special ?? undefined }))];
};

/** Messages of a folder with their content, in the shape the protocol core formats and searches. */
async function* load(alias, path, uids) {
    const { messages } = await mailbox(alias, "open", { path });
    for (const message of messages.filter(({ uid }) => uids.includes(uid))) {
        const raw = Buffer.from(await mailbox(alias, "fetch", { path, uid: message.uid }), "base64");
        yield { ...message, idate: new Date(message.date), mimeTree: parseMimeTree(raw) };
    }
}

on("onAuth", async ({ username, password }, session) => {
    const alias = await attempt(stores, { username, password }, session);
    return alias ? { user: { id: alias._id, username, alias } } : false;
});
on("onList", list);
on("onLsub", list);
on("onOpen", async (path, session, alias) => {
    const { next, validity, modseq, messages } = await mailbox(alias, "open", { path });
    return { _id: path, uidValidity: validity, uidNext: next, modifyIndex: modseq, uidList: messages.map(({ uid }) => uid) };
});
on("onStatus", async (path, session, alias) => {
    const { next, validity, modseq, messages } = await mailbox(alias, "open", { path });
    const unseen = messages.filter(({ flags }) => !flags.includes("\\Seen")).length;
    return { messages: messages.length, uidNext: next, uidValidity: validity, highestModseq: modseq, unseen };
});
on("onAppend", async (path, flags, date, raw, session, alias) => {
    const { uid, validity } = await mailbox(alias, "append", { path, flags, raw: Buffer.from(raw).toString("base64") });
    return [true, { uidValidity: validity, uid, id: uid, mailbox: path, mailboxPath: path, size: raw.length, status: "new" }];
});
on("onStore", async (path, { messages, action, value, silent, isUid }, session, alias) => {
    for (const { uid, flags } of await mailbox(alias, "flag", { path, uids: messages, change: action, flags: value })) {
        if (!silent) session.writeStream.write(session.formatResponse("FETCH", uid, { uid: isUid ? uid : false, flags }));
    }
    return true;
});
on("onExpunge", async (path, { isUid, messages: wanted, silent }, session, alias) => {
    const { messages } = await mailbox(alias, "open", { path });
    const gone = messages.filter(({ uid, flags }) => flags.includes("\\Deleted") && (!isUid || wanted.includes(uid)));
    await mailbox(alias, "remove", { path, uids: gone.map(({ uid }) => uid) });
    if (!silent) gone.forEach(({ uid }) => session.writeStream.write(session.formatResponse("EXPUNGE", uid)));
    return true;
});
on("onFetch", async (path, { messages, query, markAsSeen }, session, alias) => {
    if (markAsSeen) await mailbox(alias, "flag", { path, uids: messages, change: "add", flags: ["\\Seen"] });
    for await (const message of load(alias, path, messages)) {
        const values = session.getQueryResponse(query, message);
        const stream = imapHandler.compileStream(session.formatResponse("FETCH", message.uid, { query, values }));
        await new Promise((resolve) => session.writeStream.write(stream, resolve));
    }
    return true;
});
on("onSearch", async (path, { query }, session, alias) => {
    const uidList = [];
    for await (const message of load(alias, path, session.selected.uidList)) {
        const match = (error, matched) => matched && uidList.push(message.uid);
        await new Promise((resolve) => session.matchSearchQuery(message, query, (...result) => resolve(match(...result))));
    }
    return { uidList, highestModseq: 0 };
});

server.on("error", (error) => {
    if (error.syscall === "listen") throw error;
    console.error(error.message);
});
server.listen(env.IMAP_PORT, "::", () => console.log(`IMAP server listening on ${env.IMAP_PORT}`));
onStop(() => new Promise((resolve) => server.close(resolve)));
const stores = connect("IMAP");
