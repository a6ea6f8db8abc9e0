import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { poll, request } from "../test/e2e/clients";
import { watchPorts } from "../test/e2e/internet";

// What clients see of a deployment, in a process of its own: who updates it may be busy. One JSON object on its standard input says where;
// when the input ends, it waits until every port answers again, and one JSON object on its standard output says what it saw.

/** Where to look. */
export interface Where {
    address: string;
    host: string;
    /** Certificate authority that the web's certificates are verified against. */
    ca: string;
    portOffset: number;
    /** Ports of mail, without the offset. */
    ports: number[];
    /** Milliseconds between two connections to one of them. */
    every: number;
}

export interface Seen {
    requests: number;
    /** Requests to web, API, CalDAV and CardDAV that failed. */
    failed: number;
    /** How long each mail port greeted nobody, at the longest, in milliseconds. */
    gaps: Record<number, number>;
}

const NAMES = ["", "api", "caldav", "carddav"];
const PATIENCE_MS = 300_000;

async function main(): Promise<void> {
    const input = createInterface({ input: process.stdin });
    const ended = once(input, "close");
    const [line] = (await once(input, "line")) as [string];
    const where = JSON.parse(line) as Where;
    const { address, ports, portOffset, every } = where;
    const web = poll(where, NAMES);
    const mail = watchPorts(
        address,
        ports.map((port) => port + portOffset),
        portOffset,
        every,
    );
    const answer = async (since: number) => {
        const deadline = since + PATIENCE_MS;
        while (
            Object.values(mail.last).some((at) => at <= since) ||
            !(await Promise.all(NAMES.map((name) => isServed(where, name)))).every(Boolean)
        ) {
            if (Date.now() > deadline) throw new Error(`Not every port answers within ${PATIENCE_MS / 1000} s.`);
            await sleep(every);
        }
    };
    await answer(Date.now());
    process.stdout.write("ready\n");
    await ended;
    await answer(Date.now());
    const { requests, failures } = await web.stop();
    const gaps = Object.fromEntries(Object.entries(mail.stop()).map(([port, gap]) => [Number(port) - portOffset, gap]));
    process.stdout.write(`${JSON.stringify({ requests, failed: failures.length, gaps } satisfies Seen)}\n`);
    process.exit(0); // what still waits for an answer
}

const isServed = (where: Where, name: string) =>
    request(where, name, "/").then(
        ({ status }) => status < 500,
        () => false,
    );

void main();
