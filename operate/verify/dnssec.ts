import { createHash } from "node:crypto";
import type { DnskeyAnswer, DSAnswer, DsData, DnskeyData, RrsigAnswer } from "dns-packet";
import { zoneOf } from "../../components/dns/records";
import { EXCHANGER, under } from "../../components/services/catalogue";
import type { Zone } from "../../components/settings/settings";
import { Check, Deployment, Finding, unknown } from "./check";
import type { World } from "./world";

/** A zone that does not validate is gone for every receiver that validates, whatever else is right. */
export const dnssecCheck: Check = {
    id: "dnssec",
    title: "signed zones validate, with time left; no TLSA record stands in one that is not signed",
    source: "RFC 4033-4035, RFC 4509; 7672 §2.2",
    async run(deployment, world) {
        const zones = deployment.settings.dns?.zones ?? [];
        const found = zones.map((zone) => zoneFindings(zone, deployment, world).catch((error: Error) => [unknown(zone.name, error.message)]));
        return (await Promise.all(found)).flat();
    },
};

async function zoneFindings(zone: Zone, deployment: Deployment, world: World): Promise<Finding[]> {
    const { rcode, answers } = await world.askSigned(zone.name, "DS");
    if (rcode !== "NOERROR") return [unknown(zone.name, `a resolver says ${rcode} of its DS record`)];
    const ds = answers.filter((one): one is DSAnswer => one.type === "DS").map(({ data }) => data);
    if (ds.length === 0) return [await unsigned(zone, deployment, world)];
    const findings = await signed(zone.name, ds, world);
    if (zone.dnssec || findings.some(({ status }) => status !== "pass")) return findings;
    const fix = "set dnssec: true for it in dns.zones, and TLSA records are published: senders that look at them will only deliver encrypted (DANE)";
    return [{ status: "warn", subject: zone.name, got: "is signed, and the config does not say so", fix }];
}

async function unsigned({ name, dnssec }: Zone, { settings }: Deployment, world: World): Promise<Finding> {
    const got = "the zone above has no DS record of it: nobody validates";
    if (dnssec)
        return {
            ...{ status: "fail", subject: name, expected: "a DS record, as dnssec: true says", got },
            fix: "enter the DS record that the zone's provider shows at the registrar, or set dnssec to false in dns.zones",
        };
    const exchanger = `_25._tcp.${under(settings.host, EXCHANGER)}`;
    const tlsa = zoneOf(exchanger, [name]) === undefined ? [] : ((await world.tlsa(exchanger)) ?? []);
    if (tlsa.length === 0) return { status: "pass", subject: name, got: "not signed, and without TLSA records" };
    return {
        status: "warn",
        subject: exchanger,
        got: "TLSA records in a zone that is not signed: nobody heeds them",
        fix: "sign the zone, or remove them",
    };
}

async function signed(name: string, ds: DsData[], world: World): Promise<Finding[]> {
    const [keys, own, root] = await Promise.all([
        world.askSigned(name, "DNSKEY", { unchecked: true }),
        world.askSigned(name, "SOA"),
        world.askSigned(".", "NS"),
    ]);
    const trusted = keys.answers.some((one) => one.type === "DNSKEY" && ds.some((record) => isOf(record, name, (one as DnskeyAnswer).data)));
    const left = [...keys.answers, ...own.answers].filter((one): one is RrsigAnswer => one.type === "RRSIG").map(timeLeft(world.now()));
    const provider = "see DNSSEC at the zone's provider, which signs it; https://dnsviz.net draws what is wrong";
    const fail = (got: string, fix = provider): Finding[] => [{ status: "fail", subject: name, got, fix }];
    if (!trusted)
        return fail(
            "no key of the zone is the one that the DS record names",
            "at the registrar, replace the DS record by the one that the zone's provider shows",
        );
    if (left.some((part) => part < 0)) return fail("a signature has expired");
    if (own.rcode !== "NOERROR") return fail(`a resolver that validates says ${own.rcode}`);
    if (!own.isAuthentic && root.isAuthentic) return fail("a resolver that validates finds it unsigned");
    // One that does not validate the root validates nothing.
    if (!own.isAuthentic) return [unknown(name, "this machine's resolver does not validate: ask from one that does, such as unbound")];
    // Signatures live for days at one provider and for weeks at another; all renew them well before the end.
    if (left.some((part) => part < 1 / 10)) return [{ status: "warn", subject: name, got: "a signature is about to expire", fix: provider }];
    return [{ status: "pass", subject: name, got: "validates" }];
}

/** How much of a signature's life is left, as a part of it; negative, when it is over. */
const timeLeft =
    (now: Date) =>
    ({ data: { inception, expiration } }: RrsigAnswer): number =>
        (expiration - now.getTime() / 1000) / (expiration - inception);

/** https://www.iana.org/assignments/ds-rr-types */
const DIGESTS: Record<number, string> = { 1: "sha1", 2: "sha256", 4: "sha384" };

/** Whether a DS record names a key (RFC 4034 §5.1.4). */
export function isOf({ digestType, digest }: DsData, zone: string, { flags, algorithm, key }: DnskeyData): boolean {
    const hash = DIGESTS[digestType];
    if (!hash) return false;
    const labels = zone.toLowerCase().split(".");
    const owner = Buffer.concat([...labels.map((label) => Buffer.from([label.length, ...Buffer.from(label)])), Buffer.from([0])]);
    const rdata = Buffer.concat([Buffer.from([flags >> 8, flags & 255, 3, algorithm]), key]);
    return createHash(hash).update(owner).update(rdata).digest().equals(digest);
}
