import { isDeepStrictEqual } from "node:util";
import { Document, isMap, isNode, parse, parseDocument } from "yaml";

/**
 * The text of a stack file with another value of one key of its config; without the key where the value has nothing in it. What the
 * file has beside it stays as it is, to the letter, and comments inside the value stay at what they are about.
 * @throws Error when it is no YAML.
 */
export function withConfig(text: string, key: string, value: Record<string, unknown> | string): string {
    const document = parseDocument(text);
    if (document.errors.length > 0) throw new Error(`It is not YAML: ${document.errors[0].message}. Fix: mend it.`);
    if (!isMap(document.get("config", true))) document.set("config", document.createNode({}));
    const plain = JSON.parse(JSON.stringify(value)) as typeof value; // one object in two places would become an alias
    if (Object.keys(plain).length === 0) document.deleteIn(["config", key]);
    else assign(document, ["config", key], plain);
    const written = document.toString({ lineWidth: 0, indent: indentOf(text) });
    const spliced = splice(text, written, key);
    return spliced !== undefined && isDeepStrictEqual(parse(spliced), parse(written)) ? spliced : written;
}

/** Changes only what differs: nodes that stay keep their comments. */
function assign(document: Document, path: string[], value: unknown): void {
    const current = document.getIn(path, true);
    if (isMap(current) && isRecord(value)) {
        const had = Object.keys(current.toJS(document) as object);
        for (const key of had.filter((key) => !(key in value))) document.deleteIn([...path, key]);
        for (const [key, part] of Object.entries(value)) assign(document, [...path, key], part);
    } else if (!isDeepStrictEqual(isNode(current) ? current.toJS(document) : undefined, value))
        document.setIn(path, typeof value === "object" ? document.createNode(value) : value); // a scalar's own node stays, with its comment
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

/** How far the keys of `config` are indented. */
const indentOf = (text: string) => /^config:.*\n(?:\s*(?:#.*)?\n)*( +)[^\s#]/m.exec(text)?.[1].length ?? 2;

/** The lines of `key` of one text in place of those of the other: YAML's writer would change the layout of everything. */
function splice(text: string, written: string, key: string): string | undefined {
    const [into, from] = [text.split("\n"), written.split("\n")];
    const [there, here] = [linesOf(into, key), linesOf(from, key)];
    if (!there || !here) return undefined;
    return [...into.slice(0, there.from), ...from.slice(here.from, here.to), ...into.slice(there.to)].join("\n");
}

/** Where the lines of a key of `config` are, or would be. */
function linesOf(lines: string[], key: string): { from: number; to: number } | undefined {
    const config = lines.findIndex((line) => /^config:\s*(#.*)?$/.test(line));
    if (config < 0) return undefined;
    const end = endOf(lines, config);
    const at = lines.findIndex(
        (line, at) => at > config && at < end && [key, `"${key}"`, `'${key}'`].some((form) => line.trim().startsWith(`${form}:`)),
    );
    return at < 0 ? { from: end, to: end } : { from: at, to: endOf(lines, at) };
}

/** The first line after a block: blank lines and comments before the next key are not its own. */
function endOf(lines: string[], start: number): number {
    const indent = (line: string) => line.length - line.trimStart().length;
    let end = lines.findIndex((line, at) => at > start && line.trim() !== "" && indent(line) <= indent(lines[start]));
    if (end < 0) end = lines.length;
    while (end > start + 1 && lines[end - 1].trim() === "") end--;
    return end;
}
