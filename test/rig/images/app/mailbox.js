"use strict";

/** Client of the sqlite service. Connects on first use and again after a loss; a request that was under way fails. */

const WebSocket = require("ws");
const { encrypt } = require("./accounts");
const { env } = require("./env");

const waiting = new Map();
let socket;
let count = 0;

function connection() {
    if (socket) return socket;
    const address = `wss://${env.SQLITE_HOST}:${env.SQLITE_PORT}`;
    // The real client does not verify this certificate either: its name need not be in it.
    const options = { auth: `${encrypt(env.API_SECRETS[0])}:`, rejectUnauthorized: false, handshakeTimeout: 5000 };
    socket = new Promise((resolve, reject) => {
        const client = new WebSocket(address, options);
        client.on("open", () => resolve(client));
        client.on("error", reject);
        client.on("message", (message) => {
            const { id, result, error } = JSON.parse(message);
            const { resolve: done, reject: failed } = waiting.get(id);
            if (error) failed(new Error(error));
            else done(result);
        });
        client.on("close", () => {
            socket = undefined;
            for (const { reject: failed } of waiting.values()) failed(new Error(`${address}: connection lost`));
        });
    });
    socket.catch((error) => {
        console.error(`${address}: ${error.message}`);
        socket = undefined;
    });
    return socket;
}

async function mailbox(alias, action, args = {}) {
    const client = await connection();
    const id = ++count;
    const answer = new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
    const limit = setTimeout(() => waiting.get(id)?.reject(new Error("the sqlite service does not answer")), 10_000);
    try {
        client.send(JSON.stringify({ id, alias, action, ...args }));
        return await answer;
    } finally {
        clearTimeout(limit);
        waiting.delete(id);
    }
}

module.exports = { mailbox };
