import * as command from "@pulumi/command";
import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { RegistryLogin } from "../settings/settings";
import { dockerUrl, overSsh, sshOptions } from "./connection";
import { BANS, UNDO_BANS } from "./host/bans";
import { DISK } from "./host/disk";
import { ENGINE, UNDO_ENGINE } from "./host/engine";
import { CONFIRM, FIREWALL, FirewallRules, UNDO_FIREWALL, firewallTable, openPorts } from "./host/firewall";
import { MUST_PASS } from "./host/preflight";
import { SYSTEM, UNDO_SYSTEM } from "./host/system";
import { HostScript, Machine, Server } from "./server";

export interface DockerHostArgs {
    /** Docker's socket on this machine, `unix:///…`; left out with a `machine`, whose connection says it. */
    dockerHost?: string;
    /** The host; unset, it is this machine. A private key of the stack must be in its file: keyFiles.ts. */
    machine?: Machine;
    /** Account of the registry of an image that is not public. */
    registry?: RegistryLogin;
    /** Values of the preflight; unset, there is none: this machine is the operator's own. */
    preflight?: Record<string, pulumi.Input<string>>;
    /** What the host is made into, over SSH; unset, it is taken as it is. */
    setUp?: SetUp;
}

export interface SetUp {
    /** Name of the deployment, which owns the host's set-up. */
    stack: string;
    /** Where Docker comes from when there is none. */
    engine: "distribution" | "docker";
    firewall: FirewallRules;
    /** Values of the script that closes out who guesses passwords; unset, nobody is. */
    bans?: Record<string, string>;
    /** Whether containers have IPv6. */
    ipv6: boolean;
    /** Disk for the data directory; unset, the operator has mounted one, or none. */
    disk?: { device: pulumi.Input<string>; directory: string; /** In GiB; a change grows the file system. */ size?: number };
}

/** A machine with Docker: this one, or one that is reached over SSH. Scripts are the same text on both. */
export class DockerHost extends pulumi.ComponentResource implements Server {
    public readonly provider: docker.Provider;
    public readonly apiVersion: pulumi.Output<string>;
    public readonly ready: pulumi.Resource;
    public readonly identity?: pulumi.Input<string>;
    public readonly address?: pulumi.Output<string>;
    public readonly instance?: pulumi.Resource;

    constructor(
        public readonly name: string,
        private readonly args: DockerHostArgs,
        opts?: pulumi.ComponentResourceOptions,
    ) {
        super("forwardemail:server:DockerHost", name, {}, opts);
        const { dockerHost, machine, registry, preflight, setUp } = args;
        this.identity = machine?.identity;
        this.instance = machine?.instance;
        const connection = machine && pulumi.output(machine.connection);
        this.address = connection?.address;
        const first = { parent: this, dependsOn: machine?.ready };
        const patience = machine?.instance ? BOOT_SECONDS : undefined;
        const fit = preflight && [this.run(`${name}-preflight`, { script: MUST_PASS, environment: preflight, patience }, first)];
        const fitted = setUp ? this.setUp(name, setUp, { parent: this, dependsOn: fit }) : fit;
        const docked = this.run(`${name}-docker`, { script: DOCKER_ANSWERS }, { parent: this, dependsOn: fitted });
        this.provider = new docker.Provider(
            name,
            {
                host: connection?.apply(dockerUrl) ?? dockerHost,
                sshOpts: connection?.apply(sshOptions),
                registryAuth: registry && [{ ...registry }],
            },
            { parent: this, dependsOn: [docked] },
        );
        this.ready = docked;
        this.apiVersion = docked.stdout;
        this.registerOutputs({ apiVersion: this.apiVersion });
    }

    /** One after the other, because they share the package manager, and the firewall asks Docker. Taken back in the other order. */
    private setUp(name: string, setUp: SetUp, opts: pulumi.CustomResourceOptions): pulumi.Resource[] {
        const { stack: STACK, engine, firewall, bans, ipv6, disk } = setUp;
        let last = opts.dependsOn;
        const step = (role: string, script: HostScript) => {
            const done = this.run(`${name}-${role}`, script, { ...opts, dependsOn: last });
            last = [done];
        };
        step("system", { script: SYSTEM, environment: { STACK, SWAP_BELOW_MIB: "3600", IPV6: String(ipv6) }, remove: UNDO_SYSTEM });
        if (disk)
            step("disk", {
                script: DISK,
                environment: { DEVICE: disk.device, DIRECTORY: disk.directory, ...(disk.size ? { SIZE: String(disk.size) } : {}) },
            });
        step("engine", { script: ENGINE, environment: { ENGINE: engine }, remove: UNDO_ENGINE });
        const environment = { TABLE: firewallTable(firewall), OPEN: openPorts(firewall), STACK };
        step("firewall", { script: FIREWALL, environment, remove: UNDO_FIREWALL, confirm: CONFIRM });
        if (bans) step("bans", { script: BANS, environment: { ...bans, STACK }, remove: UNDO_BANS });
        return last as pulumi.Resource[];
    }

    run(
        name: string,
        { script, environment, seesPreviousOutput, secretOutput, stdin, remove, confirm, patience }: HostScript,
        opts: pulumi.CustomResourceOptions,
    ): command.local.Command {
        const { dockerHost, machine } = this.args;
        const connection = machine && pulumi.output(machine.connection);
        // Not the caller's context: it may be another machine. With another identity, a script has run nowhere yet.
        const variables: Record<string, pulumi.Input<string>> = {
            ...environment,
            DOCKER_HOST: connection?.apply(({ socket }) => `unix://${socket}`) ?? dockerHost!,
            ...(machine ? { SERVER: machine.identity } : {}),
        };
        const names = [...Object.keys(variables), ...(seesPreviousOutput ? ["PULUMI_COMMAND_STDOUT"] : [])].sort();
        return new command.local.Command(
            name,
            {
                create: script,
                delete: remove,
                interpreter: connection?.apply((reached) => overSsh(reached, { variables: names, confirm, patience })),
                environment: variables,
                stdin,
                // A script whose output could echo its secret input stays silent; its error output is still reported when it fails.
                logging: stdin === undefined && !secretOutput ? command.local.Logging.Stderr : command.local.Logging.None,
                addPreviousOutputInEnv: seesPreviousOutput ?? false,
            },
            {
                ...opts,
                deleteBeforeReplace: true,
                deletedWith: machine?.instance,
                ...(secretOutput ? { additionalSecretOutputs: ["stdout"] } : {}),
            },
        );
    }
}

/** How long a new machine may take to boot and to answer, in seconds. */
export const BOOT_SECONDS = 300;

const DOCKER_ANSWERS = `docker version --format '{{.Server.APIVersion}}' || {
    echo "Docker does not answer. Fix: start it (systemctl start docker), and see that this user may use it (group docker)." >&2
    exit 1
}
if docker info -f '{{.SecurityOptions}}' | grep -q rootless; then
    # The application trusts private addresses: every sender would look like one.
    echo "Docker runs rootless and hides the address of every client. Fix: use the system's Docker (servers[0].dockerHost)." >&2
    exit 1
fi`;
