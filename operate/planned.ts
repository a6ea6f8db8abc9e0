import * as pulumi from "@pulumi/pulumi";
import type { RegisterResourceRequest } from "@pulumi/pulumi/proto/resource_pb";
import { MockMonitor } from "@pulumi/pulumi/runtime/mocks";
import { deploy } from "../components/deploy";
import { readProject, readStackFile, settingsFrom } from "./stackFile";

/** A resource as the program declares it; secrets redacted, so that it can be shown and committed. */
export interface Planned {
    type: string;
    name: string;
    /** `type::name` of the parent; empty for the top level. */
    parent: string;
    inputs: unknown;
    options: Record<string, unknown>;
}

const SIGNATURE = "4dabf18193072939515e22adb298388d";
const SECRET = "1b47061264138c4ac30d75fd1eb44270"; // Pulumi's wire marker of a secret

/**
 * The whole plan of a stack without engine, state, network or credentials: the program runs against Pulumi's mocks.
 * @throws SettingsError when the config has problems.
 */
export async function planStack(stack: string, overlay: Record<string, unknown> = {}, firstPreview = false): Promise<Planned[]> {
    const config = { ...readStackFile(stack).config, ...overlay };
    return planProgram(() => deploy(settingsFrom(stack, config, { allowUnpinned: true })), readProject().name, stack, firstPreview);
}

/** Plans whatever a program declares. On a first preview nothing that a provider makes is known yet. */
export async function planProgram(program: () => unknown, project: string, stack: string, firstPreview = false): Promise<Planned[]> {
    const planned: Planned[] = [];
    await pulumi.runtime.setMocks(
        {
            newResource: ({ type, name, inputs }) =>
                firstPreview
                    ? { id: undefined, state: inputs }
                    : { id: `${name}-id`, state: { ...inputs, name: inputs.name ?? `${name}-abc1234`, ...made(type, name) } },
            call: ({ token }) => {
                const found = LOOKED_UP[token];
                if (!found) throw new Error(`the plan must not look anything up, but called ${token}`);
                return found;
            },
        },
        project,
        stack,
        firstPreview,
        "organization",
    );
    const restore = recordRegistrations(planned);
    try {
        program();
        await pulumi.runtime.disconnect();
    } finally {
        restore();
    }
    return planned.sort((a, b) => `${a.type} ${a.name}`.localeCompare(`${b.type} ${b.name}`));
}

/** What AWS would answer to the lookups that a plan for it makes. Obviously not real. */
const LOOKED_UP: Record<string, Record<string, unknown>> = {
    "aws:ssm/getParameter:getParameter": { insecureValue: "ami-00000000000000000" },
    "aws:ec2/getVpc:getVpc": { id: "vpc-of-the-account" },
    "aws:ec2/getSubnet:getSubnet": { id: "subnet-of-the-zone" },
};

/** What some scripts would print, by the end of their names; others print the version of Docker's API. */
const SAID = [
    ["-acme-account", "https://authority.invalid/acct/1"],
    ["-image", `registry.invalid/built:planned@sha256:${"0".repeat(64)}`],
];

/** What providers would make. Obviously not real, and never shown where secret. */
function made(type: string, name: string): Record<string, unknown> {
    const pem = (kind: string) => `-----BEGIN ${kind}-----\n${name}\n-----END ${kind}-----\n`;
    switch (type) {
        case "random:index/randomPassword:RandomPassword":
            return { result: pulumi.secret("Planned0Planned0Planned0Planned0Planned0Planned0Planned0Planned0") };
        case "tls:index/privateKey:PrivateKey":
            return {
                privateKeyPem: pulumi.secret(pem("PRIVATE KEY")),
                privateKeyOpenssh: pulumi.secret(pem("OPENSSH PRIVATE KEY")),
                publicKeyPem: pem("PUBLIC KEY"),
                publicKeyOpenssh: `ssh-ed25519 ${name}`,
            };
        case "tls:index/selfSignedCert:SelfSignedCert":
        case "tls:index/locallySignedCert:LocallySignedCert":
            return { certPem: pem("CERTIFICATE") };
        case "tls:index/certRequest:CertRequest":
            return { certRequestPem: pem("CERTIFICATE REQUEST") };
        case "command:local:Command":
            return { stdout: SAID.find(([end]) => name.endsWith(end))?.[1] ?? "1.44", stderr: "" };
        case "aws:ec2/eip:Eip":
            return { publicIp: "203.0.113.7", allocationId: `${name}-id` };
        case "aws:s3/bucket:Bucket":
            return { bucket: `${name}-abc1234`, arn: `arn:aws:s3:::${name}-abc1234`, region: "eu-central-1" };
        case "aws:iam/accessKey:AccessKey":
            return { secret: pulumi.secret("Planned0Planned0Planned0Planned0Planned0") };
        case "cloudflare:index/accountToken:AccountToken":
            return { value: pulumi.secret("Planned0Planned0Planned0Planned0Planned0") };
        default:
            return {};
    }
}

/** Mocks do not report resource options (pulumi/pulumi#14421): read them from the registration requests themselves. */
function recordRegistrations(planned: Planned[]): () => void {
    const original = MockMonitor.prototype.registerResource;
    MockMonitor.prototype.registerResource = async function (req: RegisterResourceRequest, callback) {
        planned.push({
            type: req.getType(),
            name: req.getName(),
            parent: typeAndName(req.getParent()),
            inputs: redact(req.getObject()?.toJavaScript() ?? {}),
            options: options(req),
        });
        return original.call(this, req, callback);
    };
    return () => {
        MockMonitor.prototype.registerResource = original;
    };
}

function options(req: RegisterResourceRequest): Record<string, unknown> {
    const all: Record<string, unknown> = {
        protect: req.getProtect() || undefined,
        deleteBeforeReplace: req.getDeletebeforereplacedefined() ? req.getDeletebeforereplace() : undefined,
        replaceOnChanges: list(req.getReplaceonchangesList()),
        ignoreChanges: list(req.getIgnorechangesList()),
        retainOnDelete: req.getRetainondelete() || undefined,
        additionalSecretOutputs: list(req.getAdditionalsecretoutputsList()),
        deletedWith: short(req.getDeletedwith()) || undefined,
        replacementTrigger: trigger(req.getReplacementTrigger()?.toJavaScript()),
        provider: req.getProvider().split("::").at(-2) || undefined,
        dependsOn: list((req.getDependenciesList() as string[]).map(short).sort()),
    };
    return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

/** The SDK sends an empty trigger where there is none. */
const trigger = (value: unknown) => value || undefined;

const list = (values: string[]) => (values.length > 0 ? values : undefined);
const short = (urn: string) => urn.split("::").at(-1) ?? "";

function typeAndName(urn: string): string {
    const [type, name] = urn.split("::").slice(2);
    return urn === "" ? "" : `${type.split("$").at(-1)}::${name}`;
}

/** Sorts keys and hides secrets. */
function redact(value: unknown): unknown {
    if (Array.isArray(value)) return value.map(redact);
    if (!value || typeof value !== "object") return value;
    const record = value as Record<string, unknown>;
    if (record[SIGNATURE] === SECRET) return "[secret]";
    return Object.fromEntries(
        Object.keys(record)
            .sort()
            .map((key) => [key, redact(record[key])]),
    );
}
