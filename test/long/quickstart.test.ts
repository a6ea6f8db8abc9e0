import { vi } from "vitest";

// The first screen and its updates once more, with one that is killed.
vi.hoisted(() => Object.assign(process.env, { E2E_LONG: "true" }));
import "../e2e/quickstart.test";
