"use strict";

/** Receives mail for known aliases only, and records the address it saw the client under. */

const os = require("node:os");
const { findAlias, findDomain, split } = require("./accounts");
const { tls } = require("./env");
const { handler, read, reject, serveMail } = require("./mail");
const { mailbox } = require("./mailbox");
const { broken, connect, version } = require("./run");

const record = (session, event, details = {}) =>
    logs.collection("logs").insertOne({ at: new Date(), service: "mx", event, client: session.remoteAddress, ...details });

/** The envelope's sender is where upstream's seal has it (helpers/on-data-mx.js). Nothing is verified here. */
function received(session) {
    const seal = `ARC-Authentication-Results: i=1; ${os.hostname()};\r\n spf=none smtp.mailfrom="${session.envelope.mailFrom.address}"`;
    const protocol = session.secure ? "ESMTPS" : "ESMTP";
    const from = `${session.hostNameAppearsAs} ([${session.remoteAddress}])`;
    return `${seal}\r\nX-Seen-Client: ${session.remoteAddress}\r\nReceived: from ${from}\r\n by ${os.hostname()} (${version}) with ${protocol};\r\n ${new Date().toUTCString()}\r\n`;
}

/** Takes any recipient and decides when it has the message, as upstream does (helpers/on-rcpt-to.js, helpers/get-recipients.js). */
async function store(stream, session) {
    const raw = Buffer.concat([Buffer.from(received(session)), await read(stream)]).toString("base64");
    const { mailFrom, rcptTo } = session.envelope;
    const known = [];
    const refusals = [];
    for (const { address } of rcptTo) {
        const alias = await findAlias(db, address);
        if (alias) known.push({ address, alias });
        else if (broken !== "open-relay") refusals.push(await refuse(address, session));
    }
    if (known.length === 0 && refusals.length > 0) throw refusals[0];
    for (const { address, alias } of known) {
        await redis.incr(`received:${split(address).domain}`);
        await mailbox(alias, "append", { path: "INBOX", raw });
        // A failure from here on must not become a 451: the sender would deliver the stored message again.
        await record(session, "accepted", { from: mailFrom.address, to: address }).catch((error) => console.error(error.message));
    }
    return "accepted";
}

/** Why a message is not for this one. */
async function refuse(address, session) {
    await record(session, "rejected", { to: address });
    return (await findDomain(db, split(address).domain)) ? reject(550, "5.1.1 no such user") : reject(550, "5.7.1 relaying denied");
}

serveMail("MX", {
    ...tls("WEB"),
    disabledCommands: ["AUTH"],
    onData: handler(store),
});
const { db, logs, redis } = connect("BREE");
