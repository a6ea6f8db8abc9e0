/** Whom every domain must answer as (RFC 2142 §4, §5, §7). */
export const ROLES = ["postmaster", "abuse", "hostmaster"];

/** Whether one of the aliases of a domain takes mail for a local part: by its name, `*` for all, or a pattern, `/^(info|support)$/i`. */
export const isTaken = (aliases: string[], local: string): boolean => aliases.some((alias) => alias === "*" || alias === local || fits(alias, local));

function fits(alias: string, local: string): boolean {
    const [, pattern, flags] = /^\/(.*)\/([a-z]*)$/.exec(alias) ?? [];
    try {
        return pattern !== undefined && new RegExp(pattern, flags).test(local);
    } catch {
        return false; // one that only upstream's engine knows
    }
}
