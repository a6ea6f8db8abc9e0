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

/** Connects to the ports again and again. `stop` answers how long each took no connection, at the longest, in milliseconds. */
export function watchPorts(address: string, ports: number[]): { stop(): Record<number, number> } {
    const gaps = Object.fromEntries(ports.map((port) => [port, 0]));
    const timers = ports.map((port) => {
        let last = Date.now();
        return setInterval(() => {
            const socket = net.connect({ host: address, port, timeout: 1000 }, () => undefined);
            const done = () => socket.destroy();
            // A greeting, and not only a port that the engine holds open.
            socket.once("data", () => ((last = answered(last)), done()));
            if (port === 465) socket.once("connect", () => ((last = answered(last)), done()));
            socket.once("timeout", done).once("error", done);
        }, 100);
        function answered(since: number): number {
            gaps[port] = Math.max(gaps[port], Date.now() - since);
            return Date.now();
        }
    });
    return {
        stop() {
            timers.forEach(clearInterval);
            return gaps;
        },
    };
}
