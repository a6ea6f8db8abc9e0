"use strict";

/** The only process that writes mailboxes: a websocket that wants a shared secret, encrypted with the shared key. */

const fs = require("node:fs");
const https = require("node:https");
const { WebSocketServer } = require("ws");
const { decrypt } = require("./accounts");
const { env, refuse, tls } = require("./env");
const { connect, onStop } = require("./run");
const store = require("./store");

const storage = `/mnt/${env.SQLITE_STORAGE_PATH}`;
try {
    fs.accessSync(storage, fs.constants.R_OK | fs.constants.W_OK | fs.constants.X_OK);
} catch (error) {
    refuse([`SQLITE_STORAGE_PATH: ${error.message}`]);
}

function isSibling(request) {
    try {
        const [user] = Buffer.from(request.headers.authorization.split(" ")[1], "base64").toString().split(":");
        return env.API_SECRETS.includes(decrypt(user));
    } catch {
        return false;
    }
}

function reply({ id, ...request }) {
    try {
        return { id, result: store.perform(request) };
    } catch (error) {
        console.error(`${request.action}: ${error.message}`);
        return { id, error: error.message };
    }
}

const server = https.createServer(tls("WEB"), (request, response) => response.writeHead(426).end());
const sockets = new WebSocketServer({ noServer: true, maxPayload: 128 * 1024 * 1024 });
server.on("upgrade", (request, socket, head) => {
    if (!isSibling(request)) return socket.end("HTTP/1.1 401 Unauthorized\r\n\r\n");
    return sockets.handleUpgrade(request, socket, head, (client) => {
        client.on("error", (error) => console.error(error.message));
        client.on("message", (message) => client.send(JSON.stringify(reply(JSON.parse(message)))));
    });
});
server.listen(env.SQLITE_PORT, "::", () => console.log(`SQLite WebSocket server listening on ${env.SQLITE_PORT}`));
onStop(() => {
    server.close();
    sockets.clients.forEach((client) => client.close(1001));
    store.close();
});
connect("IMAP");
