import type * as auto from "@pulumi/pulumi/automation";
import type { Login, SshConnection } from "../components/server/connection";
import type { Settings } from "../components/settings/settings";

/** A resource as the state has it. */
export interface StateResource {
    urn: string;
    type: string;
    /** The provider's. */
    id?: string;
    inputs?: Record<string, unknown>;
    outputs?: Record<string, unknown>;
    delete?: boolean;
    protect?: boolean;
}

export interface State {
    resources: StateResource[];
    /** What was under way when an operation was killed. */
    pending: Array<{ type: string; resource: StateResource }>;
}

export async function stateOf(stack: auto.Stack): Promise<State> {
    const { resources, pending_operations: pending } = (await stack.exportStack()).deployment;
    return { resources: resources ?? [], pending: pending ?? [] } as State;
}

export const resourcesOf = async (stack: auto.Stack): Promise<StateResource[]> => (await stateOf(stack)).resources;

/** Whether services of the stack were ever started. */
export const hasContainers = (resources: Array<{ type: string }>): boolean =>
    resources.some(({ type }) => type === "docker:index/container:Container");

/** Outputs of the stack as the state has them; those that are secret stay wrapped. */
export async function outputsOf(stack: auto.Stack): Promise<Record<string, unknown>> {
    return outputsIn(await resourcesOf(stack));
}

export function outputsIn(resources: StateResource[]): Record<string, unknown> {
    return resources.find(({ type }) => type === "pulumi:pulumi:Stack")?.outputs ?? {};
}

/**
 * The settings, with what only the state knows: the connections of instances that the program made, and the digest of an image that it built.
 * Where there is none yet, `ssh` stays unset.
 */
export async function located(stack: auto.Stack, settings: Settings): Promise<Settings> {
    if (!settings.build && !settings.servers.some(({ aws }) => aws)) return settings;
    const resources = await resourcesOf(stack);
    const servers = settings.servers.map((server) =>
        server.aws ? { ...server, ssh: connectionTo(`${settings.name}-${server.name}`, server.login!, resources) } : server,
    );
    return { ...settings, servers, images: settings.build ? withBuilt(settings, resources) : settings.images };
}

/** The images, with the digest of the one that was built, once the state has it. */
export function withBuilt({ name, images }: Settings, resources: StateResource[]): Settings["images"] {
    const built = resources.find(({ urn, delete: old }) => !old && urn.endsWith(`command:local:Command::${name}-image`));
    const reference = built?.outputs?.stdout as string | undefined;
    return reference ? { ...images, forwardemail: { tag: reference.replace(/^.*:(.*)@.*$/, "$1"), reference } } : images;
}

function connectionTo(name: string, login: Login, resources: StateResource[]): SshConnection | undefined {
    const find = (type: string, resource: string) => resources.find(({ urn, delete: old }) => !old && urn.endsWith(`${type}::${resource}`));
    const instance = find("aws:ec2/instance:Instance", `${name}-instance`);
    const address = find("aws:ec2/eip:Eip", `${name}-address`)?.outputs?.publicIp as string | undefined;
    const hostKey = find("tls:index/privateKey:PrivateKey", `${name}-host-key`)?.outputs?.publicKeyOpenssh as string | undefined;
    return instance && address && hostKey ? { ...login, address, hostKey: hostKey.trim() } : undefined;
}

/** Asks the cloud what became of the instances and of what belongs to them, or of what is of one type only. */
export async function refreshMachines(stack: auto.Stack, of = "aws:"): Promise<void> {
    const target = (await resourcesOf(stack)).filter(({ type }) => type.startsWith(of)).map(({ urn }) => urn);
    if (target.length > 0) await stack.refresh({ target, onOutput: () => undefined });
}

/** Brings the security groups to what the config says, and nothing else: the operator's own address may have changed. */
export async function openSecurityGroups(stack: auto.Stack): Promise<void> {
    await stack.up({ target: ["**aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule::*"], onOutput: () => undefined });
}
