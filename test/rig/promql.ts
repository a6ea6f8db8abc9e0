/** Every PromQL text of a rules' file or a dashboard. */
export function expressions(value: unknown): string[] {
    if (value === null || typeof value !== "object") return [];
    return Object.entries(value).flatMap(([key, part]) => (key === "expr" ? [part as string] : expressions(part)));
}

/** Names of metrics in it: what is neither a function, a keyword, a label nor text. */
export function namesIn(expression: string): string[] {
    const bare = expression
        .replace(/"[^"]*"/g, '""')
        .replace(/\{[^}]*\}|\[[^\]]*\]/g, "")
        .replace(/\b(by|without|on|ignoring) *\([^)]*\)/g, "");
    return [...bare.matchAll(/\b[a-zA-Z_:]\w*\b(?! *\()/g)].map(([name]) => name).filter((name) => !["or", "and", "unless", "bool"].includes(name));
}
