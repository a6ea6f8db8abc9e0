import { spawn } from "node:child_process";
import * as grpc from "@grpc/grpc-js";
import type { ServerUnaryCall, sendUnaryData } from "@grpc/grpc-js";
import { LanguageRuntimeService } from "@pulumi/pulumi/proto/language_grpc_pb";
import * as messages from "@pulumi/pulumi/proto/language_pb";
import * as plugins from "@pulumi/pulumi/proto/plugin_pb";

// Stands in for pulumi-language-nodejs, which no module registry has: it starts the program through the SDK's own
// `cmd/run`, as the real one does, so that `pulumi up` runs index.ts. The engine starts `language.ts … ENGINE_ADDRESS`.

/** Exit code by which `cmd/run` says that the user has been told already. */
const TOLD = 32;

type Call<Request, Response> = (call: ServerUnaryCall<Request, unknown>, done: sendUnaryData<Response>) => void;

function runtime(engine: string): Record<string, Call<never, unknown>> {
    const run: Call<messages.RunRequest, messages.RunResponse> = ({ request }, done) => {
        const answer = new messages.RunResponse();
        const child = spawn(process.execPath, [require.resolve("@pulumi/pulumi/cmd/run"), ...argumentsOf(request, engine)], {
            cwd: request.getInfo()?.getProgramDirectory() ?? request.getPwd(),
            // Standard output of this process belongs to the engine's handshake.
            stdio: ["ignore", 2, 2],
            env: {
                ...process.env,
                PULUMI_NODEJS_TYPESCRIPT: "true",
                PULUMI_CONFIG: JSON.stringify(Object.fromEntries(request.getConfigMap().getEntryList())),
                PULUMI_CONFIG_SECRET_KEYS: JSON.stringify(request.getConfigsecretkeysList()),
            },
        });
        child.on("error", (error) => done(error));
        child.on("close", (code, signal) => {
            answer.setBail(code === TOLD);
            if (code !== 0 && code !== TOLD) answer.setError(`the program ended with ${code ?? signal}`);
            done(null, answer);
        });
    };
    const answer =
        <Response>(make: () => Response): Call<never, Response> =>
        (_call, done) =>
            done(null, make());
    return {
        run: run as Call<never, unknown>,
        handshake: answer(() => new messages.LanguageHandshakeResponse()),
        getRequiredPlugins: answer(() => new messages.GetRequiredPluginsResponse()), // they are found on PATH
        getRequiredPackages: answer(() => new messages.GetRequiredPackagesResponse()),
        getPluginInfo: answer(() => new plugins.PluginInfo()),
        about: answer(() => new messages.AboutResponse()),
        getProgramDependencies: answer(() => new messages.GetProgramDependenciesResponse()),
        runtimeOptionsPrompts: answer(() => new messages.RuntimeOptionsResponse()),
    };
}

/** What the real language host gives to `cmd/run`. */
function argumentsOf(request: messages.RunRequest, engine: string): string[] {
    const all: Record<string, string> = {
        monitor: request.getMonitorAddress(),
        engine,
        organization: request.getOrganization(),
        project: request.getProject(),
        stack: request.getStack(),
        pwd: request.getInfo()?.getProgramDirectory() ?? request.getPwd(),
        parallel: String(request.getParallel()),
        ...(request.getDryrun() ? { "dry-run": "true" } : {}),
    };
    return [...Object.entries(all).flatMap(([name, value]) => [`--${name}`, value]), request.getInfo()?.getEntryPoint() ?? "."];
}

function serve(engine: string): void {
    const server = new grpc.Server();
    const methods = runtime(engine);
    const known = Object.fromEntries(Object.entries(LanguageRuntimeService as unknown as grpc.ServiceDefinition).filter(([name]) => name in methods));
    server.addService(known, methods as unknown as grpc.UntypedServiceImplementation);
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
        if (error) throw error;
        process.stdout.write(`${port}\n`); // the engine reads it
    });
    const parent = process.ppid;
    setInterval(() => process.ppid !== parent && process.exit(), 1000).unref(); // a killed engine leaves its plugins behind
}

serve(process.argv.at(-1) ?? "");
