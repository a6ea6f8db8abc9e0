"use strict";

/** What MX and submission share on top of smtp-server. */

const os = require("node:os");
const { SMTPServer } = require("smtp-server");
const { env } = require("./env");
const { onStop } = require("./run");

const reject = (code, message) => Object.assign(new Error(message), { responseCode: code });

async function read(stream) {
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    if (stream.sizeExceeded) throw reject(552, "5.3.4 message too large");
    return Buffer.concat(chunks);
}

/** An async handler as smtp-server's callback; a failure of ours (database, storage) is temporary for the sender. */
const handler = (work) => (first, session, done) =>
    work(first, session).then(
        (result) => done(null, result),
        (error) => {
            if (!error.ignoreHook) console.error(`${session.remoteAddress}: ${error.message}`); // upstream's name for what it does not log
            done(error.responseCode ? error : reject(451, "4.3.0 try again later"));
        },
    );

function serveMail(front, options) {
    const port = env[`${front}_PORT`];
    const common = { name: os.hostname(), size: 50 * 1024 * 1024, disableReverseLookup: true, closeTimeout: 3000 };
    const server = new SMTPServer({ ...common, ...options });
    server.on("error", (error) => {
        if (error.syscall === "listen") throw error;
        console.error(error.message);
    });
    server.listen(port, "::", () => console.log(`${front} server listening on ${port}`));
    onStop(() => new Promise((resolve) => server.close(resolve)));
}

module.exports = { handler, read, reject, serveMail };
