import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { Server } from "./server";

/** An image that is on a server. */
export interface PulledImage {
    reference: pulumi.Input<string>;
    pulled: pulumi.Resource;
}

/** Pulls an image to a server, once that is set up. Old ones stay there: going back to one must not depend on the registry. */
export function pullImage(name: string, reference: pulumi.Input<string>, server: Server, opts: pulumi.CustomResourceOptions): PulledImage {
    const pulled = new docker.RemoteImage(name, { name: reference, keepLocally: true }, { ...opts, dependsOn: [server.ready] });
    return { reference, pulled };
}
