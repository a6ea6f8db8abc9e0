import { X509Certificate, createPrivateKey } from "node:crypto";
import * as path from "node:path";
import { Problem } from "../errors";
import { CATALOGUE, ServiceName, publicNames, servicesOf } from "../services/catalogue";
import { ownedNames } from "../services/environment";
import { DOCKER_SOCKET, SshConnection, dockerUrl } from "../server/connection";
import { ENCRYPTED, RawConfig, readProjectFile } from "./parse";
import { Config } from "./schema";
import { ServerSettings } from "./settings";

/** What one key cannot know: whether the keys fit each other. A check that needs a broken key is left out. */
export function crossChecks(config: Config, broken: Set<string>, raw: RawConfig, directory: string): Problem[] {
    const checks: Array<{ needs: string[]; find: () => Problem[] }> = [
        { needs: ["servers", "profile"], find: () => checkServers(config) },
        { needs: ["profile"], find: () => checkServices(config) },
        { needs: [], find: () => checkEnvironment(config) },
        { needs: ["network"], find: () => checkNetwork(config) },
        { needs: ["certificates", "host", "profile"], find: () => checkCertificates(config, raw.certificateKey, directory) },
        { needs: ["domains"], find: () => duplicates("domains", config.domains, "each mail domain once") },
    ];
    return checks.filter(({ needs }) => !needs.some((key) => broken.has(key))).flatMap(({ find }) => find());
}

function checkServers(config: Config): Problem[] {
    const problems = duplicates(
        "servers",
        config.servers.map((s) => s.name),
        "a name of its own for each server",
    );
    config.servers.forEach((server, at) => problems.push(...checkServer(server, `servers[${at}]`)));
    if (config.servers.length > 1)
        problems.push({ key: "servers", message: `got ${config.servers.length} servers; several servers: not available yet`, fix: "keep one" });
    return [...problems, ...checkPlacement(config)];
}

function checkServer({ kind, address, port, hostKey, jump }: Config["servers"][number], key: string): Problem[] {
    if (kind === "aws") return [{ key: `${key}.kind`, message: "aws: not available yet", fix: "use kind: local or ssh" }];
    if (kind === "local")
        return Object.entries({ address, hostKey, jump })
            .filter(([, value]) => value !== undefined)
            .map(([name]) => ({ key: `${key}.${name}`, message: "means nothing on kind: local", fix: `set ${key}.kind to ssh, or remove it` }));
    const problems: Problem[] = [];
    if (!address)
        problems.push({
            key: `${key}.address`,
            message: "is missing, wanted the host's IP address or DNS name",
            fix: `pulumi config set --path '${key}.address' VALUE`,
        });
    if (!hostKey)
        problems.push({
            key: `${key}.hostKey`,
            message: "is missing, wanted the host's public key, so that nobody else can answer in its place",
            fix: `compare ssh-keyscan -t ed25519 -p ${port} ${address ?? "ADDRESS"} with what the provider's console shows, then pulumi config set --path '${key}.hostKey' 'ssh-ed25519 AAAA…'`,
        });
    return problems;
}

function checkPlacement(config: Config): Problem[] {
    const wanted = servicesOf(config.profile);
    const places = new Map<ServiceName, string[]>();
    for (const server of placed(config)) for (const service of server.services) places.set(service, [...(places.get(service) ?? []), server.name]);
    const problems: Problem[] = [];
    for (const [service, servers] of places) {
        if (servers.length > 1)
            problems.push({
                key: "servers",
                message: `service ${service} is placed twice: on ${servers.join(" and ")}`,
                fix: `list ${service} under one server`,
            });
        if (!wanted.includes(service))
            problems.push({
                key: "servers",
                message: `service ${service} is not part of profile ${config.profile}`,
                fix: `remove ${service}, or set profile: full`,
            });
    }
    const nowhere = wanted.filter((service) => !places.has(service));
    if (nowhere.length > 0)
        problems.push({
            key: "servers",
            message: `placed nowhere: ${nowhere.join(", ")}`,
            fix: "list them under a server, or give one server services: all",
        });
    return problems;
}

/** Servers with the services that "all" stands for. */
export function placed(config: Config): ServerSettings[] {
    return config.servers.map(({ name, services, reach, dockerHost }) => {
        const local = dockerHost ?? `unix://${DOCKER_SOCKET}`;
        return { name, services: services === "all" ? servicesOf(config.profile) : services, kind: "local", dockerHost: local, reach };
    });
}

/** The same, with how each one is reached. `deployment` names the connections' files. */
export function reached(config: Config, deployment: string, ownKey: boolean): ServerSettings[] {
    return placed(config).map((place, at) => {
        const { kind, address, port, user, hostKey, jump, setUp, engine } = config.servers[at];
        if (kind !== "ssh") return place;
        const socket = place.dockerHost.slice("unix://".length);
        const ssh: SshConnection = { alias: `${deployment}-${place.name}`, address: address!, port, user, hostKey: hostKey!, socket, ownKey, jump };
        return { ...place, kind, dockerHost: dockerUrl(ssh), ssh, engine: setUp ? engine : undefined };
    });
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
    const missing = publicNames(config.host, config.profile).filter((name) => !leaf.checkHost(name));
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

function duplicates(key: string, values: string[], wanted: string): Problem[] {
    const twice = [...new Set(values.filter((value, at) => values.indexOf(value) !== at))];
    return twice.map((value) => ({ key, message: `"${value}" stands there twice, wanted ${wanted}`, fix: "remove or rename one" }));
}
