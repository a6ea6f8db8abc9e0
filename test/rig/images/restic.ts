import * as path from "node:path";

import { build } from "../engine/build";
import type { Log } from "./run";

/** What the published binaries are built with (build.go), but for selfupdate: an image is never updated in place. */
const published = ["disable_grpc_modules"];

/** Builds the real restic, which makes backups, from its public Go module. Returns its path. */
export function buildRestic(log: Log): Promise<string> {
    return build(
        {
            file: "restic",
            folder: path.join(__dirname, "..", "restic"),
            package: "github.com/restic/restic/cmd/restic",
            tags: published,
            takes: "1-3 minutes",
        },
        log,
    );
}
