import { execFileSync } from "node:child_process";
import * as path from "node:path";
import { planStack } from "../../operate/planned";
import { PROJECT } from "../../operate/stackFile";
import type { Load, Resources } from "./program";

// As Pulumi's Node language host does it: its own copy of ts-node compiles the program, here and there without type checks.
const RUN = `require(require.resolve("@pulumi/pulumi/vendor/ts-node@7.0.1")).register({ transpileOnly: true, compiler: require.resolve("typescript"), skipProject: true, compilerOptions: { target: "es2020", module: "commonjs", moduleResolution: "node", esModuleInterop: true } });
require(process.argv[1]);`;

/** Starts both programs in turn; answers one reading of each for each round. */
export async function measureLoad(config: Record<string, unknown>, rounds: number): Promise<{ ours: Load[]; bare: Load[]; resources: number }> {
    const resources = (await planStack("dev", config)) as Resources;
    const readings = { ours: [] as Load[], bare: [] as Load[], resources: resources.length };
    for (let round = 0; round < rounds; round++)
        for (const program of ["ours", "bare"] as const) readings[program].push(once(JSON.stringify({ program, config, resources })));
    return readings;
}

function once(input: string): Load {
    const program = path.join(__dirname, "program.ts");
    const env = { ...process.env, LOAD: input };
    return JSON.parse(execFileSync(process.execPath, ["-e", RUN, program], { cwd: PROJECT, env, encoding: "utf8" })) as Load;
}
