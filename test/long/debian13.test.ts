import { vi } from "vitest";

// The story of a VPS once more, on the other Debian, with what takes minutes more.
vi.hoisted(() => Object.assign(process.env, { E2E_DEBIAN: "trixie", E2E_LONG: "true" }));
import "../e2e/own.test";
