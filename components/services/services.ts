import { createHash } from "node:crypto";
import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { Certificate } from "../certificates/certificates";
import { PulledImage, pullImage } from "../server/pull";
import { Server } from "../server/server";
import { policyNames } from "../dns/records";
import { Settings } from "../settings/settings";
import { CATALOGUE, ServiceImage, ServiceName, StoreName, servicesOf } from "./catalogue";
import { containerName, createContainer } from "./container";
import { mongodb, redis } from "./databases";
import { KEY_DIRECTORY, STORAGE, applicationEnvironment } from "./environment";
import { Place, createPlace, writeFiles } from "./files";
import { createNetwork } from "./network";
import { ROUTER_DIRECTORY, policyFiles } from "./policies";
import { REFUSE_UNHEALTHY, Routes, reload, routerConfig } from "./router";
import { DeploymentSecrets, fingerprints } from "./secrets";
import { Store, checkTogether } from "./store";

export interface ServicesArgs {
    settings: Settings;
    /** Image of the application, by digest. */
    image: pulumi.Input<string>;
    server: Server;
    secrets: DeploymentSecrets;
    certificate: Certificate;
    /** What brings data from a backup set, before anything touches the stores. */
    restored?: pulumi.Resource;
}

/** Every container of a deployment on one server, with its network, data and keys. */
export class Services extends pulumi.ComponentResource {
    public readonly containers: Partial<Record<ServiceName, docker.Container>> = {};
    private readonly images: Record<ServiceImage, PulledImage>;
    public readonly network: docker.Network;
    private readonly stores: Record<StoreName, Store>;
    private readonly together: pulumi.Resource;
    /** Keys of the application, and files of the router. */
    public readonly keys: { place: Place; written: pulumi.Resource };
    public readonly router: Place;

    constructor(
        name: string,
        private readonly args: ServicesArgs,
        opts?: pulumi.ComponentResourceOptions,
    ) {
        super("forwardemail:services:Services", name, {}, opts);
        this.images = this.pullImages();
        this.network = createNetwork(name, args.settings.network, { parent: this });
        this.stores = this.claimStores();
        this.together = checkTogether({ ...args, name: args.settings.name, image: this.images.forwardemail, stores: this.stores }, { parent: this });
        this.keys = this.writeKeys();
        this.router = createPlace("router", { name: args.settings.name, directory: args.settings.data.directory }, { parent: this });
        const services = servicesOf(args.settings.profile).filter((service) => service !== "router");
        for (const service of services) this.containers[service] = this.run(service);
        this.containers.router = this.runRouter();
        this.registerOutputs({});
    }

    private pullImages(): Record<ServiceImage, PulledImage> {
        const { settings, server, image } = this.args;
        const pull = (name: ServiceImage) =>
            pullImage(`${settings.name}-${name}`, name === "forwardemail" ? image : settings.images[name].reference, server, { parent: this });
        return { forwardemail: pull("forwardemail"), mongodb: pull("mongodb"), redis: pull("redis"), nginx: pull("nginx") };
    }

    private claimStores(): Record<StoreName, Store> {
        const { settings, server, secrets, restored } = this.args;
        const marks = fingerprints(secrets.values);
        const claim = (role: StoreName, image: ServiceImage, user: string) =>
            new Store(
                role,
                { server, name: settings.name, ...settings.data, image: this.images[image], user, fingerprints: marks, restored },
                { parent: this },
            );
        return {
            mongodb: claim("mongodb", "mongodb", CATALOGUE.mongodb.user),
            redis: claim("redis", "redis", CATALOGUE.redis.user),
            mailboxes: claim("mailboxes", "forwardemail", CATALOGUE.sqlite.user),
        };
    }

    private claims(): pulumi.Resource[] {
        return [...Object.values(this.stores).map((store) => store.claimed), this.together];
    }

    private writeKeys(): { place: Place; written: pulumi.Resource } {
        const { settings, server, certificate, secrets } = this.args;
        const place = createPlace("keys", { name: settings.name, directory: settings.data.directory }, { parent: this });
        const files = { ...certificateFiles(certificate), "dkim.key": secrets.dkimKey };
        const written = writeFiles(
            `${settings.name}-keys-files`,
            { server, place, image: this.images.forwardemail, user: CATALOGUE.web.user, files },
            // Not before the data is claimed: over another deployment's data its keys, too, must stay as they are.
            { parent: this, dependsOn: this.claims() },
        );
        return { place, written };
    }

