"use strict";

/** One HTTP(S) front on node's own server, with routing left to the caller. */

const http = require("node:http");
const https = require("node:https");
const { env, tls } = require("./env");
const { broken, onStop, sleep, version } = require("./run");

const basic = (header = "") => {
    const [scheme, value = ""] = header.split(" ");
    if (scheme.toLowerCase() !== "basic") return undefined;
    const text = Buffer.from(value, "base64").toString();
    const colon = text.indexOf(":");
    return colon < 0 ? { user: text, password: "" } : { user: text.slice(0, colon), password: text.slice(colon + 1) };
};

async function body(request) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    const json = (request.headers["content-type"] ?? "").includes("json");
    return json ? JSON.parse(text || "{}") : Object.fromEntries(new URLSearchParams(text));
}

const isFront = (front) => front === "WEB" || front === "API";

async function answer(front, handler, request) {
    if (broken === "web-500" && isFront(front)) return [500, "broken on purpose"];
    try {
        const { pathname } = new URL(request.url, "http://double");
        const credentials = basic(request.headers.authorization);
        return await handler({ method: request.method, path: pathname, credentials, body: await body(request) });
    } catch (error) {
        console.error(`${request.method} ${request.url}: ${error.message}`);
        return [error.status ?? 500, { message: error.status ? error.message : "internal error" }];
    }
}

/** `handler({ method, path, credentials, body })` answers `[status, text or object, headers]`. */
function serve(front, title, handler) {
    let underWay = 0;
    const listener = async (request, response) => {
        underWay++;
        response.on("close", () => underWay--);
        const [status, content, headers = {}] = await answer(front, handler, request);
        const json = typeof content === "object";
        response.writeHead(status, {
            "content-type": json ? "application/json" : "text/html; charset=utf-8",
            "x-double-version": version,
            ...headers,
        });
        response.end(json ? JSON.stringify(content) : content);
    };
    const server = env[`${front}_PROTOCOL`] === "https" ? https.createServer(tls(front), listener) : http.createServer(listener);
    server.listen(env[`${front}_PORT`], "::", () => console.log(`${title} server listening on ${env[`${front}_PORT`]}`));
    onStop(async () => {
        server.close();
        // Answers what has arrived, then drops idle connections, which would live until the client's own timeout.
        do await sleep(1000);
        while (underWay > 0);
        server.closeAllConnections();
    });
}

module.exports = { serve };
