"use strict";

/** Delivers the queue, one message at a time. A recipient leaves the queue only after the next server took or refused it. */

const dns = require("node:dns/promises");
const os = require("node:os");
const { domainToASCII } = require("node:url");
const nodemailer = require("nodemailer");
const { decrypt, findDomain, split } = require("./accounts");
const { dkimKey, env } = require("./env");
const { connect, every } = require("./run");

const { db } = connect("BREE");
const emails = db.collection("emails");

/** A domain of ours goes to our MX; RIG_OUTBOUND_RELAY stands in for the rest of the internet. */
async function nextServer(domain) {
    // The real one finds MX_HOST in public DNS. Within Docker's network that is our own name, too: our EHLO name is an alias there.
    if (await findDomain(db, domain)) return { host: (await dns.resolve4("mx"))[0], port: 25 };
    if (env.RIG_OUTBOUND_RELAY) {
        const [host, port] = env.RIG_OUTBOUND_RELAY.split(":");
        return { host, port: Number(port) };
    }
    const [mx] = (await dns.resolveMx(domain)).sort((a, b) => a.priority - b.priority);
    return { host: mx.exchange, port: 25 };
}

/** Who signs, and where bounces go: below the domain's own name, as the real one has it. The system's own mail keeps its sender. */
async function identity({ _id, from }) {
    const domain = await findDomain(db, split(from).domain);
    if (!domain) return { sender: from, dkim: { domainName: env.DKIM_DOMAIN_NAME, keySelector: env.DKIM_KEY_SELECTOR, privateKey: dkimKey } };
    const name = domainToASCII(domain.name);
    return {
        sender: `bounce-${_id}@${domain.return_path}.${name}`,
        dkim: { domainName: name, keySelector: domain.dkim_key_selector, privateKey: decrypt(domain.dkim_private_key) },
    };
}

async function send(email, recipient) {
    const server = await nextServer(split(recipient).domain);
    const transport = nodemailer.createTransport({
        ...server,
        name: os.hostname(),
        tls: { rejectUnauthorized: false },
        connectionTimeout: 10_000,
    });
    const raw = email.message.buffer;
    const { sender, dkim } = await identity(email);
    await transport.sendMail({ envelope: { from: sender, to: recipient }, raw, dkim });
    return `${server.host}:${server.port}`;
}

/** Ends with the recipient recorded as accepted or rejected, or still pending. */
async function deliver(email, recipient) {
    try {
        console.log(`${email._id}: ${recipient} accepted by ${await send(email, recipient)}`);
        await emails.updateOne({ _id: email._id }, { $pull: { pending: recipient }, $push: { accepted: recipient } });
    } catch (error) {
        console.error(`${email._id}: ${recipient}: ${error.message}`);
        if (!(error.responseCode >= 500)) return;
        await emails.updateOne({ _id: email._id }, { $pull: { pending: recipient }, $push: { rejected: recipient } });
    }
}

async function work() {
    const email = await emails.findOne({ status: "queued", next_at: { $lte: new Date() } });
    if (!email) return false;
    for (const recipient of email.pending) await deliver(email, recipient);
    const { pending, rejected } = await emails.findOne({ _id: email._id });
    const attempts = email.attempts + 1;
    const next_at = new Date(Date.now() + Math.min(60, 2 ** attempts) * 1000);
    const status = pending.length > 0 ? "queued" : rejected.length > 0 ? "bounced" : "sent";
    await emails.updateOne({ _id: email._id }, { $set: { status, attempts, next_at } });
    return true;
}

console.log("SMTP bree started");
every(1000, work);