    /** No container starts before *all* data has been claimed: a wrong key must not reach even one of the stores. */
    private run(service: ServiceName): docker.Container {
        const row = CATALOGUE[service];
        const { settings, server, certificate } = this.args;
        const needs = row.needs.map((other) => this.containers[other]).filter((other) => other !== undefined);
        return createContainer(
            service,
            {
                settings,
                image: this.images[row.image].reference,
                apiVersion: server.apiVersion,
                networkId: this.network.id,
                ...this.program(service),
                restartOn: row.keys ? keysFingerprint(certificate, this.args.secrets.dkimKey) : undefined,
            },
            { parent: this, dependsOn: [this.images[row.image].pulled, ...this.claims(), ...(row.keys ? [this.keys.written] : []), ...needs] },
        );
    }

    /** What runs in the container, with which environment and which mounts. */
    private program(service: ServiceName) {
        const { settings } = this.args;
        const secrets = this.args.secrets.values;
        const row = CATALOGUE[service];
        if (row.image !== "forwardemail") {
            const { data, ...start } = row.image === "mongodb" ? mongodb(secrets) : redis(secrets, settings.memoryMb.redis);
            return { ...start, mounts: row.stores.map((store) => this.stores[store].place.mount(data, false)) };
        }
        const environment = applicationEnvironment(settings, secrets);
        return {
            command: ["node", row.entry!],
            envs: Object.entries(environment).map(([key, value]) => pulumi.interpolate`${key}=${value}`),
            mounts: [
                this.keys.place.mount(KEY_DIRECTORY, true),
                ...row.stores.map((store) => this.stores[store].place.mount(`/mnt/${STORAGE}`, false)),
            ],
        };
    }

    /** The router knows only containers that are healthy: its configuration depends on them, and moves by reload. */
    private runRouter(): docker.Container {
        const { settings, server, certificate } = this.args;
        const place = this.router;
        const routed = (Object.keys(this.containers) as ServiceName[]).filter((service) => CATALOGUE[service].routed);
        const routes = pulumi.all(Object.fromEntries(routed.map((service) => [service, this.containers[service]!.name])));
        const written = writeFiles(
            `${settings.name}-router-files`,
            {
                server,
                place,
                image: this.images.nginx,
                user: CATALOGUE.router.user,
                files: {
                    "nginx.conf": routes.apply((known) => routerConfig(settings, known as Routes)),
                    ...policyFiles(settings),
                    // Its own copy: each service's keys belong to its user alone.
                    ...(policyNames(settings).length > 0 ? certificateFiles(certificate) : {}),
                },
                before: REFUSE_UNHEALTHY,
                after: reload(containerName(settings, "router")),
                environment: { CONTAINERS: routes.apply((known) => Object.values(known).join(" ")) },
            },
            { parent: this },
        );
        return createContainer(
            "router",
            {
                settings,
                image: this.images.nginx.reference,
                apiVersion: server.apiVersion,
                networkId: this.network.id,
                command: ["nginx", "-c", `${ROUTER_DIRECTORY}/nginx.conf`, "-g", "daemon off;"],
                envs: [],
                mounts: [place.mount(ROUTER_DIRECTORY, true)],
            },
            { parent: this, dependsOn: [this.images.nginx.pulled, written] },
        );
    }
}

/** Changes when a process that read its keys at start must start again. Not secret: a hash of long random values. */
function keysFingerprint(certificate: Certificate, dkimKey: pulumi.Output<string>): pulumi.Output<string> {
    // One that the server renews is not known here: its own hook starts again what reads it.
    const read = certificate.replaceable ? [dkimKey] : [certificate.fullchain, certificate.privateKey, dkimKey];
    const hash = pulumi.all(read).apply((all) => createHash("sha256").update(all.join()).digest("hex").slice(0, 32));
    return pulumi.unsecret(hash);
}

/** The certificate as files; one that is only a stopgap never replaces another. */
function certificateFiles({ privateKey, fullchain, chain, trusted, replaceable }: Certificate): Record<string, pulumi.Input<string>> {
    const mark = replaceable ? "?" : "";
    return {
        [`${mark}privkey.pem`]: privateKey,
        [`${mark}fullchain.pem`]: fullchain,
        [`${mark}chain.pem`]: chain,
        ...(trusted ? { "trusted.pem": trusted } : {}),
    };
}
