import { createHash } from "node:crypto";

/** Policy of a mail domain for TLS between servers (RFC 8461). */
export interface MtaSts {
    mode: "none" | "testing" | "enforce";
    /** In seconds. */
    maxAge: number;
}

/** Text of `/.well-known/mta-sts.txt` (RFC 8461 §3.2). */
export function policyText({ mode, maxAge }: MtaSts, exchangers: string[]): string {
    return ["version: STSv1", `mode: ${mode}`, ...exchangers.map((name) => `mx: ${name}`), `max_age: ${maxAge}`, ""].join("\r\n");
}

/** Changes exactly when the policy changes: 20 letters and digits, of the 32 that RFC 8461 §3.1 allows. */
export function policyId(policy: MtaSts, exchangers: string[]): string {
    return createHash("sha256").update(policyText(policy, exchangers)).digest("hex").slice(0, 20);
}
