import { defineConfig } from "vitest/config";

// Several load the program or run a command many times: seconds on an idle machine, minutes on a busy one.
const PATIENT = { testTimeout: 300_000, hookTimeout: 900_000 };

export default defineConfig({
    test: {
        maxWorkers: "100%", // by itself it leaves one processor idle, which is half of a small machine
        projects: [
            // Not isolated: each file would load Pulumi and its providers anew, which takes longer than its tests.
            { test: { name: "unit", include: ["test/unit/**/*.test.ts"], isolate: false, ...PATIENT } },
            { test: { name: "plan", include: ["test/plan/**/*.test.ts"], isolate: false, ...PATIENT } },
            // One Docker host, one stack, one story: the files run one after another, and so do their tests.
            ...["e2e", "long"].map((name) => ({
                test: {
                    name,
                    include: [`test/${name}/**/*.test.ts`],
                    fileParallelism: false,
                    testTimeout: 600_000,
                    hookTimeout: 1_800_000,
                    bail: 1,
                },
            })),
        ],
    },
});
