import { X509Certificate, createHash } from "node:crypto";
import { CATALOGUE, ServiceName, servicesOf, under } from "../../components/services/catalogue";
import { KEY_DIRECTORY } from "../../components/services/environment";
import { certificateNames } from "../../components/settings/dns";
import type { Settings } from "../../components/settings/settings";
import { Check, Deployment, Finding, unknown } from "./check";
import { SHUT, isShutHere } from "./mail";
import type { World } from "./world";

const DAY = 24 * 3600 * 1000;
/**
 * A renewal begins a month before the end, and is tried twice a day: with less than this it fails, or nobody renews. The second figure is for a
 * certificate that lives for a few days only, as a part of its life.
 */
const ENOUGH: [number, number] = [21 * DAY, 1 / 5];
/** What nobody may overlook any more: a warning wakes nobody at night. */
const NEARLY_OVER: [number, number] = [7 * DAY, 1 / 15];

/** A port that shows the certificate, by a name that clients use there. */
interface Door {
    service: ServiceName;
    name: string;
    port: number;
    starttls: boolean;
}

function doors({ settings }: Deployment): Door[] {
    const { profile, host, network } = settings;
    const own = servicesOf(profile).flatMap((service): Door[] => {
        const { publish, routed, publicNames, probe } = CATALOGUE[service];
        const port = (routed ? 443 : publish[0]) + network.portOffset;
        const starttls = probe.kind === "greeting" && probe.scheme === "smtp";
        return publicNames.map((label) => ({ service, name: under(host, label), port, starttls }));
    });
    // Names of policies, for which the router answers itself.
    const others = certificateNames(settings).filter((name) => !own.some((door) => door.name === name));
    return [...own, ...others.map((name): Door => ({ service: "router", name, port: 443 + network.portOffset, starttls: false }))];
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

async function findingOf(door: Door, onDisk: Promise<string | undefined>, deployment: Deployment, world: World): Promise<Finding> {
    const { address, outputs, stack } = deployment;
    const { service, name, port, starttls } = door;
    const subject = `${name}:${port}`;
    const args = { address, port, servername: name, starttls, ca: outputs.authority as string | undefined };
    const shown = await world.dial.certificate(args).catch((error: Error) => error);
    if (shown instanceof Error)
        return port === 25 && (await isShutHere(deployment, world))
            ? unknown(subject, SHUT)
            : { status: "fail", subject, got: shown.message, fix: "see the check services" };
    const { certificate, problem, protocol } = shown;
    const [begin, end] = [certificate.validFrom, certificate.validTo].map((date) => Date.parse(date));
    const left = end - world.now().getTime();
    const days = Math.floor(left / DAY);
    const renew = RENEW[deployment.settings.certificates.issuer];
    if (days < 0) return { status: "fail", subject, got: `expired ${-days} days ago`, fix: renew };
    if (!certificate.checkHost(name))
        return { status: "fail", subject, expected: name, got: certificate.subjectAltName ?? "no name", fix: `npm run up -- --stack ${stack}` };
    if (problem) return { status: "fail", subject, got: problem, fix: "see certificates in the stack's config: clients and senders do not trust it" };
    if (!["TLSv1.2", "TLSv1.3"].includes(protocol)) return { status: "fail", subject, expected: "TLS 1.2 or 1.3", got: protocol, fix: renew };
    // A service goes on showing what it read when it started.
    const { fingerprint256 } = certificate;
    const installed = await onDisk;
    if (installed !== undefined && installed !== fingerprint256)
        return {
            status: "fail",
            subject,
            expected: short(installed),
            got: `${short(fingerprint256)}: not the one on the disk`,
            fix: `restart ${service} on the server`,
        };
    const got = `${days} days left, ${protocol}`;
    const isLess = ([of, ofLife]: typeof ENOUGH) => left < Math.min(of, (end - begin) * ofLife);
    if (isLess(NEARLY_OVER)) return { status: "fail", subject, got, fix: renew };
    return isLess(ENOUGH) ? { status: "warn", subject, got, fix: renew } : { status: "pass", subject, got };
}

/** What to do about a certificate that comes to its end, by who made it. */
const RENEW: Record<Settings["certificates"]["issuer"], string> = {
    acme: "see why the renewal fails: journalctl -u forwardemail-certificate on the server",
    provided: "give another: certificates.chainFile, and pulumi config set --secret certificateKey; then npm run up",
    "self-signed": "npm run up makes another",
};

/** Of a container that runs: no file can be read in another. */
const RUNS = ["healthy", "starting", "unhealthy", "running"];

/** Fingerprint of the certificate that services read when they start; all of them have the same. Undefined where none can be read. */
async function readInstalled(world: World): Promise<string | undefined> {
    const running = await world.containers().catch(() => []);
    for (const { container } of running.filter(({ service, health }) => CATALOGUE[service]?.keys && RUNS.includes(health)))
        try {
            return new X509Certificate(await world.read(container, `${KEY_DIRECTORY}/fullchain.pem`)).fingerprint256;
        } catch {
            continue; // one that stops just now
        }
    return undefined;
}

const short = (fingerprint: string) => fingerprint.slice(0, 23);

/** TLSA records name the key that senders are shown, or senders that check refuse to deliver. */
export const daneCheck: Check = {
    id: "dane",
    title: "TLSA records, as DNS has them, name the key that port 25 shows",
    source: "RFC 7672 §3.1, 7671 §8.1",
    async run(deployment, world) {
        const declared = deployment.records.filter(({ type, name }) => type === "TLSA" && name.startsWith("_25._tcp."));
        const names = [...new Set(declared.map(({ name }) => name))];
        const contents = (of: string) => declared.filter(({ name }) => name === of).map(({ content }) => content.toLowerCase());
        return Promise.all(names.map((name) => daneOf(name, contents(name), deployment, world)));
    },
};

async function daneOf(name: string, declared: string[], { address, settings, stack }: Deployment, world: World): Promise<Finding> {
    const args = { address, port: 25 + settings.network.portOffset, servername: name.replace("_25._tcp.", ""), starttls: true };
    try {
        const asked = world.tlsa(name);
        const [shown, found] = await Promise.all([world.dial.certificate(args), asked]);
        const key = createHash("sha256")
            .update(shown.certificate.publicKey.export({ type: "spki", format: "der" }))
            .digest("hex");
        const fix = `npm run up -- --stack ${stack}`;
        const there = found ?? declared;
        if (!there.some((content) => content.endsWith(` ${key}`)))
            return { status: "fail", subject: name, expected: there.join(", ") || "a record", got: `a key that no record names: ${key}`, fix };
        if (!found) return unknown(name, `this Node (${process.version}) cannot ask for TLSA records: use 22.15 or newer`);
        if ([...found].sort().join() !== [...declared].sort().join())
            return { status: "fail", subject: name, expected: declared.join(", "), got: found.join(", "), fix };
        return { status: "pass", subject: name, got: `${found.length} keys, the one in use among them` };
    } catch (error) {
        return unknown(name, (error as Error).message);
    }
}
