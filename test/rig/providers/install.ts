import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

/** Writes the executables that the engine looks for on its PATH: `pulumi-resource-NAME`, one a provider, and the language host. */
export async function installProviders(binDir: string): Promise<void> {
    await mkdir(binDir, { recursive: true });
    const loader = pathToFileURL(require.resolve("tsx"));
    const programs: Record<string, string> = { "pulumi-language-nodejs": `"${join(__dirname, "language.ts")}"` };
    for (const name of ["command", "tls", "random"]) programs[`pulumi-resource-${name}`] = `"${join(__dirname, "main.ts")}" ${name}`;
    for (const [program, main] of Object.entries(programs)) {
        const file = join(binDir, program);
        const script = `#!/bin/sh\nexec "${process.execPath}" --import "${loader}" ${main} "$@"\n`;
        await writeFile(`${file}.new`, script, { mode: 0o755 });
        await rename(`${file}.new`, file); // an engine that starts meanwhile finds the old or the new file, never half of one
    }
}
