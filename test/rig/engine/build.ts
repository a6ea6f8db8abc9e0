import { createHash } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";

import { cached, hashOf } from "../images/cache";
import { type Log, run } from "../images/run";

/** A program of a public Go module. */
export interface Binary {
    file: string;
    /** Folder with the Go module. */
    folder: string;
    package: string;
    /** Variables that the linker sets. */
    variables?: Record<string, string>;
    /** Build tags. */
    tags?: string[];
    /** How long a build takes where nothing is cached. */
    takes: string;
}

/** `pulumi version` is empty without its variable, and the Automation API then refuses the CLI. */
const cliVersion = { "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version": "v3.259.0" };

const binaries: Binary[] = [
    {
        file: "pulumi",
        folder: path.join(__dirname, "cli"),
        package: "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
        variables: cliVersion,
        takes: "3-6 minutes",
    },
    { file: "pulumi-resource-docker", folder: path.join(__dirname, "docker"), package: ".", takes: "2-4 minutes" },
    { file: "mongod", folder: path.join(__dirname, "mongod"), package: ".", takes: "under a minute" },
];

/** Builds what the rehearsal runs as the engine, where its sources changed. Returns the directory to put on PATH. */
export async function buildEngine(log: Log): Promise<string> {
    const built: string[] = [];
    // One after another: each build keeps every core and about 2 GB of memory busy by itself.
    for (const binary of binaries) built.push(await build(binary, log));
    const key = createHash("sha256").update(built.join("\n")).digest("hex").slice(0, 16);
    return cached(`engine-${key}`, async (directory) => {
        fs.mkdirSync(directory);
        binaries.forEach(({ file }, i) => fs.linkSync(built[i], path.join(directory, file)));
    });
}

/** Builds a program where its module changed. Returns its path. */
export async function build(binary: Binary, log: Log): Promise<string> {
    const go = await goVersion();
    const { folder } = binary;
    const variables = Object.entries(binary.variables ?? {}).map(([name, value]) => `-X ${name}=${value}`);
    const flags = ["-trimpath", "-buildvcs=false", "-ldflags", ["-s", "-w", ...variables].join(" "), ...tagFlags(binary)];
    const key = createHash("sha256")
        .update([hashOf(folder), go, binary.package, ...flags].join("\0"))
        .digest("hex")
        .slice(0, 16);
    return cached(`${binary.file}-${key}`, async (file) => {
        log(`building ${binary.file} (${binary.takes})`);
        try {
            await run("go", ["build", ...flags, "-o", file, binary.package], { cwd: folder, env: { CGO_ENABLED: "0" } });
        } catch (error) {
            const { message } = error as Error;
            throw new Error(`${binary.file} could not be built.${hint(message)}\n${message}`, { cause: error });
        }
    });
}

const tagFlags = ({ tags }: Binary): string[] => (tags ? ["-tags", tags.join(",")] : []);

/** Most failures are a network that does not let Go fetch modules; the compiler's own words speak for themselves. */
function hint(message: string): string {
    if (!/dial tcp|lookup |i\/o timeout|proxyconnect|module lookup disabled|(403|404|5\d\d) /.test(message)) return "";
    return " Go could not fetch its modules: set GOPROXY to a proxy that this machine can reach.";
}

async function goVersion(): Promise<string> {
    try {
        return await run("go", ["env", "GOVERSION"], { cwd: path.join(__dirname, "cli") });
    } catch (error) {
        throw new Error(`Building the engine needs Go 1.26 or newer: install it and put \`go\` on PATH.\n${(error as Error).message}`, {
            cause: error,
        });
    }
}
