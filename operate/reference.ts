import { existsSync, readFileSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { parseArgs } from "node:util";
import { z } from "zod";
import { schema } from "../components/settings/schema";
import { SECRETS } from "../components/services/secrets";
import { PROJECT, readProject } from "./stackFile";

const HELP = `npm run reference [-- --check]

Writes docs/configuration.md from the schema of the settings and from Pulumi.yaml.

  --check   writes nothing, and ends with 1 when the file is not what it would be
`;

export const REFERENCE = path.join(PROJECT, "docs/configuration.md");

function main(): void {
    const { values } = parseArgs({ options: { check: { type: "boolean" }, help: { type: "boolean", short: "h" } } });
    if (values.help) return void process.stdout.write(HELP);
    if (!values.check) return writeFileSync(REFERENCE, reference());
    if (existsSync(REFERENCE) && readFileSync(REFERENCE, "utf8") === reference()) return;
    console.error("docs/configuration.md is not what the schema says. Fix: npm run reference");
    process.exitCode = 1;
}

interface Node {
    type?: string;
    description?: string;
    default?: unknown;
    enum?: unknown[];
    const?: string | number | boolean;
    properties?: Record<string, Node>;
    additionalProperties?: Node | false;
    items?: Node;
    anyOf?: Node[];
    oneOf?: Node[];
    pattern?: string;
    minimum?: number;
    maximum?: number;
}

/** Text of docs/configuration.md: every key with what it may hold, its default and its meaning. */
export function reference(): string {
    const root = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as Node;
    const declared = readProject().config as Record<string, { description?: string; default?: unknown }>;
    const rows = Object.entries(root.properties ?? {}).flatMap(([key, node]) => [
        row(key, { ...node, default: node.default ?? declared[key]?.default, description: declared[key]?.description }),
        ...children(key, node),
    ]);
    const secrets = Object.entries({
        ...Object.fromEntries(Object.entries(SECRETS).map(([key, { what }]) => [key, what])),
        dkimKey: "RSA private key, PEM, of the selector default: signs what the deployment itself sends",
        certificateKey: "private key, PEM, of certificates.chainFile",
        sshKey: "private key for servers that are reached over SSH; without one, ssh's own agent and files are used",
        cloudflareToken: "token of Cloudflare's API (DNS: Edit of the zones), for dns.provider cloudflare; it stays with Pulumi",
        acmeDnsCredential: "what the server writes DNS-01 records with: token of Cloudflare, secret access key of AWS, or TSIG secret in base64",
        alertWebhook: 'URL that is told, by a POST with JSON {"text": …}, when a certificate cannot be renewed or a backup is overdue',
        backupSecretKey: "secret of backups.accessKeyId: the server writes the backup sets with it",
        backupPruneSecretKey: "secret of backups.pruneAccessKeyId: `npm run prune` deletes old sets with it; it is never left on the server",
        backupCanaryPassword: "password of the alias backups.canary, for the restore drill and for verify",
        backupPassphrase: "opens every backup set. Generated unless given; keep it apart from the stack: without it no set can be read",
        registryPassword: "password of image.build.username, by which the image is pushed, and pulled by the server",
        restoredSecrets: "secrets and keys of the set that `npm run restore` brought back, JSON",
    });
    return `# Configuration

Made from the schema by \`npm run reference\`; a test holds it current. Keys stand in \`Pulumi.<stack>.yaml\` below \`config:\`, each as \`forwardemail:KEY\`.
All mistakes are told at once, before anything is created.

| key | value | default | meaning |
|---|---|---|---|
${rows.join("\n")}

## Secrets

The first nine, \`dkimKey\` and \`backupPassphrase\` are generated once and protected. To bring old ones, in a restore or a migration, or to give the
key of a certificate or a server: \`pulumi config set --secret KEY\`.

| key | what it is |
|---|---|
${secrets.map(([key, what]) => `| \`${key}\` | ${what} |`).join("\n")}
`;
}

/** Keys inside an object, a list of objects, a map, or the forms that an object can have. */
function children(key: string, node: Node): string[] {
    const forms = node.oneOf ?? node.anyOf;
    if (forms) return [...new Set(forms.flatMap((form) => children(key, form)))];
    if (node.items?.properties) return children(`${key}[]`, node.items);
    if (typeof node.additionalProperties === "object" && node.additionalProperties.properties)
        return children(`${key}.NAME`, node.additionalProperties);
    return Object.entries(node.properties ?? {})
        .filter(([name, child]) => child.const === undefined || name !== "issuer")
        .flatMap(([name, child]) => [row(`${key}.${name}`, child), ...children(`${key}.${name}`, child)]);
}

function row(key: string, node: Node): string {
    const given = node.default === undefined ? "" : `\`${JSON.stringify(node.default)}\``;
    return `| \`${key}\` | ${kind(node)} | ${given} | ${(node.description ?? "").replaceAll("|", "\\|")} |`;
}

function kind(node: Node): string {
    if (node.const !== undefined) return `\`${String(node.const)}\``;
    if (node.enum) return node.enum.map((value) => `\`${String(value)}\``).join(", ");
    const forms = node.oneOf ?? node.anyOf;
    if (forms) return [...new Set(forms.map(kind))].join(" or ");
    if (node.type === "array") return `list of ${kind(node.items ?? {})}`;
    if (node.type === "integer") return `${node.minimum} to ${node.maximum}`;
    return { object: "map", string: "text", boolean: "`true`, `false`" }[node.type ?? ""] ?? node.type ?? "any";
}

if (require.main === module)
    try {
        main();
    } catch (error) {
        console.error((error as Error).message);
        process.exitCode = 1;
    }
