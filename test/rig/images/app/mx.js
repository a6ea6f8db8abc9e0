"use strict";

/** Receives mail for known aliases only, and records the address it saw the client under. */

const os = require("node:os");
const { findAlias, findDomain, split } = require("./accounts");
const { tls } = require("./env");
const { handler, read, reject, serveMail } = require("./mail");
const { mailbox } = require("./mailbox");
const { broken, connect } = require("./run");

const record = (session, event, details = {}) =>
    logs.collection("logs").insertOne({ at: new Date(), service: "mx", event, client: session.remoteAddress, ...details });

async function recipient({ address }, session) {
    const alias = await findAlias(db, address);
    if (alias || broken === "open-relay") return;
    await record(session, "rejected", { to: address });
    if (await findDomain(db, split(address).domain)) throw reject(550, "5.1.1 no such user");
    throw reject(550, "5.7.1 relaying denied");
}

function received(session) {
    const protocol = session.secure ? "ESMTPS" : "ESMTP";
    const from = `${session.hostNameAppearsAs} ([${session.remoteAddress}])`;
    return `X-Seen-Client: ${session.remoteAddress}\r\nReceived: from ${from}\r\n by ${os.hostname()} with ${protocol};\r\n ${new Date().toUTCString()}\r\n`;
}

async function store(stream, session) {
    const raw = Buffer.concat([Buffer.from(received(session)), await read(stream)]).toString("base64");
    const { mailFrom, rcptTo } = session.envelope;
    for (const { address } of rcptTo) {
        await redis.incr(`received:${split(address).domain}`);
        await mailbox(await findAlias(db, address), "append", { path: "INBOX", raw });
        // A failure from here on must not become a 451: the sender would deliver the stored message again.
        await record(session, "accepted", { from: mailFrom.address, to: address }).catch((error) => console.error(error.message));
    }
    return "accepted";
}

serveMail("MX", {
    ...tls("WEB"),
    disabledCommands: ["AUTH"],
    onRcptTo: handler(recipient),
    onData: handler(store),
});
const { db, logs, redis } = connect("BREE");
