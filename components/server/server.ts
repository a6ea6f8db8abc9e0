import * as command from "@pulumi/command";
import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { SshConnection } from "./connection";

/** One idempotent shell script for a Docker host. The text is shown in previews and kept in the state: it holds no secret. */
export interface HostScript {
    script: pulumi.Input<string>;
    /** Plain values of the script. */
    environment?: Record<string, pulumi.Input<string>>;
    /** Give the script its own last output as PULUMI_COMMAND_STDOUT. @default false */
    seesPreviousOutput?: boolean;
    /** Secrets of the script, read from standard input: never on a command line. */
    stdin?: pulumi.Input<string>;
    /** Its output is a secret. @default false */
    secretOutput?: boolean;
    /** Script that takes it back, when the resource goes. */
    remove?: string;
    /** Script that runs after this one over a connection of its own: for what could have cut the connection off. Over SSH only. */
    confirm?: string;
    /** How long to try to connect, in seconds; over SSH only. @default 0 */
    patience?: number;
}

/** A machine that is reached over SSH, given or made. */
export interface Machine {
    connection: pulumi.Input<SshConnection>;
    /** Changes when another machine takes its place. */
    identity: pulumi.Input<string>;
    /** What must be there before one can connect to it. */
    ready?: pulumi.Resource[];
    /** Where the program makes the machine: what everything on it is gone with. */
    instance?: pulumi.Resource;
}

/**
 * A host that runs containers. The rest of the deployment does not know whether it is this machine, a VPS or a cloud
 * instance: it uses the Docker provider, runs scripts, and depends on `ready`.
 */
export interface Server {
    readonly name: string;
    readonly provider: docker.Provider;
    /** Version of the Docker API, `1.41`: decides what health checks may say. */
    readonly apiVersion: pulumi.Output<string>;
    /** Depend on it to be sure that Docker answers. */
    readonly ready: pulumi.Resource;
    /** Changes when another machine takes the server's place; unset on this machine. What is on it is made anew then. */
    readonly identity?: pulumi.Input<string>;
    /** IPv4, IPv6 or DNS name that clients reach it by; unset on this machine. */
    readonly address?: pulumi.Output<string>;
    /** What everything on the server is gone with. */
    readonly instance?: pulumi.Resource;
    /** Declares a script that runs on the host when it is new or has changed; its output is `stdout`. */
    run(name: string, script: HostScript, opts: pulumi.CustomResourceOptions): command.local.Command;
}
