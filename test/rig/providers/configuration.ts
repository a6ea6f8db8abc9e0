import { Server, type UntypedServiceImplementation } from "@grpc/grpc-js";

interface Configure {
    request: { getVariablesMap(): { forEach(each: (value: string, key: string) => void): void } };
}

/**
 * Hands over what a provider resource was configured with: the SDK's server keeps it to itself. To be called before the server starts.
 * Every provider resource has a process of its own, so that there is one configuration in each.
 */
export function onConfigure(use: (config: Record<string, string>) => void): void {
    const { addService } = Server.prototype;
    Server.prototype.addService = function (service, implementation) {
        const { configure } = implementation;
        const heard = (call: Configure, ...rest: unknown[]) => {
            const config: Record<string, string> = {};
            call.request.getVariablesMap().forEach((value, key) => (config[key.split(":").pop() ?? ""] = value)); // cloudflare:config:apiToken
            use(config);
            (configure as (...args: unknown[]) => void).call(implementation, call, ...rest);
        };
        // Its methods are its class's: a spread would lose them.
        addService.call(this, service, Object.assign(Object.create(implementation) as UntypedServiceImplementation, { configure: heard }));
    };
}
