import { parseArgs } from "node:util";
import { dnsPlan, knownValues } from "../components/dns/plan";
import { records } from "../components/dns/records";
import { recordTable } from "../components/dns/zoneFile";
import type { Settings } from "../components/settings/settings";
import { planAgainst } from "./planAgainst";
import { Planned, planStack } from "./planned";
import { readStackFile, settingsFrom } from "./stackFile";

const HELP = `npm run plan -- STACK [--json | --records]
npm run plan -- --against COMMIT

Shows every resource of a stack without engine, state, network or credentials. Secrets are redacted.

  STACK       name of the stack: reads Pulumi.STACK.yaml
  --json      the whole plan, with inputs and options, as JSON
  --records   the DNS records instead, with what each is for
  --against   what the files here change in the plans of all stacks since a commit, as Markdown: for pull requests
`;

async function main(): Promise<void> {
    const { values, positionals } = parseArgs({
        allowPositionals: true,
        options: {
            stack: { type: "string" }, // as the other commands have it
            json: { type: "boolean" },
            records: { type: "boolean" },
            against: { type: "string" },
            help: { type: "boolean", short: "h" },
        },
    });
    const stacks = [...positionals, ...(values.stack ? [values.stack] : [])];
    if (values.against !== undefined && stacks.length === 0) return void process.stdout.write(planAgainst(values.against));
    if (values.help || stacks.length !== 1) {
        process.stdout.write(HELP);
        process.exitCode = values.help ? 0 : 2;
        return;
    }
    const [stack] = stacks;
    const settings = settingsFrom(stack, readStackFile(stack).config ?? {}, { allowUnpinned: true });
    if (values.records) return void process.stdout.write(recordsOf(settings));
    const planned = await planStack(stack);
    process.stdout.write(values.json ? `${JSON.stringify(planned, null, 2)}\n` : `${tree(planned)}${decisions(settings)}`);
}

/** What a reader should not have to guess from the resources. */
function decisions({ certificates, dns }: Settings): string {
    return `certificates: ${certificates.issuer}; DNS records: ${dns?.provider ?? "none"}\n`;
}

function recordsOf(settings: Settings): string {
    if (!settings.dns) return "No DNS records: dns.provider is none.\n";
    return recordTable(records(dnsPlan(settings, knownValues(settings, "(made by up)"))));
}

/** Resources under their parents, one line each, with what decides their life. */
function tree(planned: Planned[]): string {
    const lines: string[] = [];
    const visit = (parent: string, indent: string) => {
        for (const resource of planned.filter((r) => r.parent === parent && r.type !== "pulumi:pulumi:Stack")) {
            const { protect, deleteBeforeReplace } = resource.options;
            const marks = [protect && "protected", resource.type === "docker:index/container:Container" && deleteBeforeReplace === false && "no gap"]
                .filter(Boolean)
                .join(", ");
            lines.push(`${indent}${resource.name}  (${resource.type})${marks ? `  [${marks}]` : ""}${detail(resource)}`);
            visit(`${resource.type}::${resource.name}`, `${indent}  `);
        }
    };
    visit("", "");
    return `${lines.join("\n")}\n${planned.length} resources\n`;
}

function detail({ inputs }: Planned): string {
    const { image, ports, instanceType, size, cidrIpv4, fromPort } = inputs as {
        image?: string;
        ports?: Array<{ ip: string; external: number }>;
        instanceType?: string;
        size?: number;
        cidrIpv4?: string;
        fromPort?: number;
    };
    if (instanceType) return `  ${instanceType}`;
    if (size) return `  ${size} GiB`;
    if (cidrIpv4) return `  ${fromPort ?? "all"} ${cidrIpv4}`;
    if (!image) return "";
    const published = ports?.length ? `  ${ports.map((p) => `${p.ip}:${p.external}`).join(" ")}` : "";
    return `  ${image.replace(/@sha256:(.{12}).*/, "@sha256:$1…")}${published}`;
}

main().catch((error) => {
    console.error(process.env.DEBUG ? error : (error as Error).message);
    process.exitCode = 1;
});
