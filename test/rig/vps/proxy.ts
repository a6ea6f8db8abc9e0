import * as fs from "node:fs";
import * as http from "node:http";
import * as net from "node:net";

import { type Endpoint, forward } from "../forward";

export interface ProxyConfig {
    listen: Endpoint;
    /** The proxy of the machine, where it needs one itself. */
    parent?: Endpoint;
}

/** An HTTP proxy for apt on the servers, which have no way to the real internet. */
function proxy({ host, port }: Endpoint): void {
    const server = http.createServer((request, response) => {
        const { method, headers } = request;
        if (!request.url?.startsWith("http://")) return response.writeHead(400).end();
        const onward = http.request(request.url, { method, headers }, (answer) => {
            response.writeHead(answer.statusCode ?? 502, answer.headers);
            answer.pipe(response);
            answer.on("error", () => response.destroy());
        });
        onward.on("error", () => (response.headersSent ? response.destroy() : response.writeHead(502).end()));
        response.on("close", () => onward.destroy());
        request.pipe(onward);
    });
    server.on("connect", (request: http.IncomingMessage, client: net.Socket) => {
        const { hostname, port } = new URL(`tcp://${request.url}`);
        const target = net.connect(Number(port), hostname, () => client.write("HTTP/1.1 200 OK\r\n\r\n"));
        client.on("error", () => target.destroy());
        target.on("error", () => client.destroy());
        client.pipe(target).pipe(client);
    });
    server.listen(port, host);
}

/** `proxy.ts CONFIG`: a process of its own, because the tests wait for commands on a server without serving anything meanwhile. */
const { listen, parent } = JSON.parse(fs.readFileSync(process.argv[2], "utf8")) as ProxyConfig;
if (parent) void forward(listen, parent);
else proxy(listen);
