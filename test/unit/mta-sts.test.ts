import { expect, test } from "vitest";
import { refuseLeaving, refusePolicy } from "../../operate/mtaSts";

const HOST = "mail.example.com";
const outputs = (mode?: string) =>
    mode ? { mtaSts: { mode, maxAge: 604_800, domains: ["example.com", "example.org"], exchangers: [`mx.${HOST}`] } } : {};
const next = (more: object = {}) => ({
    host: HOST,
    domains: ["example.com", "example.org"],
    mtaSts: { mode: "enforce" as const, maxAge: 604_800 },
    ...more,
});

test("a policy that enforces does not just go away: neither by config nor by down", () => {
    expect(refusePolicy(outputs("enforce"), next({ mtaSts: undefined }))).toMatch(
        /dns\.mtaSts\.mode: got off, .*\n {2}fix: set dns\.mtaSts\.mode to none, run up, wait 7 days/,
    );
    expect(refuseLeaving(outputs("enforce"), false)).toMatch(/Nothing was removed\.\n {2}fix: .*--leave-mta-sts/);
});

test("nor does a domain of it, or a server that it names", () => {
    expect(refusePolicy(outputs("enforce"), next({ domains: ["example.com"] }))).toMatch(/^domains: example\.org is left out/);
    expect(refusePolicy(outputs("enforce"), next({ host: "new.example.com" }))).toMatch(
        /^host: got new\.example\.com, so that mail would go to mx\.new/,
    );
    expect(refusePolicy(outputs("enforce"), next({ domains: ["example.com", "example.org", "example.net"] }))).toBeUndefined();
});

test("it goes step by step, and where it was said; what never bound anybody goes at once", () => {
    expect(refusePolicy(outputs("enforce"), next({ mtaSts: { mode: "none", maxAge: 604_800 } }))).toBeUndefined();
    for (const mode of ["none", "testing", undefined]) {
        expect(refusePolicy(outputs(mode), next({ mtaSts: undefined, domains: [], host: "x.example" }))).toBeUndefined();
        expect(refuseLeaving(outputs(mode), false)).toBeUndefined();
    }
    expect(refuseLeaving(outputs("enforce"), true)).toBeUndefined();
});
