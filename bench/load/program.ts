import * as pulumi from "@pulumi/pulumi";

// Loads a program and runs it against Pulumi's mocks, in a process of its own: `ours` is this project's, `bare` declares the
// same resources with the bare SDKs, from a list. Prints the time since the process started and the most memory it held.

export interface Load {
    milliseconds: number;
    mebibytes: number;
}

export type Resources = Array<{ type: string; name: string; inputs: Record<string, unknown> }>;

interface Input {
    program: "ours" | "bare";
    config: Record<string, unknown>;
    resources: Resources;
}

async function main(): Promise<void> {
    const { program, config, resources } = JSON.parse(process.env.LOAD ?? "") as Input;
    await pulumi.runtime.setMocks(
        {
            newResource: ({ type, name, inputs }) => ({ id: `${name}-id`, state: { ...inputs, ...made(type, name) } }),
            call: () => ({}),
        },
        "forwardemail",
        "dev",
    );
    if (program === "ours") await ours(config);
    else bare(resources);
    await pulumi.runtime.disconnect();
    const load: Load = { milliseconds: performance.now(), mebibytes: process.resourceUsage().maxRSS / 1024 };
    console.log(JSON.stringify(load));
}

/** What an operation does: the config is read and checked, then everything is declared. */
async function ours(config: Record<string, unknown>): Promise<void> {
    const { deploy } = await import("../../components/deploy");
    const { settingsFrom } = await import("../../operate/stackFile");
    deploy(settingsFrom("dev", config, { allowUnpinned: true }));
}

function bare(resources: Resources): void {
    for (const { type, name, inputs } of resources) {
        const [sdk, module, kind] = type.split(":");
        if (sdk === "forwardemail" || type === "pulumi:pulumi:Stack") new pulumi.ComponentResource(type, name, {});
        else if (sdk === "pulumi") new (load(kind).Provider as Resource)(name, inputs);
        else new ((module.startsWith("index") ? load(sdk) : (load(sdk)[module] as Record<string, unknown>))[kind] as Resource)(name, inputs);
    }
}

type Resource = new (name: string, inputs: unknown) => pulumi.Resource;
// eslint-disable-next-line @typescript-eslint/no-require-imports -- by name, as many as the plan has
const load = (sdk: string) => require(`@pulumi/${sdk}`) as Record<string, unknown>;

/** The few outputs that a program reads. */
function made(type: string, name: string): Record<string, unknown> {
    const result = type.includes("Password") ? { result: "0".repeat(64) } : {};
    return {
        ...result,
        name,
        privateKeyPem: "key",
        publicKeyPem: "key",
        certPem: "certificate",
        certRequestPem: "request",
        ...(type.startsWith("command") ? { stdout: "1.44" } : {}),
    };
}

void main();
