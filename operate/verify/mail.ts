import { randomUUID } from "node:crypto";
import type { Settings } from "../../components/settings/settings";
import { CATALOGUE, EXCHANGER, publishedPorts, under } from "../../components/services/catalogue";
import { Check, Deployment, Finding, unknown } from "./check";
import type { World } from "./world";

/** Nobody's, for ever (RFC 2606 §3). Its null MX (RFC 7505) keeps even an open relay from delivering anything. */
const ELSEWHERE = "postmaster@example.com";

/**
 * Who may send here to whom: only to the deployment's own domains. The message is sent to its end, because upstream's MX takes any recipient
 * whose domain has an MX (helpers/on-rcpt-to.js) and decides when it has the message (helpers/get-recipients.js).
 */
export const relayCheck: Check = {
    id: "relay",
    title: "MX greets by its own name, and takes no mail for domains of others",
    source: "RFC 5321 §4.1.1.1, §7.7; RFC 2505 §2.1",
    patience: 45_000,
    async run({ settings, addresses }, world) {
        return (await Promise.all(addresses.map((address) => relayAt(address, settings, world)))).flat();
    },
};

async function relayAt(address: string, { host, network }: Settings, world: World): Promise<Finding[]> {
    const name = under(host, EXCHANGER);
    const port = CATALOGUE.mx.publish[0] + network.portOffset;
    const subject = `${name}:${port}${address.includes(":") ? " over IPv6" : ""}`;
    const lines = fromElsewhere(
        ELSEWHERE,
        "Whether this server relays (npm run verify)",
        "A server that takes this message is an open relay.",
        world.now(),
    );
    const answers = await world.dial.smtp(address, port, lines).catch((error: Error) => error);
    if (answers instanceof Error) return [unknown(subject, answers.message)]; // whether it answers is for ports and services to tell
    const named = answers[0].split(/\s+/)[1]?.toLowerCase();
    const greeting = `greeting of ${subject}`;
    return [
        named === name
            ? { status: "pass", subject: greeting, got: `greets as ${name}` }
            : { status: "warn", subject: greeting, expected: name, got: `greets as ${named}`, fix: "see environment in the stack's config" },
        relayed(subject, answers),
    ];
}

/**
 * Whose name the probes bear. Nobody has it and it has no records (RFC 8375), so no policy of anybody's refuses it. Upstream puts off the
 * names of RFC 2606, `.invalid` among them, before it decides about the recipient (config/index.js, testDomains).
 */
const STRANGER = "postmaster@verify.home.arpa";

/** What a stranger says to hand a message in: without a sender, so that nothing is answered. The least that RFC 5322 §3.6 wants, and what most receivers want besides. */
export function fromElsewhere(to: string, subject: string, text: string, now: Date): string[] {
    const message = [
        `From: <${STRANGER}>`,
        `To: <${to}>`,
        `Date: ${now.toUTCString().replace("GMT", "+0000")}`,
        `Message-ID: <${randomUUID()}@verify.home.arpa>`,
        `Subject: ${subject}`,
        "",
        text,
    ];
    return ["EHLO verify.invalid", "MAIL FROM:<>", `RCPT TO:<${to}>`, "DATA", message.join("\r\n"), "QUIT"];
}

/** Of the answers: to the connection, EHLO, the sender, the recipient, DATA, the message. What follows a refusal is the answer to QUIT. */
function relayed(subject: string, answers: string[]): Finding {
    const refusal = answers.find((answer) => !/^[23]/.test(answer));
    const end = refusal ?? "it hung up";
    if (!answers[2]?.startsWith("2")) return unknown(subject, `it takes no sender from here: ${end}`);
    if (refusal?.startsWith("5")) return { status: "pass", subject, got: `refuses ${ELSEWHERE}` };
    if (refusal || answers.length < 6) return unknown(subject, `it does not decide: ${end}`);
    return {
        status: "fail",
        subject,
        expected: "550",
        got: `${answers[5]} for ${ELSEWHERE}`,
        fix: "stop it (npm run down): an open relay is on every block list within hours; see that clients' real addresses reach MX (network.ipv6)",
    };
}

/** What upstream's processes listen on inside, and what a stranger tries first. */
const CLOSED = [21, 110, 143, 587, 2375, 3000, 3456, 4000, 5000, 6000, 6379, 27017];

/** From outside; on the very machine, what else listens there is not the deployment's. */
export const portsCheck: Check = {
    id: "ports",
    title: "the ports of the catalogue answer, and no other of ours",
    source: "components/services/catalogue.ts",
    async run(deployment, world) {
        const { settings, addresses, isHere } = deployment;
        const open = publishedPorts(settings.profile, settings.network.portOffset);
        const allowed = settings.firewall.allow.filter((port) => typeof port === "number");
        const closed = isHere ? [] : CLOSED.filter((port) => !open.includes(port) && !allowed.includes(port));
        return (await Promise.all(addresses.map((address) => portsAt(address, open, closed, deployment, world)))).flat();
    },
};

export const SHUT = "the network of this machine lets nobody reach port 25, as many do: run this from elsewhere";

/** Whether nobody else's port 25 answers either, of those that the preflight asks: then it tells nothing that ours does not. */
export async function isShutHere({ settings, isHere }: Deployment, world: World): Promise<boolean> {
    const others = settings.servers[0].reach.flatMap((target) => /^(.*):25$/.exec(target)?.[1] ?? []);
    if (isHere || others.length === 0) return false;
    const doors = await Promise.all(others.map((other) => world.dial.isOpen(other, 25)));
    return !doors.includes("open");
}

async function portsAt(address: string, open: number[], closed: number[], deployment: Deployment, world: World): Promise<Finding[]> {
    const ports = [...open, ...closed];
    const doors = await Promise.all(ports.map((port) => world.dial.isOpen(address, port)));
    if (doors.includes("no way")) return [unknown(address, "this machine has no way to it")];
    const isMuted = open.some((port, at) => doors[at] !== "open" && port === 25) && (await isShutHere(deployment, world));
    const wrong = ports.flatMap((port, at): Finding[] => {
        const wanted = open.includes(port);
        if ((doors[at] === "open") === wanted) return [];
        const subject = address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
        if (port === 25 && isMuted) return [unknown(subject, SHUT)];
        return wanted
            ? [{ status: "fail", subject, got: "does not answer", fix: "see the check services, and the provider's firewall" }]
            : [{ status: "fail", subject, got: "answers, and should be closed", fix: "see on the server who has it: ss -ltnp and docker ps" }];
    });
    if (wrong.length > 0) return wrong;
    return [{ status: "pass", subject: address, got: `${open.join(", ")} open${closed.length > 0 ? `, ${closed.length} others closed` : ""}` }];
}
