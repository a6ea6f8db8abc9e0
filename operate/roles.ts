/** Whom every domain must answer as (RFC 2142 §4, §5, §7). */
export const ROLES = ["postmaster", "abuse", "hostmaster"];
