import * as command from "@pulumi/command";
import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { SshConnection, overSsh, sshOptions } from "./connection";
import { ENGINE, UNDO_ENGINE } from "./host/engine";
import { CONFIRM, FIREWALL, FirewallRules, UNDO_FIREWALL, firewallTable } from "./host/firewall";
import { MUST_PASS, PreflightValues } from "./host/preflight";
import { SYSTEM, UNDO_SYSTEM } from "./host/system";
import { HostScript, Server } from "./server";

export interface DockerHostArgs {
    /** Docker's address: `unix:///…`, or `ssh://…` together with `ssh`. */
    dockerHost: string;
    /** How the host is reached; unset, it is this machine. Its files must be there: connectionFiles.ts. */
    ssh?: SshConnection;
    /** Values of the preflight; unset, there is none: this machine is the operator's own. */
    preflight?: PreflightValues;
    /** What the host is made into, over SSH; unset, it is taken as it is. */
    setUp?: SetUp;
}

export interface SetUp {
    /** Name of the deployment, which owns the host's set-up. */
    stack: string;
    /** Where Docker comes from when there is none. */
    engine: "distribution" | "docker";
    firewall: FirewallRules;
}

/** A machine with Docker: this one, or one that is reached over SSH. Scripts are the same text on both. */
export class DockerHost extends pulumi.ComponentResource implements Server {
    public readonly provider: docker.Provider;
    public readonly apiVersion: pulumi.Output<string>;
    public readonly ready: pulumi.Resource;
    public readonly identity?: string;

    constructor(
        public readonly name: string,
        private readonly args: DockerHostArgs,
        opts?: pulumi.ComponentResourceOptions,
    ) {
        super("forwardemail:server:DockerHost", name, {}, opts);
        this.identity = args.ssh?.hostKey;
        const fit = args.preflight && [this.run(`${name}-preflight`, { script: MUST_PASS, environment: args.preflight }, { parent: this })];
        const fitted = args.setUp ? this.setUp(name, args.setUp, { parent: this, dependsOn: fit }) : fit;
        const docked = this.run(`${name}-docker`, { script: DOCKER_ANSWERS }, { parent: this, dependsOn: fitted });
        this.provider = new docker.Provider(
            name,
            { host: args.dockerHost, sshOpts: args.ssh && sshOptions(args.ssh) },
            { parent: this, dependsOn: [docked] },
        );
        this.ready = docked;
        this.apiVersion = docked.stdout;
        this.registerOutputs({ apiVersion: this.apiVersion });
    }

    /** One after the other, because they share the package manager, and the firewall asks Docker. Taken back in the other order. */
    private setUp(name: string, { stack: STACK, engine, firewall }: SetUp, opts: pulumi.CustomResourceOptions): pulumi.Resource[] {
        const system = this.run(`${name}-system`, { script: SYSTEM, environment: { STACK, SWAP_BELOW_MIB: "3600" }, remove: UNDO_SYSTEM }, opts);
        const docked = this.run(
            `${name}-engine`,
            { script: ENGINE, environment: { ENGINE: engine }, remove: UNDO_ENGINE },
            { ...opts, dependsOn: [system] },
        );
        const { ports, allow } = firewall;
        const closed = this.run(
            `${name}-firewall`,
            {
                script: FIREWALL,
                environment: { TABLE: firewallTable(firewall), OPEN: [...ports, ...allow].join(" "), STACK },
                remove: UNDO_FIREWALL,
                confirm: CONFIRM,
            },
            { ...opts, dependsOn: [docked] },
        );
        return [closed];
    }

    run(
        name: string,
        { script, environment, seesPreviousOutput, stdin, remove, confirm }: HostScript,
        opts: pulumi.CustomResourceOptions,
    ): command.local.Command {
        const { dockerHost, ssh } = this.args;
        // Not the caller's context: it may be another machine.
        // With another identity, a script has run nowhere yet.
        const variables = {
            ...environment,
            ...(ssh ? { DOCKER_HOST: `unix://${ssh.socket}`, SERVER: this.identity! } : { DOCKER_HOST: dockerHost }),
        };
        const names = [...Object.keys(variables), ...(seesPreviousOutput ? ["PULUMI_COMMAND_STDOUT"] : [])];
        return new command.local.Command(
            name,
            {
                create: script,
                delete: remove,
                interpreter: ssh && overSsh(ssh, names.sort(), confirm),
                environment: variables,
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
