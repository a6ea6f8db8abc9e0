import { main } from "@pulumi/pulumi/provider/server";
import { resetOptions } from "@pulumi/pulumi/runtime/settings";

const providers = {
    aws: () => import("./aws"),
    cloudflare: () => import("./cloudflare"),
    command: () => import("./command"),
    tls: () => import("./tls"),
    random: () => import("./random"),
};

/** Runs one stand-in provider: the engine starts `main.ts NAME ENGINE_ADDRESS`. Only the named one is loaded, for a quick start. */
async function serve(name: keyof typeof providers, args: string[]): Promise<void> {
    const engine = process.ppid;
    setInterval(() => process.ppid !== engine && process.exit(), 1000).unref(); // a killed engine leaves its plugins behind
    resetOptions("", "", 1, args.at(-1) ?? "", "", false, ""); // connects the provider's log to the engine
    const { default: provider } = await providers[name]();
    await main(provider, args);
}

void serve(process.argv[2] as keyof typeof providers, process.argv.slice(3));
