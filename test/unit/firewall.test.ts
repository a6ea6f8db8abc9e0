import { describe, expect, test } from "vitest";
import { firewallTable, openPorts } from "../../components/server/host/firewall";

// What the kernel makes of the table is shown by test/e2e/own.test.ts, from another network namespace.

const RULES = { ports: [25, 443], allow: { tcp: [8080], udp: [51820] }, ssh: { port: 2200, from: ["203.0.113.0/24", "2001:db8::/32"] } };
const chain = (table: string, name: string) => new RegExp(`chain ${name} \\{\n([^}]*(?:\\{[^}]*\\}[^}]*)*?)\n    \\}`).exec(table)![1];

describe("the firewall's table", () => {
    test("opens the deployment's ports and those that stay, in both chains, sorted and once", () => {
        const table = firewallTable({ ...RULES, allow: { tcp: [8080, 443], udp: [] } });
        expect(chain(table, "input")).toContain("tcp dport { 25, 443, 8080 } accept");
        expect(chain(table, "forward")).toContain("ct status dnat ct original proto-dst { 25, 443, 8080 } accept\n        drop");
    });

    test("opens UDP ports by themselves", () => {
        const table = firewallTable(RULES);
        expect(chain(table, "input")).toContain("udp dport { 51820 } accept");
        expect(chain(table, "forward")).toContain("meta l4proto udp ct status dnat ct original proto-dst { 51820 } accept\n        drop");
        expect(openPorts(RULES)).toBe("25 443 8080 51820/udp");
    });

    test("has no wildcard inside a set, which the nft of Ubuntu 22.04 (1.0.2) refuses", () => {
        for (const set of firewallTable(RULES).match(/\{ [^{}\n]* \}/g) ?? []) expect(set).not.toContain("*");
    });

    test("lets SSH in at its own port from the given networks only", () => {
        const input = chain(firewallTable(RULES), "input");
        expect(input).toContain("ip saddr { 203.0.113.0/24 } tcp dport 2200 jump ssh");
        expect(input).toContain("ip6 saddr { 2001:db8::/32 } tcp dport 2200 jump ssh");
        expect(input).not.toMatch(/\b22\b/);
        // An empty set would be a syntax error, and its absence must not open the port.
        const only4 = chain(firewallTable({ ...RULES, ssh: { port: 22, from: ["203.0.113.7/32"] } }), "input");
        expect(only4).not.toContain("ip6 saddr");
        expect(only4.match(/jump ssh/g)).toHaveLength(1);
    });

    test("replaces itself and touches no other table", () => {
        const table = firewallTable(RULES);
        expect(table).toMatch(/^table inet forwardemail\ndelete table inet forwardemail\ntable inet forwardemail \{/);
        expect(table).not.toContain("flush");
        expect(chain(table, "input")).toContain("policy drop");
    });

    test("a stack that publishes nothing opens nothing", () => {
        const table = firewallTable({ ...RULES, ports: [], allow: { tcp: [], udp: [] } });
        expect(chain(table, "input")).not.toMatch(/tcp dport \{/);
        expect(chain(table, "forward")).toContain("drop");
    });
});
