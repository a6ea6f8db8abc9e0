import { createSocket } from "node:dgram";
import { getServers } from "node:dns";
import { once } from "node:events";
import * as net from "node:net";
import * as packet from "dns-packet";

/** What a resolver answers when it is asked with what DNSSEC adds (RFC 4035 §3.2), which Node's own resolver leaves out. */
export interface SignedAnswer {
    /** `NOERROR`, `SERVFAIL` … */
    rcode: string;
    /** Whether the resolver has validated it (bit AD). */
    isAuthentic: boolean;
    /** Signatures (RRSIG) among them. */
    answers: packet.Answer[];
}

/** Rejects where nobody answers. `unchecked` takes what does not validate, too (bit CD). */
export type AskSigned = (name: string, type: "DS" | "DNSKEY" | "SOA" | "NS", options?: { unchecked?: boolean }) => Promise<SignedAnswer>;

const TIMEOUT = 3000;
/** What a datagram holds without being split on the way (DNS Flag Day 2020). */
const DATAGRAM = 1232;

/** Asks the system's resolvers, one after the other. */
export const askSigned: AskSigned = async (name, type, options) => {
    let failure = new Error("this machine has no resolver");
    for (const server of getServers())
        try {
            return await askAt(server, name, type, options);
        } catch (error) {
            failure = error as Error;
        }
    throw failure;
};

/** Asks one, `192.0.2.1`, `192.0.2.1:5353` or `[2001:db8::1]:53`: by a datagram, and over TCP for what is longer (RFC 7766). */
export async function askAt(server: string, name: string, type: packet.RecordType, { unchecked = false } = {}): Promise<SignedAnswer> {
    const [, host, port] = /^\[?(.*?)\]?(?:(?<=\]|^[^:]*):(\d+))?$/.exec(server)!;
    const query: packet.Packet = {
        type: "query",
        id: Math.floor(Math.random() * 65_536),
        flags: packet.RECURSION_DESIRED | packet.AUTHENTIC_DATA | (unchecked ? packet.CHECKING_DISABLED : 0),
        questions: [{ type, name }],
        additionals: [
            {
                type: "OPT",
                name: ".",
                udpPayloadSize: DATAGRAM,
                flags: packet.DNSSEC_OK,
                extendedRcode: 0,
                ednsVersion: 0,
                flag_do: true,
                options: [],
            },
        ],
    };
    const short = await overUdp(host, Number(port ?? 53), query);
    const answer = short.flag_tc ? await overTcp(host, Number(port ?? 53), query) : short;
    // Its types do not know `rcode`, which it decodes.
    const { rcode } = answer as unknown as { rcode: string };
    return { rcode, isAuthentic: answer.flag_ad, answers: answer.answers ?? [] };
}

async function overUdp(host: string, port: number, query: packet.Packet): Promise<packet.DecodedPacket> {
    const socket = createSocket(net.isIPv6(host) ? "udp6" : "udp4");
    try {
        socket.connect(port, host);
        await once(socket, "connect");
        for (let tries = 0; tries < 2; tries++) {
            socket.send(packet.encode(query));
            const signal = AbortSignal.timeout(TIMEOUT / 2);
            const [data] = (await once(socket, "message", { signal }).catch((error: Error) => {
                if (error.name !== "AbortError") throw error;
                return []; // one of so many datagrams may be lost
            })) as [Buffer?];
            const answer = data && packet.decode(data);
            if (answer?.id === query.id) return answer!;
        }
        throw new Error(`${host} does not answer`);
    } finally {
        socket.close();
    }
}

async function overTcp(host: string, port: number, query: packet.Packet): Promise<packet.DecodedPacket> {
    const socket = net.connect({ host, port, timeout: TIMEOUT });
    socket.once("timeout", () => socket.destroy(new Error(`${host} does not answer over TCP`)));
    socket.write(packet.streamEncode(query));
    let received = Buffer.alloc(0);
    for await (const part of socket) {
        received = Buffer.concat([received, part as Buffer]);
        // Two bytes of length come first (RFC 1035 §4.2.2); leaving the loop destroys the socket.
        if (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) return packet.streamDecode(received) as packet.DecodedPacket;
    }
    throw new Error(`${host} hung up`);
}
