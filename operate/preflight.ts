import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";
import { Check, PREFLIGHT, parsePreflight, preflightValues } from "../components/server/host/preflight";
import type { ServerSettings, Settings } from "../components/settings/settings";
import { scriptOn } from "./health";
import { knownFix } from "./progress";
import { openConfigured } from "./session";

const HELP = `npm run preflight -- [--stack NAME]

Looks whether a stack's server is fit for it, and changes nothing: system, processor, memory, disk, ports, clock, addresses, resolver,
outbound connections. The first \`up\` of a server does the same. Ends with 1 where something fails.

  --stack NAME   reads Pulumi.NAME.yaml; default dev
`;

async function main(): Promise<void> {
    const { values } = parseArgs({ options: { stack: { type: "string", default: "dev" }, help: { type: "boolean", short: "h" } } });
    if (values.help) return void process.stdout.write(HELP);
    const settings = await openConfigured(values.stack, console.log);
    const [server] = settings.servers;
    if (server.aws && !server.ssh)
        throw new Error(`Server ${server.name} does not exist yet: the first \`up\` makes it, and looks at it before anything is put on it.`);
    const { program, args, env } = preflightOn(settings, server);
    const { stdout, stderr, status } = spawnSync(program, args, { encoding: "utf8", env });
    const checks = parsePreflight(stdout);
    if (status !== 0 || checks.length === 0) {
        const fix = knownFix(stderr);
        throw new Error(`Server ${server.name} cannot be looked at: ${stderr.trim()}${fix ? `\n  fix: ${fix}` : ""}`);
    }
    for (const line of checks.flatMap(lines)) console.log(line);
    process.exitCode = checks.some(({ level }) => level === "fail") ? 1 : 0;
}

/** The command that looks at the server. */
export function preflightOn(settings: Settings, server: ServerSettings) {
    const { aws, ssh } = server;
    return scriptOn(server, PREFLIGHT, { ...preflightValues(settings, server), ...(aws ? { ELASTIC_ADDRESS: ssh!.address } : {}) });
}

const lines = ({ level, check, found, fix }: Check) => [`${level}  ${check.padEnd(12)} ${found}`, ...(fix ? [`      fix: ${fix}`] : [])];

if (require.main === module)
    main().catch((error: Error) => {
        console.error(error.message);
        process.exitCode = 1;
    });
