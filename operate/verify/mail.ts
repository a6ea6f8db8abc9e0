import { CATALOGUE, EXCHANGER, publishedPorts, under } from "../../components/services/catalogue";
import { Check, Finding } from "./check";

/** Nobody's, for ever (RFC 2606 §2). */
const ELSEWHERE = "postmaster@verify.invalid";

/** Who may send here to whom: only to the deployment's own domains. */
export const relayCheck: Check = {
    id: "relay",
    title: "MX greets by its own name, and takes no mail for domains of others",
    source: "RFC 5321 §4.1.1.1, §7.7; RFC 2505 §2.1",
    async run({ settings, address }, world) {
        const name = under(settings.host, EXCHANGER);
        const port = CATALOGUE.mx.publish[0] + settings.network.portOffset;
        const subject = `${name}:${port}`;
        const lines = ["EHLO verify.invalid", "MAIL FROM:<>", `RCPT TO:<${ELSEWHERE}>`, "QUIT"];
        const answers = await world.dial.smtp(address, port, lines).catch((error: Error) => error);
        if (answers instanceof Error) return [{ status: "fail", subject, got: answers.message, fix: "see the check services" }];
        const [greeting, , sender, recipient] = answers;
        const named = greeting.split(/\s+/)[1]?.toLowerCase();
        return [
            named === name
                ? { status: "pass", subject, got: `greets as ${name}` }
                : { status: "warn", subject, expected: name, got: `greets as ${named}`, fix: "see environment in the stack's config" },
            relayed(subject, sender, recipient),
        ];
    },
};

function relayed(subject: string, sender: string, recipient: string): Finding {
    if (!sender.startsWith("2")) return { status: "unknown", subject, got: `it takes no sender from here: ${sender}` };
    if (recipient.startsWith("5")) return { status: "pass", subject, got: `refuses ${ELSEWHERE}` };
    if (recipient.startsWith("4")) return { status: "unknown", subject, got: `it does not decide now: ${recipient}` };
    return {
        status: "fail",
        subject,
        expected: "550",
        got: `${recipient} for ${ELSEWHERE}`,
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
    async run({ settings, address, isHere }, world) {
        const open = publishedPorts(settings.profile, settings.network.portOffset);
        const allowed = settings.firewall.allow.filter((port) => typeof port === "number");
        const closed = isHere ? [] : CLOSED.filter((port) => !open.includes(port) && !allowed.includes(port));
        const look = async (port: number, wanted: boolean): Promise<Finding[]> => {
            if ((await world.dial.isOpen(address, port)) === wanted) return [];
            const subject = `${address}:${port}`;
            return wanted
                ? [{ status: "fail", subject, got: "does not answer", fix: "see the check services, and the provider's firewall" }]
                : [{ status: "fail", subject, got: "answers, and should be closed", fix: "see on the server who has it: ss -ltnp and docker ps" }];
        };
        const wrong = (await Promise.all([...open.map((port) => look(port, true)), ...closed.map((port) => look(port, false))])).flat();
        if (wrong.length > 0) return wrong;
        return [{ status: "pass", subject: address, got: `${open.join(", ")} open${closed.length > 0 ? `, ${closed.length} others closed` : ""}` }];
    },
};
