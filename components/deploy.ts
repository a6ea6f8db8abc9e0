import * as pulumi from "@pulumi/pulumi";
import { Backups, Repository, createBucket } from "./backups/backups";
import { AcmeCertificate, certificateKeys } from "./certificates/acme";
import { createCertificate } from "./certificates/certificates";
import { Dns } from "./dns/dns";
import type { MtaSts } from "./dns/mtaSts";
import { applicationImage } from "./image/build";
import { Metrics, MetricsArgs } from "./metrics/metrics";
import { AwsMachine } from "./server/awsMachine";
import { DockerHost } from "./server/dockerHost";
import { bansValues } from "./server/host/bans";
import { EVERYWHERE, firewallRules } from "./server/host/firewall";
import { preflightValues } from "./server/host/preflight";
import { Machine, Server } from "./server/server";
import { CATALOGUE, EXCHANGER, servicesOf, under } from "./services/catalogue";
import { publicUrl } from "./services/environment";
import { DeploymentSecrets } from "./services/secrets";
import { Services } from "./services/services";
import { certificateNames } from "./settings/dns";
import { ServerSettings, Settings } from "./settings/settings";

/** What a stack tells its operator. */
export interface Outputs {
    /** Where the web interface answers. */
    url: string;
    /** Name and port of each service that mail clients connect to. */
    endpoints: Record<string, string>;
    version: string;
    /** Address of the server that all names must lead to; none on this machine. */
    address?: pulumi.Output<string>;
    /** Opens the first-run page: user and password. Secret. */
    firstRun: pulumi.Output<{ username: string; password: string }>;
    /** What to add to the master file of each zone, where `dns.provider` is zone-file; else what the program has written. */
    zone?: pulumi.Output<Record<string, string>>;
    /** The same as a table, with what each record is for. */
    records?: pulumi.Output<string>;
    /** Name that the reverse DNS of each address must have: large receivers refuse mail from one without (RFC 1912 §2.1). */
    reverse?: pulumi.Output<Record<string, string>>;
    /** Policy that senders may have cached for its maxAge, with the domains that it is for and the servers that it names. */
    mtaSts?: MtaSts & { domains: string[]; exchangers: string[] };
    /** Where the backup sets are, the passphrase that opens them (keep it apart from the stack), and the key that may prune. Secret. */
    backups?: pulumi.Output<Repository>;
    /** What a restore brought back. Secret. */
    restoredSecrets?: pulumi.Output<Record<string, string>>;
    /** The private certificate authority to trust, on stacks that have one. */
    authority?: pulumi.Output<string>;
}

/** The whole deployment, top to bottom: server, backups, secrets, keys, services, DNS, certificate. */
export function deploy(settings: Settings): Outputs {
    const { name } = settings;
    const [place] = settings.servers;
    const image = applicationImage(settings);
    const instance = createInstance(settings, place);
    const server = createServer(settings, place, instance);
    const onServer = { providers: [server.provider], transformations: [boundTo(server)] };
    const backups = createBackups(settings, image, server, onServer);
    const restored = backups?.restored?.done ?? backups?.opened;
    const recovered = backups?.restored?.secrets ?? settings.recovered;

    const secrets = new DeploymentSecrets(name, settings, recovered);
    const issuer = settings.certificates.issuer === "acme" ? settings.certificates : undefined;
    const keys = issuer && certificateKeys(name, issuer, recovered);
    const certificate = createCertificate(name, settings.certificates, certificateNames(settings), keys?.key);
    const acme = keys && new AcmeCertificate(name, { settings, acme: issuer!, key: keys.key, server, recovered, restored }, onServer);
    const services = new Services(name, { settings, image, server, secrets, certificate, restored }, onServer);
    backups?.schedule(secrets, { ...keys?.all, ...(acme ? { acmeAccountKey: acme.accountKey } : {}) }, [services]);
    createMetrics(
        settings,
        { server, certificate, networkId: services.network.id, redisPassword: secrets.values.redisPassword, watched: services },
        onServer,
    );

    const addresses = { ipv4: place.ipv4 ?? server.address!, ipv6: place.ipv6 };
    const dkim = secrets.dkimPublicKeys;
    const router = services.containers.router;
    const dns = settings.dns && new Dns(name, { settings, ...addresses, dkim, account: acme?.account, publicKeys: keys?.publicKeys, router });
    if (place.aws?.reverseDns) instance?.giveReverseName(under(settings.host, EXCHANGER), dns?.written ?? []);
    acme?.issue({ keys: services.keys.place, router: services.router, ...addresses }, [services, ...(dns?.written ?? [])]);

    return defined({
        url: publicUrl(settings, ""),
        endpoints: endpoints(settings),
        version: settings.images.forwardemail.tag,
        address: server.address,
        firstRun: pulumi.secret(secrets.values.adminPassword.apply((password) => ({ username: "admin", password }))),
        authority: certificate.authority,
        backups: backups?.repository,
        restoredSecrets: backups?.restored?.secrets,
        zone: dns?.zoneFiles,
        records: dns?.table,
        reverse: dns && reverseNames(settings, addresses),
        mtaSts: settings.mtaSts && { ...settings.mtaSts, domains: settings.domains, exchangers: [under(settings.host, EXCHANGER)] },
    });
}

