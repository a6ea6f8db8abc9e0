import { z } from "zod";
import { schema } from "./schema";

// What the schema wants at a path, for the fixes of messages.

/** The part of JSON Schema that is looked at. */
interface Node {
    type?: string;
    const?: unknown;
    properties?: Record<string, Node>;
    propertyNames?: { enum?: string[] };
    additionalProperties?: Node | false;
    items?: Node;
    anyOf?: Node[];
    oneOf?: Node[];
}

const ROOT = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as Node;

/** What may stand at a path; several forms where the schema leaves a choice. */
function nodesAt(where: PropertyKey[], values: unknown): Node[] {
    let [nodes, value] = [[ROOT], values];
    for (const step of where) {
        nodes = nodes.flatMap((node) => choices(node, value)).flatMap((node) => below(node, step));
        value = (value as Record<PropertyKey, unknown> | null | undefined)?.[step];
    }
    return nodes.flatMap((node) => choices(node, value));
}

/** Of a choice only the forms that the value can be: `issuer: acme` has other keys than `issuer: provided`. */
function choices(node: Node, value: unknown): Node[] {
    const all = node.anyOf ?? node.oneOf ?? [node];
    const told = all.filter(({ properties }) =>
        Object.entries(properties ?? {}).some(([key, part]) => part.const !== undefined && part.const === (value as Record<string, unknown>)?.[key]),
    );
    return told.length > 0 ? told : all;
}

function below(node: Node, step: PropertyKey): Node[] {
    const part = typeof step === "number" ? node.items : (node.properties?.[String(step)] ?? node.additionalProperties);
    return part ? [part] : [];
}

const isListOrMap = ({ type }: Node) => type === "array" || type === "object";

export const wantsListOrMap = (where: PropertyKey[], values: unknown): boolean => nodesAt(where, values).some(isListOrMap);
export const wantsText = (where: PropertyKey[], values: unknown): boolean => nodesAt(where, values).some(({ type }) => type === "string");

/** Keys that the map at a path may have. */
export const keysAt = (where: PropertyKey[], values: unknown): string[] =>
    nodesAt(where, values).flatMap(({ properties, propertyNames }) => [...Object.keys(properties ?? {}), ...(propertyNames?.enum ?? [])]);

/** A right form of every list and map, as it stands in a stack file. `*` is any name in a map, `[]` any item of a list. */
export const EXAMPLES: Record<string, string> = {
    domains: "[example.com]",
    images: "{lockFile: images.lock.json}",
    servers: "[{name: main, kind: local}]",
    "servers[]": "{name: main, kind: local}",
    "servers[].reach": '["ghcr.io:443"]',
    "servers[].blockLists": "[zen.spamhaus.org]",
    "servers[].jump": "{address: jump.example.com, hostKey: ssh-ed25519 AAAA…}",
    "servers[].aws": "{region: eu-central-1, authorizedKeys: [ssh-ed25519 AAAA…]}",
    "servers[].aws.authorizedKeys": "[ssh-ed25519 AAAA…]",
    network: "{ipv6: true}",
    certificates: "{issuer: self-signed}",
    "certificates.extraNames": "[www.example.com]",
    dns: "{provider: zone-file}",
    "dns.zones": "[{name: example.com}]",
    "dns.zones[]": "{name: example.com}",
    "dns.dmarc": "{policy: none}",
    "dns.mtaSts": "{mode: testing}",
    "dns.keep": '{"example.com TXT": ["google-site-verification=…"]}',
    "dns.keep.*": '["google-site-verification=…"]',
    backups: "{provider: s3, bucket: my-mail-backups, endpoint: https://s3.example.com, accessKeyId: ID}",
    "backups.keep": "{hourly: 2d, daily: 14d}",
    metrics: "{server: main}",
    dkim: "{default: active}",
    domainRecords: "{}",
    "domainRecords.*": "{selector: fe-1, publicKey: MIIB…}",
    "domainRecords.*.previous": "[{selector: fe-1, publicKey: MIIB…}]",
    "domainRecords.*.previous[]": "{selector: fe-1, publicKey: MIIB…}",
    firewall: "{allow: [8080]}",
    "firewall.sshFrom": "[203.0.113.0/24]",
    "firewall.allow": "[8080]",
    "firewall.bans": "{exempt: [203.0.113.0/24]}",
    "firewall.bans.exempt": "[203.0.113.0/24]",
    data: "{directory: /srv/forwardemail}",
    image: "{build: {context: ../forwardemail.net, repository: registry.example.com/me/forwardemail-selfhosted}}",
    "image.build": "{context: ../forwardemail.net, repository: registry.example.com/me/forwardemail-selfhosted}",
    "image.build.platforms": "[linux/arm64]",
    "image.build.args": '{RUN_BASE: "registry.example.com/node:25-bookworm-slim"}',
    services: "{imap: {memory: 2g}}",
    "services.*": "{memory: 2g}",
    environment: '{NAME: "value"}',
};

/** Every path that holds a list or a map, as in {@link EXAMPLES}. */
export function listsAndMaps(node: Node = ROOT, path = ""): string[] {
    const parts: Array<[string, Node]> = [
        ...Object.entries(node.properties ?? {}).map(([key, part]): [string, Node] => [path === "" ? key : `${path}.${key}`, part]),
        ...(node.additionalProperties ? [[`${path}.*`, node.additionalProperties] as [string, Node]] : []),
        ...(node.items ? [[`${path}[]`, node.items] as [string, Node]] : []),
    ];
    const found = parts.flatMap(([at, part]) =>
        choices(part, undefined).flatMap((form) => [...(isListOrMap(form) ? [at] : []), ...listsAndMaps(form, at)]),
    );
    return [...new Set(found)];
}

/** The example for a path of the config: a name in a map may be any. */
export function exampleAt(where: PropertyKey[]): string | undefined {
    const forms = Object.keys(EXAMPLES).map((path) => ({ path, steps: path.replaceAll("[]", ".[]").split(".") }));
    const fits = (step: string, part: PropertyKey) => (typeof part === "number" ? step === "[]" : step === "*" || step === part);
    const found = forms.find(({ steps }) => steps.length === where.length && steps.every((step, at) => fits(step, where[at])));
    return found && EXAMPLES[found.path];
}

/** The nearest of some names, upper and lower case alike, where one is near enough to be meant. */
export function nearest(name: string, known: string[]): string | undefined {
    const all = known.map((key) => ({ key, away: distance(key.toLowerCase(), name.toLowerCase()) }));
    return all.filter(({ away }) => away <= 2).sort((a, b) => a.away - b.away)[0]?.key;
}

/** Levenshtein distance, for "did you mean". */
export function distance(a: string, b: string): number {
    let row = Array.from({ length: b.length + 1 }, (_, i) => i);
    for (let i = 1; i <= a.length; i++) {
        const next = [i];
        for (let j = 1; j <= b.length; j++) next.push(Math.min(next[j - 1] + 1, row[j] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
        row = next;
    }
    return row[b.length];
}
