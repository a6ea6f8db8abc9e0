import { beforeEach } from "vitest";
import type { World } from "./world";

/** Has each test that fails print what was said last: by the program, and by every container. */
export function tellFailures(of: () => World | undefined): void {
    beforeEach(({ onTestFailed }) => onTestFailed(() => of()?.tell()));
}
