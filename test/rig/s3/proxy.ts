import { once } from "node:events";
import * as fs from "node:fs";
import * as http from "node:http";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";

/** What stands between clients and the server; nothing of it where it is left out. */
export interface Disturbance {
    /** Every write is refused, as where a policy forbids it: 403 AccessDenied. */
    refuseWrites?: boolean;
    /** Nothing more is stored, but things can be deleted: 507 XMinioStorageFull, as MinIO says it. */
    full?: boolean;
    /** How fast bodies of requests go through, all of them together. */
    bytesPerSecond?: number;
    /** Clients seem to have a clock that is an hour off. */
    wrongClock?: boolean;
}

export interface ProxyConfig {
    /** Where it listens, in both families. */
    port: number;
    /** Socket of the server. */
    server: string;
    /** File with the `Disturbance`. It is read again for every request and while a body goes through, so that a change acts at once. */
    disturbance: string;
}

interface Refusal {
    status: number;
    code: string;
    message: string;
}

const WRITES = ["PUT", "POST", "DELETE"];

function refusalOf({ method, url }: http.IncomingMessage, { refuseWrites, full }: Disturbance): Refusal | undefined {
    if (!WRITES.includes(method!)) return undefined;
    if (refuseWrites) return { status: 403, code: "AccessDenied", message: "Access Denied." };
    const deletes = method === "DELETE" || new URL(url!, "http://server").searchParams.has("delete");
    if (!full || deletes) return undefined;
    const message = "Storage backend has reached its minimum free drive threshold. Please delete a few objects to proceed.";
    return { status: 507, code: "XMinioStorageFull", message };
}

/** Reads the body first: a client that still sends might not hear the answer. */
function refuse(request: http.IncomingMessage, response: http.ServerResponse, { status, code, message }: Refusal): void {
    const error = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${message}</Message></Error>`;
    request.resume().once("end", () => response.writeHead(status, { "content-type": "application/xml" }).end(error));
}

function proxy({ port, server, disturbance }: ProxyConfig): void {
    const current = () => JSON.parse(fs.readFileSync(disturbance, "utf8")) as Disturbance;
    const pace = paceOf(() => current().bytesPerSecond);
    const agent = new http.Agent({ keepAlive: true });
    const listener = http.createServer((request, response) => {
        const refusal = refusalOf(request, current());
        if (refusal) return refuse(request, response, refusal);
        const { method, url: path } = request;
        const headers: http.OutgoingHttpHeaders = { ...request.headers, connection: "keep-alive" };
        if (current().wrongClock && headers["x-amz-date"]) headers["x-amz-date"] = anHourOff(String(headers["x-amz-date"]));
        const onward = http.request({ agent, socketPath: server, method, path, headers });
        onward.on("error", () => undefined); // the first one is the answer's
        const answer = once(onward, "response") as Promise<[http.IncomingMessage]>;
        answer.then(
            ([message]) => relay(message, response),
            () => response.writeHead(502).end(),
        );
        send(request, onward, pace, answer).catch(() => onward.destroy());
    });
    listener.requestTimeout = 0; // a body may be paced for longer than the usual five minutes
    listener.keepAliveTimeout = 0; // a client may be about to use a connection that would be closed as idle
    listener.listen(port, "::");
}

/** `20261126T101500Z`, on the same day: that is in the signature's scope, too. */
function anHourOff(date: string): string {
    const hour = Number(date.slice(9, 11));
    return `${date.slice(0, 9)}${String(hour === 0 ? 1 : hour - 1).padStart(2, "0")}${date.slice(11)}`;
}

function relay(answer: http.IncomingMessage, response: http.ServerResponse): void {
    const headers = { ...answer.headers };
    delete headers.connection; // of the other connection
    response.writeHead(answer.statusCode!, headers);
    pipeline(answer, response).catch(() => response.destroy());
}

/** Bytes of a body that the server reads at most of what it refuses; with more to come it hangs up, and its answer is lost to one who still sends. */
const LOOK = 256 * 1024;

type Pace = (bytes: number) => Promise<void>;

/** The body is read to its end, whatever the server says meanwhile: a client that still sends might not hear it. */
async function send(request: http.IncomingMessage, onward: http.ClientRequest, pace: Pace, answer: Promise<unknown>): Promise<void> {
    let answered = false;
    const heard = answer.then(
        () => (answered = true),
        () => (answered = true),
    );
    let [sent, looked, whole] = [0, false, true];
    for await (const chunk of request as AsyncIterable<Buffer>) {
        await pace(chunk.length);
        if (!looked && sent > LOOK) {
            await Promise.race([heard, sleep(50)]);
            looked = true;
        }
        if (answered) whole = false;
        else onward.write(chunk);
        sent += chunk.length;
    }
    if (whole) onward.end();
}

/** Lets through as many bytes a second as `rate` says at the time, of all bodies together, as a thin line would. */
function paceOf(rate: () => number | undefined): Pace {
    let line = Promise.resolve();
    const carry = async (bytes: number) => {
        for (let left = bytes; left >= 1;) {
            const bytesPerSecond = rate();
            if (bytesPerSecond === undefined) return;
            const milliseconds = Math.min(100, (left / bytesPerSecond) * 1000);
            await sleep(milliseconds);
            left -= (milliseconds / 1000) * bytesPerSecond;
        }
    };
    return (bytes) => (line = line.then(() => carry(bytes)));
}

/** `proxy.ts CONFIG`: a process of its own, so that it outlives the test and serves while the test waits. */
proxy(JSON.parse(fs.readFileSync(process.argv[2], "utf8")) as ProxyConfig);
