import * as pulumi from "@pulumi/pulumi";
import { createCertificate } from "./certificates/certificates";
import { DockerHost } from "./server/dockerHost";
import { firewallRules } from "./server/host/firewall";
import { preflightValues } from "./server/host/preflight";
import { Server } from "./server/server";
import { CATALOGUE, publicNames, servicesOf, under } from "./services/catalogue";
import { publicUrl } from "./services/environment";
import { DeploymentSecrets } from "./services/secrets";
import { Services } from "./services/services";
import { Settings } from "./settings/settings";

/** What a stack tells its operator. */
export interface Outputs {
    /** Where the web interface answers. */
    url: string;
    /** Name and port of each service that mail clients connect to. */
    endpoints: Record<string, string>;
    version: string;
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

    const [place] = settings.servers;
    const server = new DockerHost(`${name}-${place.name}`, {
        ...place,
        preflight: place.ssh && preflightValues(settings, place),
        setUp: place.ssh && place.engine && { stack: name, engine: place.engine, firewall: firewallRules(settings, place) },
    });
    new Services(name, { settings, server, secrets, certificate }, { providers: [server.provider], transformations: [boundTo(server)] });

    return {
        url: publicUrl(settings, ""),
        endpoints: endpoints(settings),
        version: settings.images.forwardemail.tag,
        firstRun: pulumi.secret(secrets.values.adminPassword.apply((password) => ({ username: "admin", password }))),
        authority: certificate.authority,
    };
}

/** What Docker holds goes with its machine, though its inputs stay the same. Volumes are data: they are never replaced. */
function boundTo({ identity }: Server): pulumi.ResourceTransformation {
    return ({ type, props, opts }) =>
        identity !== undefined && type.startsWith("docker:") && type !== "docker:index/volume:Volume"
            ? { props, opts: { ...opts, replacementTrigger: identity } }
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
