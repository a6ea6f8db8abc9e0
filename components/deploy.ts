import * as pulumi from "@pulumi/pulumi";
import { createCertificate } from "./certificates/certificates";
import { AwsMachine } from "./server/awsMachine";
import { DockerHost } from "./server/dockerHost";
import { EVERYWHERE, firewallRules } from "./server/host/firewall";
import { preflightValues } from "./server/host/preflight";
import { Machine, Server } from "./server/server";
import { CATALOGUE, publicNames, servicesOf, under } from "./services/catalogue";
import { publicUrl } from "./services/environment";
import { DeploymentSecrets } from "./services/secrets";
import { Services } from "./services/services";
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
    /** The private certificate authority to trust, on stacks that have one. */
    authority?: pulumi.Output<string>;
}

/** The whole deployment, top to bottom: secrets, keys, server, services. */
export function deploy(settings: Settings): Outputs {
    const { name } = settings;
    const secrets = new DeploymentSecrets(name, settings);
    const certificate = createCertificate(name, settings.certificates, publicNames(settings.host, settings.profile), {});

    const server = createServer(settings, settings.servers[0]);
    new Services(name, { settings, server, secrets, certificate }, { providers: [server.provider], transformations: [boundTo(server)] });

    return {
        url: publicUrl(settings, ""),
        endpoints: endpoints(settings),
        version: settings.images.forwardemail.tag,
        address: server.address,
        firstRun: pulumi.secret(secrets.values.adminPassword.apply((password) => ({ username: "admin", password }))),
        authority: certificate.authority,
    };
}

/** This machine, a host that is there, or an instance that is made first; set up where it is not the operator's own machine. */
function createServer(settings: Settings, place: ServerSettings): Server {
    const name = `${settings.name}-${place.name}`;
    const firewall = firewallRules(settings, place);
    const { dockerHost, ssh, aws, login, engine } = place;
    const instance =
        aws && new AwsMachine(name, { ...aws, deployment: settings.name, login: login!, firewall, reverseName: under(settings.host, "mx") });
    const machine: Machine | undefined = instance ?? (ssh && { connection: ssh, identity: ssh.hostKey });
    const { directory, device = instance?.device } = settings.data;
    return new DockerHost(name, {
        dockerHost,
        machine,
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
                disk: device === undefined ? undefined : { device, directory: directory!, size: aws?.dataGb },
            },
    });
}

/**
 * What Docker holds goes with its machine, though its inputs stay the same; where the machine itself is destroyed, nothing on it need be.
 * Volumes are data: they are never replaced.
 */
function boundTo({ identity, instance }: Server): pulumi.ResourceTransformation {
    return ({ type, props, opts }) =>
        identity !== undefined && type.startsWith("docker:") && type !== "docker:index/volume:Volume"
            ? { props, opts: { ...opts, replacementTrigger: identity, deletedWith: instance } }
            : undefined;
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
