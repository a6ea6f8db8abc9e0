import { X509Certificate, createHash } from "node:crypto";
import { CATALOGUE, ServiceName, servicesOf, under } from "../../components/services/catalogue";
import { KEY_DIRECTORY } from "../../components/services/environment";
import { Check, Deployment, Finding, unknown } from "./check";
import type { World } from "./world";

/** A renewal begins a month before the end, and is tried twice a day: less than this is a renewal that fails. */
const ENOUGH_DAYS = 21;
const DAY = 24 * 3600 * 1000;

/** A port that shows the certificate, by a name that clients use there. */
interface Door {
    service: ServiceName;
    name: string;
    port: number;
    starttls: boolean;
}

function doors({ settings }: Deployment): Door[] {
    const { profile, host, network } = settings;
    return servicesOf(profile).flatMap((service) => {
        const { publish, routed, publicNames, probe } = CATALOGUE[service];
        const port = routed ? 443 : publish[0];
        if (!port || publicNames.length === 0) return [];
        const starttls = probe.kind === "greeting" && probe.scheme === "smtp";
        return [{ service, name: under(host, publicNames[0]), port: port + network.portOffset, starttls }];
    });
}

/** What each port shows, as a client sees it; and whether it is what the service has on its disk. */
export const tlsCheck: Check = {
    id: "tls",
    title: "every port shows a certificate that clients trust, for its name, with time left",
    source: "RFC 5280, 9525, 8996, 8314; 3207 on port 25",
    run(deployment, world) {
        const onDisk = readInstalled(world);
        return Promise.all(doors(deployment).map((door) => findingOf(door, onDisk, deployment, world)));
    },
};

async function findingOf(door: Door, onDisk: string | undefined, deployment: Deployment, world: World): Promise<Finding> {
    const { address, outputs, stack } = deployment;
    const { service, name, port, starttls } = door;
    const subject = `${name}:${port}`;
    const args = { address, port, servername: name, starttls, ca: outputs.authority as string | undefined };
    const shown = await world.dial.certificate(args).catch((error: Error) => error);
    if (shown instanceof Error) return { status: "fail", subject, got: shown.message, fix: "see the check services" };
    const { certificate, problem, protocol } = shown;
    const days = Math.floor((Date.parse(certificate.validTo) - world.now().getTime()) / DAY);
    const renew = "see why the renewal fails: journalctl -u forwardemail-certificate on the server";
    if (days < 0) return { status: "fail", subject, got: `expired ${-days} days ago`, fix: renew };
    if (!certificate.checkHost(name))
        return { status: "fail", subject, expected: name, got: certificate.subjectAltName ?? "no name", fix: `npm run up -- --stack ${stack}` };
    if (problem) return { status: "fail", subject, got: problem, fix: "see certificates in the stack's config: clients and senders do not trust it" };
    if (!["TLSv1.2", "TLSv1.3"].includes(protocol)) return { status: "fail", subject, expected: "TLS 1.2 or 1.3", got: protocol, fix: renew };
    // A service goes on showing what it read when it started.
    const { fingerprint256 } = certificate;
    if (onDisk !== undefined && onDisk !== fingerprint256)
        return {
            status: "fail",
            subject,
            expected: short(onDisk),
            got: `${short(fingerprint256)}: not the one on the disk`,
            fix: `restart ${service} on the server`,
        };
    const got = `${days} days left, ${protocol}`;
    return days < ENOUGH_DAYS ? { status: "warn", subject, got, fix: renew } : { status: "pass", subject, got };
}

/** Fingerprint of the certificate that services read when they start; all of them have the same. */
function readInstalled(world: World): string | undefined {
    const reader = world.containers().find(({ service }) => CATALOGUE[service].keys);
    return reader && new X509Certificate(world.read(reader.container, `${KEY_DIRECTORY}/fullchain.pem`)).fingerprint256;
}

const short = (fingerprint: string) => fingerprint.slice(0, 23);

/** TLSA records name the key that senders are shown, or senders that check refuse to deliver. */
export const daneCheck: Check = {
    id: "dane",
    title: "TLSA records name the key that port 25 shows",
    source: "RFC 7672 §3.1, 7671 §8.1",
    async run(deployment, world) {
        const published = deployment.records.filter(({ type, name }) => type === "TLSA" && name.startsWith("_25._tcp."));
        return Promise.all(
            [...new Set(published.map(({ name }) => name))].map(async (name): Promise<Finding> => {
                const servername = name.replace("_25._tcp.", "");
                const args = { address: deployment.address, port: 25 + deployment.settings.network.portOffset, servername, starttls: true };
                const shown = await world.dial.certificate(args).catch((error: Error) => error);
                if (shown instanceof Error) return unknown(name, shown.message);
                const key = createHash("sha256")
                    .update(shown.certificate.publicKey.export({ type: "spki", format: "der" }))
                    .digest("hex");
                const named = published.filter((one) => one.name === name).map(({ content }) => content.split(" ").at(-1)!.toLowerCase());
                return named.includes(key)
                    ? { status: "pass", subject: name, got: `${named.length} keys, the one in use among them` }
                    : { status: "fail", subject: name, expected: named.join(", "), got: key, fix: `npm run up -- --stack ${deployment.stack}` };
            }),
        );
    },
};
