import { X509Certificate, createPrivateKey } from "node:crypto";
import * as path from "node:path";
import { Problem } from "../errors";
import { CATALOGUE, ServiceName } from "../services/catalogue";
import { ownedNames } from "../services/environment";
import { checkBackups } from "./backups";
import { checkBuild } from "./build";
import { checkMetrics } from "./metrics";
import { ENCRYPTED, RawConfig, readProjectFile } from "./parse";
import { checkAcme, checkAddresses, checkDkim, checkNameCount, checkNames, checkPolicies, checkWriter, checkZones, namesOf } from "./dns";
import { Config } from "./schema";
import { checkServers, duplicates } from "./servers";

/**
 * What one key cannot know: whether the keys fit each other. A check that needs a broken key is left out.
 * @param mayLack nobody runs what comes of it: the source of an image need not be here.
 */
export function crossChecks(config: Config, broken: Set<string>, raw: RawConfig, directory: string, mayLack = false): Problem[] {
    const checks: Array<{ needs: string[]; find: () => Problem[] }> = [
        { needs: ["servers", "profile", "network", "data", "firewall"], find: () => checkServers(config) },
        { needs: ["host"], find: () => checkHost(config) },
        { needs: ["profile"], find: () => checkServices(config) },
        { needs: [], find: () => checkEnvironment(config) },
        { needs: ["network"], find: () => checkNetwork(config) },
        { needs: ["certificates", "host", "domains", "profile", "dns"], find: () => checkCertificates(config, raw.certificateKey, directory) },
        { needs: ["dns", "servers", "host", "domains"], find: () => checkZones(config, raw) },
        { needs: ["dns", "servers", "network"], find: () => checkAddresses(config, raw) },
        { needs: ["dns", "servers"], find: () => checkWriter(config, raw) },
        { needs: ["dns", "certificates", "profile"], find: () => checkPolicies(config) },
        { needs: ["dkim"], find: () => checkDkim(config) },
        { needs: ["certificates", "servers", "network", "dns"], find: () => checkAcme(config, raw, directory) },
        {
            needs: ["host", "domains", "profile", "servers", "dns", "certificates", "domainRecords"],
            find: () => checkNames(config, raw),
        },
        { needs: ["host", "domains", "profile", "dns", "certificates"], find: () => checkNameCount(config) },
        { needs: ["backups", "restoreFrom", "profile"], find: () => checkBackups(config, raw) },
        { needs: ["image", "version", "servers"], find: () => checkBuild(config, raw, directory, mayLack) },
        { needs: ["metrics", "servers", "network"], find: () => checkMetrics(config, raw) },
        { needs: ["domains"], find: () => duplicates("domains", config.domains, "each mail domain once") },
    ];
    return checks.filter(({ needs }) => !needs.some((key) => broken.has(key))).flatMap(({ find }) => find());
}

/** Services have names below the host: one of these for a host gives names that nobody means. */
function checkHost({ host }: Config): Problem[] {
    const labels = Object.values(CATALOGUE).flatMap(({ publicNames }) => publicNames.filter((label) => label !== ""));
    const [first, ...rest] = host.split(".");
    if (!labels.includes(first)) return [];
    const wanted = `mail.${rest.join(".")}`;
    return [
        {
            key: "host",
            message: `got ${host}, whose services would be ${first}.${host} and so on; wanted the name above them, such as ${wanted}`,
            fix: `pulumi config set host ${wanted}`,
        },
    ];
}

function checkServices(config: Config): Problem[] {
    return (Object.keys(config.services) as ServiceName[])
        .filter((service) => config.profile === "forwarding" && CATALOGUE[service].profile === "full")
        .map((service) => ({
            key: `services.${service}`,
            message: `profile forwarding has no ${service} service`,
            fix: `remove the override, or set profile: full`,
        }));
}

function checkEnvironment(config: Config): Problem[] {
    const owned = new Set(ownedNames());
    return Object.keys(config.environment)
        .filter((name) => owned.has(name))
        .map((name) => ({
            key: `environment.${name}`,
            message: "the program sets this variable itself",
            fix: "remove it; Pulumi.yaml says which key decides it",
        }));
}

/** The IPv6 counterpart is known for "everywhere" and for loopback only. */
function checkNetwork({ network }: Config): Problem[] {
    if (!network.ipv6 || ["0.0.0.0", "127.0.0.1"].includes(network.bindAddress)) return [];
    return [
        {
            key: "network.bindAddress",
            message: `got ${network.bindAddress} together with ipv6: true, wanted 0.0.0.0 or 127.0.0.1`,
            fix: "remove bindAddress, or set ipv6 to false",
        },
    ];
}

function checkCertificates(config: Config, key: string | undefined, directory: string): Problem[] {
    const { certificates } = config;
    if (certificates.issuer !== "provided") return [];
    const problems: Problem[] = [];
    const report = (message: string, fix: string, at = "certificates.chainFile") => problems.push({ key: at, message, fix });
    if (!key) report("issuer provided needs the private key", "pulumi config set --secret certificateKey < privkey.pem", "certificateKey");
    let leaf: X509Certificate;
    try {
        leaf = new X509Certificate(readProjectFile(directory, certificates.chainFile));
    } catch (error) {
        report(
            `${path.basename(certificates.chainFile)} cannot be read as a PEM certificate (${(error as Error).message.split("\n")[0]})`,
            "name a PEM file: certificate first, then its chain",
        );
        return problems;
    }
    const missing = namesOf(config).filter((name) => !leaf.checkHost(name));
    if (missing.length > 0) report(`the certificate does not cover ${missing.join(", ")}`, "order one with all of these names");
    if (Date.parse(leaf.validTo) < Date.now()) report(`the certificate expired on ${leaf.validTo}`, "renew it");
    if (key && key !== ENCRYPTED && !keyMatches(leaf, key))
        report("is not a PEM private key of this certificate", "give the key that the certificate was made for", "certificateKey");
    return problems;
}

function keyMatches(certificate: X509Certificate, key: string): boolean {
    try {
        return certificate.checkPrivateKey(createPrivateKey(key));
    } catch {
        return false; // not a key at all: the same fix
    }
}
