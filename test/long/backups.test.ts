import { vi } from "vitest";

// The story of backups once more, with runs that are killed, a store that makes trouble, and pruning.
vi.hoisted(() => Object.assign(process.env, { E2E_LONG: "true" }));
import "../e2e/backups.test";