function createInstance(settings: Settings, place: ServerSettings): AwsMachine | undefined {
    const { name, aws, login } = place;
    const args = { deployment: settings.name, login: login!, firewall: firewallRules(settings, place) };
    return aws && new AwsMachine(`${settings.name}-${name}`, { ...aws, ...args });
}

/** This machine, a host that is there, or an instance that was made for it; set up where it is not the operator's own machine. */
function createServer(settings: Settings, place: ServerSettings, instance?: AwsMachine): Server {
    const name = `${settings.name}-${place.name}`;
    const firewall = firewallRules(settings, place);
    const { dockerHost, ssh, aws, engine } = place;
    const machine: Machine | undefined = instance ?? (ssh && { connection: ssh, identity: ssh.hostKey });
    const { directory, device = instance?.device } = settings.data;
    return new DockerHost(name, {
        dockerHost,
        machine,
        registry: settings.build?.login,
        preflight: machine && {
            ...preflightValues(settings, place),
            // Another type means a reboot: the preflight has the patience for it, and looks at the new size.
            ...(instance ? { ELASTIC_ADDRESS: instance.address, DEVICE: instance.device, INSTANCE_TYPE: aws!.instanceType } : {}),
        },
        setUp: machine &&
            engine && {
                stack: settings.name,
                engine,
                ipv6: settings.network.ipv6,
                // On AWS the security group decides who may come to SSH: it can be changed by who is locked out.
                firewall: instance ? { ...firewall, ssh: { ...firewall.ssh, from: EVERYWHERE } } : firewall,
                bans: bansValues(settings, place),
                disk: device === undefined ? undefined : { device, directory: directory!, size: aws?.dataGb },
            },
    });
}

function createBackups(settings: Settings, image: pulumi.Input<string>, server: Server, opts: pulumi.ComponentResourceOptions): Backups | undefined {
    const { name, backups } = settings;
    return backups && new Backups(name, { settings, image, backups, bucket: createBucket(name, backups), server }, opts);
}

function createMetrics(settings: Settings, args: Omit<MetricsArgs, "settings" | "metrics">, opts: pulumi.ComponentResourceOptions): void {
    const { name, metrics } = settings;
    if (metrics) new Metrics(name, { settings, metrics, ...args }, opts);
}

/**
 * What Docker holds goes with its machine, though its inputs stay the same; where the machine itself is destroyed, nothing on it need be.
 * Volumes are data: they are never replaced.
 */
function boundTo({ identity, instance }: Server): pulumi.ResourceTransformation {
    return ({ type, props, opts }) => {
        if (identity === undefined || !type.startsWith("docker:")) return undefined;
        const trigger = type === "docker:index/volume:Volume" ? {} : { replacementTrigger: identity };
        return { props, opts: { ...opts, ...trigger, deletedWith: instance } };
    };
}

/** Without what this stack does not have: Pulumi warns of an output that is undefined. */
function defined(outputs: Outputs): Outputs {
    return Object.fromEntries(Object.entries(outputs).filter(([, value]) => value !== undefined)) as unknown as Outputs;
}

/** Set by the program on AWS (`servers[].aws.reverseDns`); elsewhere by whoever owns the address, at the server's provider. */
function reverseNames({ host }: Settings, { ipv4, ipv6 }: { ipv4: pulumi.Input<string>; ipv6?: string }): pulumi.Output<Record<string, string>> {
    return pulumi.output(ipv4).apply((address) => Object.fromEntries([address, ...(ipv6 ? [ipv6] : [])].map((one) => [one, under(host, EXCHANGER)])));
}

function endpoints({ host, profile, network }: Settings): Record<string, string> {
    const published = servicesOf(profile).filter((service) => CATALOGUE[service].publish.length > 0 && service !== "router");
    return Object.fromEntries(
        published.map((service) => [
            service,
            `${under(host, CATALOGUE[service].publicNames[0])}:${CATALOGUE[service].publish[0] + network.portOffset}`,
        ]),
    );
}
