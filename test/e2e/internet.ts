import { X509Certificate } from "node:crypto";
import * as net from "node:net";
import * as tls from "node:tls";
import { type AcmeServer, startAcme } from "../rig/acme";
import { type DnsServer, startDns } from "../rig/dns";
import type { RigHost } from "../rig/host";

/** What a public server asks for its name and its certificate. */
export interface Internet {
    dns: DnsServer;
    ca: AcmeServer;
    stop(): Promise<void>;
}

export async function startInternet(host: RigHost, dir: string): Promise<Internet> {
    const log = (line: string) => console.log(line);
    const dns = await startDns(host, { dir, log });
    const ca = await startAcme(host, { dir, dns, validitySeconds: 90 * 86_400, log });
    return { dns, ca, stop: () => ca.stop().then(() => dns.stop()) };
}

/** The certificate that a server shows for a name; on port 25 after STARTTLS (RFC 3207). With `ca`, it is verified. */
export async function certificateAt(address: string, port: number, name: string, ca?: string): Promise<X509Certificate> {
    const socket = net.connect(port, address);
    if (port === 25) {
        for (const line of ["EHLO client.example.org", "STARTTLS"]) {
            await reply(socket);
            socket.write(`${line}\r\n`);
        }
        await reply(socket);
    }
    return new Promise((resolve, reject) => {
        const secure = tls.connect({ socket, servername: name, ca, rejectUnauthorized: ca !== undefined }, () => {
            resolve(secure.getPeerX509Certificate()!);
            secure.destroy();
        });
        secure.on("error", reject);
    });
}

/** Reads until the last line of a reply (RFC 5321 §4.2.1). */
function reply(socket: net.Socket): Promise<string> {
    return new Promise((resolve, reject) => {
        let text = "";
        const read = (chunk: Buffer) => {
            text += chunk.toString("latin1");
            if (!/^\d{3} .*\r\n$/m.test(text)) return;
            socket.off("data", read);
            resolve(text);
        };
        socket.on("data", read).once("error", reject);
    });
}

/**
 * Connects to the ports again and again. `stop` answers how long each took no connection, at the longest, in milliseconds.
 * @param every milliseconds between two connections to one port.
 */
export function watchPorts(
    address: string,
    ports: number[],
    offset = 0,
    every = 100,
): { /** When each was seen to answer last. */ last: Readonly<Record<number, number>>; stop(): Record<number, number> } {
    const gaps: Record<number, number> = Object.fromEntries(ports.map((port) => [port, 0]));
    const last = Object.fromEntries(ports.map((port) => [port, Date.now()]));
    const answered = (port: number) => {
        gaps[port] = Math.max(gaps[port], Date.now() - last[port]);
        last[port] = Date.now();
    };
    const timers = ports.map((port) =>
        setInterval(() => {
            // What it says first, on 465 within TLS: the engine may hold a port open that nobody serves.
            const socket =
                port === 25 + offset ? net.connect({ host: address, port }) : tls.connect({ host: address, port, rejectUnauthorized: false });
            socket.setTimeout(2000, () => socket.destroy());
            socket.once("data", () => {
                answered(port);
                socket.destroy();
            });
            socket.once("error", () => socket.destroy());
        }, every),
    );
    return {
        last,
        stop() {
            timers.forEach(clearInterval);
            ports.forEach(answered);
            return gaps;
        },
    };
}
