/** The part of a policy's statement that decides. */
export interface Rule {
    Effect: string;
    Action: string | string[];
    Resource: string | string[];
    Condition?: Record<string, Record<string, string | string[]>>;
}

/** What is asked for, by its action, with the condition keys that the request has. */
export interface Asked {
    action: string;
    resource: string;
    context?: Record<string, string>;
}

/**
 * Whether policies together let somebody do something, as IAM decides within one account: a refusal counts more than a permission, and
 * without a permission there is none. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
 */
export function isAllowed(policies: { Statement: Rule[] }[], asked: Asked): boolean {
    const applying = policies.flatMap(({ Statement }) => Statement).filter((rule) => applies(rule, asked));
    return applying.some(({ Effect }) => Effect === "Allow") && !applying.some(({ Effect }) => Effect === "Deny");
}

function applies({ Action, Resource, Condition = {} }: Rule, { action, resource, context = {} }: Asked): boolean {
    const some = (patterns: string | string[], text: string) => [patterns].flat().some((pattern) => like(pattern, text));
    if (!some(Action, action) || !some(Resource, resource)) return false;
    return Object.entries(Condition).every(([operator, keys]) =>
        Object.entries(keys).every(([key, values]) => holds(operator, [values].flat(), context[key])),
    );
}

/** `*` stands for any signs, `?` for one. */
function like(pattern: string, text: string): boolean {
    const source = pattern
        .replace(/[\\^$.|+()[\]{}]/g, "\\$&")
        .replaceAll("*", ".*")
        .replaceAll("?", ".");
    return new RegExp(`^${source}$`, "s").test(text);
}

/** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html */
function holds(operator: string, values: string[], actual: string | undefined): boolean {
    if (operator === "Null") return values.includes(String(actual === undefined));
    const [, name, ifExists] = /^(.*?)(IfExists)?$/.exec(operator)!;
    // A key that is not there fails a test, but for those that ask for a difference.
    if (actual === undefined) return ifExists !== undefined || name.includes("Not");
    switch (name) {
        case "Bool":
        case "StringEquals":
            return values.includes(actual);
        case "StringNotEquals":
            return !values.includes(actual);
        case "StringLike":
            return values.some((pattern) => like(pattern, actual));
        case "NumericLessThan":
            return values.some((value) => Number(actual) < Number(value));
        default:
            throw new Error(`the rehearsal does not know the condition operator ${operator}`);
    }
}
