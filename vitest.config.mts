import { defineConfig } from "vitest/config";

// Several load the program or run a command many times: seconds on an idle machine, minutes on a busy one.
const PATIENT = { testTimeout: 300_000, hookTimeout: 900_000 };

export default defineConfig({
    test: {
        projects: [
            { test: { name: "unit", include: ["test/unit/**/*.test.ts"], ...PATIENT } },
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
