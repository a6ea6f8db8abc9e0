import * as net from "node:net";

export interface Endpoint {
    host: string;
    port: number;
}

/** Carries connections from one address to another, so that a loopback port of the machine reaches a host's namespace. */
export function forward(from: Endpoint, to: Endpoint): Promise<net.Server> {
    const server = net.createServer({ allowHalfOpen: true }, (client) => {
        const target = net.connect({ ...to, allowHalfOpen: true });
        // Either side's failure ends the other; an ordinary end is passed on by pipe, one direction at a time.
        client.on("error", () => target.destroy());
        target.on("error", () => client.destroy());
        client.pipe(target).pipe(client);
    });
    return new Promise((resolve, reject) => {
        server.once("error", reject);
        server.listen(from.port, from.host, () => resolve(server));
    });
}

/** "127.0.0.1:8443" or "[::1]:8443". */
function endpoint(text: string): Endpoint {
    const { hostname, port } = new URL(`tcp://${text}`);
    return { host: hostname.replace(/^\[|\]$/g, ""), port: Number(port) };
}

/** Whether nobody listens there yet. */
export async function isFree(endpoint: Endpoint): Promise<boolean> {
    const server = await forward(endpoint, endpoint).catch(() => undefined);
    if (!server) return false;
    await new Promise((resolve) => server.close(resolve));
    return true;
}

/** `forward.ts FROM TO [FROM TO ...]`; says when it listens. A port that is taken does not keep the others from working. */
if (require.main === module) {
    const endpoints = process.argv.slice(2).map(endpoint);
    const all = endpoints.flatMap((from, at) => (at % 2 === 0 ? [forward(from, endpoints[at + 1])] : []));
    void Promise.allSettled(all).then((results) => {
        for (const result of results) if (result.status === "rejected") console.error(`forward: ${(result.reason as Error).message}`);
        console.log("listening");
    });
}
