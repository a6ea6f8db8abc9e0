import * as command from "@pulumi/command";
import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { HostScript, Server } from "./server";

export interface LocalServerArgs {
    /** Docker's socket, `unix:///…`. */
    dockerHost: string;
}

/** This machine's Docker. */
export class LocalServer extends pulumi.ComponentResource implements Server {
    public readonly provider: docker.Provider;
    public readonly apiVersion: pulumi.Output<string>;
    public readonly ready: pulumi.Resource;
    private readonly dockerHost: string;

    constructor(
        public readonly name: string,
        args: LocalServerArgs,
        opts?: pulumi.ComponentResourceOptions,
    ) {
        super("forwardemail:server:LocalServer", name, {}, opts);
        this.dockerHost = args.dockerHost;
        const docked = this.run(`${name}-docker`, { script: DOCKER_ANSWERS }, { parent: this });
        this.provider = new docker.Provider(name, { host: args.dockerHost }, { parent: this, dependsOn: [docked] });
        this.ready = docked;
        this.apiVersion = docked.stdout;
        this.registerOutputs({ apiVersion: this.apiVersion });
    }

    run(name: string, { script, environment, seesPreviousOutput, stdin }: HostScript, opts: pulumi.CustomResourceOptions): command.local.Command {
        return new command.local.Command(
            name,
            {
                create: script,
                environment: { ...environment, DOCKER_HOST: this.dockerHost }, // not the caller's context: it may be another machine
                stdin,
                // A script whose output could echo its secret input stays silent; its error output is still reported when it fails.
                logging: stdin === undefined ? command.local.Logging.Stderr : command.local.Logging.None,
                addPreviousOutputInEnv: seesPreviousOutput ?? false,
            },
            { ...opts, deleteBeforeReplace: true },
        );
    }
}

const DOCKER_ANSWERS = `docker version --format '{{.Server.APIVersion}}' || {
    echo "Docker does not answer. Fix: start it (systemctl start docker), and see that this user may use it (group docker)." >&2
    exit 1
}
if docker info -f '{{.SecurityOptions}}' | grep -q rootless; then
    # The application trusts private addresses: every sender would look like one.
    echo "Docker runs rootless and hides the address of every client. Fix: use the system's Docker (servers[0].dockerHost)." >&2
    exit 1
fi`;
