import { expect, test } from "vitest";
import { refuseLeaving, refusePolicy } from "../../operate/mtaSts";

const outputs = (mode?: string) => (mode ? { mtaSts: { mode, maxAge: 604_800 } } : {});

test("a policy that enforces does not just go away: neither by config nor by down", () => {
    expect(refusePolicy(outputs("enforce"), undefined)).toMatch(/dns\.mtaSts\.mode: got off .*\n {2}fix: set it to none, run up, wait 7 days/);
    expect(refuseLeaving(outputs("enforce"), false)).toMatch(/Nothing was removed\.\n {2}fix: .*--leave-mta-sts/);
});

test("it goes step by step, and where it was said; what never bound anybody goes at once", () => {
    expect(refusePolicy(outputs("enforce"), { mode: "none", maxAge: 604_800 })).toBeUndefined();
    for (const mode of ["none", "testing", undefined]) {
        expect(refusePolicy(outputs(mode), undefined)).toBeUndefined();
        expect(refuseLeaving(outputs(mode), false)).toBeUndefined();
    }
    expect(refuseLeaving(outputs("enforce"), true)).toBeUndefined();
});
