import { defineConfig } from "vitest/config";

export default defineConfig({
    test: {
        projects: [
            { test: { name: "unit", include: ["test/unit/**/*.test.ts"], testTimeout: 60_000 } },
            { test: { name: "plan", include: ["test/plan/**/*.test.ts"], isolate: false, testTimeout: 60_000 } },
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
