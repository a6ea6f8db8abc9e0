import { vi } from "vitest";

// The story of a VPS once more, on the other Debian.
vi.hoisted(() => (process.env.E2E_DEBIAN = "trixie"));
import "../e2e/own.test";
