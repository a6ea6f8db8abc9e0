import * as path from "node:path";

import { build } from "../engine/build";
import type { Log } from "./run";

/** Providers of DNS that the build has: all 190 of them take very long. `dnsupdate` is RFC 2136, and is also called `rfc2136`. */
const providers = ["cloudflare", "dnsupdate", "route53"];
/** What the published binaries are built with (.goreleaser.yml). */
const published = ["urfave_cli_no_template", "ozzo_validation_no_template", "grpcnotrace", "validator_novalidatefn"];

/** Builds the real lego, the ACME client, from its public Go module. Returns its path. */
export function buildLego(log: Log): Promise<string> {
    return build(
        {
            file: "lego",
            folder: path.join(__dirname, "..", "lego"),
            package: "github.com/go-acme/lego/v5",
            variables: { "main.version": "5.6.0" },
            tags: ["lego_dnslight", ...providers.map((provider) => `lego_dns_${provider}`), ...published],
            takes: "1-3 minutes",
        },
        log,
    );
}
