import { createHash } from "node:crypto";
import * as pulumi from "@pulumi/pulumi";
import * as runtimeConfig from "@pulumi/pulumi/runtime/config";
import { Problem, SettingsError } from "../errors";
import { CATALOGUE, SERVICE_NAMES, ServiceName } from "../services/catalogue";
import { SECRETS, SecretName } from "../services/secrets";
import { crossChecks } from "./crosschecks";
import { Lock, parseLock, selectImages } from "./images";
import { backupsOf } from "./backups";
import { buildOf } from "./build";
import { Context, ENCRYPTED, RawConfig, nearNamespaces, parse, readProjectFile } from "./parse";
import { acmeOf, dnsOf, mailDomains } from "./dns";
import { metricsOf } from "./metrics";
import { Config } from "./schema";
import { dataDirectory, placed } from "./servers";
import { CertificateSettings, NetworkSettings, Settings } from "./settings";

/** Settings of the running stack. The only reader of Pulumi's config. Throws {@link SettingsError} with all problems at once. */
export function loadSettings(directory = process.cwd()): Settings {
    const project = pulumi.getProject();
    const all = pulumi.runtime.allConfig();
    const own = Object.entries(all).filter(([key]) => key.startsWith(`${project}:`));
    const others = Object.keys(all).filter((key) => !key.startsWith(`${project}:`));
    const encrypted = own.filter(([key]) => isSecret(key)).map(([key]) => key.slice(project.length + 1));
    const raw = Object.fromEntries(own.map(([key, value]) => [key.slice(project.length + 1), value]));
    return buildSettings(raw, { project, stack: pulumi.getStack(), directory, encrypted: new Set(encrypted), others });
}

/** Exported by the SDK, but not typed: Pulumi's own `Config` class has no way to ask. */
const { isConfigSecret: isSecret } = runtimeConfig as unknown as { isConfigSecret(key: string): boolean };

/** The same from a config that was read from anywhere: what `npm run up` and `npm run plan` ask before an engine starts. */
export function buildSettings(raw: RawConfig, context: Context): Settings {
    const { config, broken, problems } = parse(raw, context);
    problems.unshift(...nearNamespaces(context));
    problems.push(...crossChecks(config, broken, raw, context.directory, context.allowUnpinned));
    const lock = readLock(config, context.directory, problems);
    const images = lock && selectImages(config, lock, problems, context.allowUnpinned);
    if (!images || problems.length > 0) throw new SettingsError(context.stack, problems);
    const name = `${context.project}-${context.stack}`;
    const build = buildOf(config, raw, context.directory);
    return {
        name,
        host: config.host,
        domains: mailDomains(config),
        ...dnsOf(config, raw),
        dkim: config.dkim,
        applicationDomains: config.domainRecords,
        profile: config.profile,
        images: build ? { ...images, forwardemail: { tag: build.tag, reference: `${build.repository}:${build.tag}` } } : images,
        build,
        servers: placed(config, name, raw.sshKey !== undefined),
        network: network(name, config),
        certificates: certificates(config, raw, context.directory),
        firewall: config.firewall,
        data: { ...config.data, directory: dataDirectory(config) },
        recovered: raw.restoredSecrets ? recovered(raw.restoredSecrets) : undefined,
        backups: backupsOf(config, raw, name),
        metrics: metricsOf(config),
        memoryMb: Object.fromEntries(SERVICE_NAMES.map((s) => [s, config.services[s]?.memory ?? CATALOGUE[s].memoryMb])) as Record<
            ServiceName,
            number
        >,
        environment: context.encrypted.has("environment") ? secretValues(config.environment) : config.environment,
        openFiles: config.openFiles,
        startTimeout: config.startTimeout,
        secrets: Object.fromEntries((Object.keys(SECRETS) as SecretName[]).filter((key) => raw[key]).map((key) => [key, pulumi.secret(raw[key])])),
        dkimKey: raw.dkimKey ? pulumi.secret(raw.dkimKey) : undefined,
        alertWebhook: raw.alertWebhook ? pulumi.secret(raw.alertWebhook) : undefined,
        sshKey: raw.sshKey ? pulumi.secret(raw.sshKey) : undefined,
    };
}

/** Of what cannot be decrypted here nothing is known: a plan shows generated ones in its place. */
const recovered = (text: string) => pulumi.secret(text === ENCRYPTED ? {} : (JSON.parse(text) as Record<string, string>));

function secretValues(record: Record<string, string>): Record<string, pulumi.Output<string>> {
    return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, pulumi.secret(value)]));
}

function readLock(config: Config, directory: string, problems: Problem[]): Lock | undefined {
    const file = config.images.lockFile;
    try {
        return parseLock(readProjectFile(directory, file));
    } catch (error) {
        problems.push({
            key: "images.lockFile",
            message: `${file} cannot be used (${(error as Error).message.split("\n")[0]})`,
            fix: "npm run images:update, or name another file",
        });
        return undefined;
    }
}

/** A group of an IPv6 address as Docker writes it (RFC 5952 §4.1). */
const withoutZeros = (group: string) => parseInt(group, 16).toString(16);

/** Subnets follow from the stack's name, so that stacks on one host differ and an address that is pinned stays. */
function network(name: string, config: Config): NetworkSettings {
    const hash = createHash("sha256").update(name).digest("hex");
    const { subnet, ...rest } = config.network;
    return {
        ...rest,
        subnet4: subnet ?? `10.89.${parseInt(hash.slice(0, 2), 16)}.0/24`,
        subnet6: `fd${hash.slice(2, 4)}:${[hash.slice(4, 8), hash.slice(8, 12)].map(withoutZeros).join(":")}::/64`,
    };
}

function certificates(config: Config, raw: RawConfig, directory: string): CertificateSettings {
    if (config.certificates.issuer === "self-signed") return config.certificates;
    if (config.certificates.issuer === "acme") return acmeOf(config.certificates, config, raw, directory);
    return { issuer: "provided", chain: readProjectFile(directory, config.certificates.chainFile), key: pulumi.secret(raw.certificateKey) };
}
