/** Who asks for a certificate, and how it shows that the name is its own. */
export interface Applicant {
    /** Name of the authority. */
    issuer: string;
    /** URL of the ACME account. */
    account: string;
    challenge: "http-01" | "dns-01";
}

/**
 * Whether the CAA records let the authority certify the name, which may be a wildcard (RFC 8659 §3 and §4, RFC 8657). `lookup` answers the
 * records of exactly one name in presentation form: `0 issue "ca.example"`.
 */
export function mayIssue(name: string, applicant: Applicant, lookup: (name: string) => string[]): boolean {
    const wildcard = name.startsWith("*.");
    for (let at = wildcard ? name.slice(2) : name; at !== ""; at = at.split(".").slice(1).join(".")) {
        const set = lookup(at).map(parse);
        if (set.length === 0) continue;
        if (set.some(({ critical, tag }) => critical && !["issue", "issuewild", "issuemail", "iodef"].includes(tag))) return false;
        const wild = set.filter(({ tag }) => tag === "issuewild");
        const decisive = wildcard && wild.length > 0 ? wild : set.filter(({ tag }) => tag === "issue");
        return decisive.length === 0 || decisive.some(({ value }) => allows(value, applicant));
    }
    return true;
}

function parse(text: string): { critical: boolean; tag: string; value: string } {
    const [, flags, tag, value] = /^(\d+) ([a-zA-Z0-9]+) "(.*)"$/.exec(text)!;
    return { critical: Number(flags) >= 128, tag: tag.toLowerCase(), value };
}

function allows(value: string, { issuer, account, challenge }: Applicant): boolean {
    const [domain, ...parameters] = value.split(";").map((part) => part.trim());
    const of = Object.fromEntries(parameters.filter(Boolean).map((part) => [part.slice(0, part.indexOf("=")), part.slice(part.indexOf("=") + 1)]));
    return (
        domain === issuer &&
        (of.accounturi === undefined || of.accounturi === account) &&
        (of.validationmethods === undefined || of.validationmethods.split(",").includes(challenge))
    );
}
