import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";

/**
 * Writes the executables that the engine looks for on its PATH: `pulumi-resource-NAME`, one a provider, and the language host.
 * Each is one bundled file: the engine starts them for every operation, and loading the SDK's hundreds takes a second each time.
 */
export async function installProviders(binDir: string): Promise<void> {
    await mkdir(binDir, { recursive: true });
    const entryPoints = ["main", "language"].map((name) => join(__dirname, `${name}.ts`));
    const options = { bundle: true, write: false, platform: "node", target: "node20", logLevel: "error" } as const;
    const { outputFiles } = await build({ ...options, external: ["./aws"], entryPoints, outdir: binDir });
    for (const { path, contents } of outputFiles) await replaceFile(path, contents);
    const programs: Record<string, string> = { "pulumi-language-nodejs": `"${join(binDir, "language.js")}"` };
    for (const name of ["cloudflare", "command", "tls", "random"]) programs[`pulumi-resource-${name}`] = `"${join(binDir, "main.js")}" ${name}`;
    // It rents servers, by files that lie beside its source.
    programs["pulumi-resource-aws"] = `--import "${require.resolve("tsx")}" "${join(__dirname, "main.ts")}" aws`;
    for (const [program, started] of Object.entries(programs))
        await replaceFile(join(binDir, program), `#!/bin/sh\nexec "${process.execPath}" ${started} "$@"\n`);
}

/** An engine that starts meanwhile finds the old or the new file, never half of one. */
async function replaceFile(file: string, content: string | Uint8Array): Promise<void> {
    await writeFile(`${file}.new`, content, { mode: 0o755 });
    await rename(`${file}.new`, file);
}
