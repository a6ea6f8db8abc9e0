import type { OutputMap } from "@pulumi/pulumi/automation";

/** What a person needs after an `up`, as lines. */
export function summary(stack: string, changes: Record<string, number>, outputs: OutputMap, ok: boolean): string[] {
    if (!ok)
        return ["The stack is not healthy yet. Data is safe; mend the cause above and run `npm run up` again: it repairs what is missing or sick."];
    const changed = Object.entries(changes).filter(([what]) => what !== "same");
    const endpoints = Object.entries((outputs.endpoints?.value ?? {}) as Record<string, string>);
    return [
        changed.length === 0
            ? "Nothing to change; every service is healthy."
            : `Done (${changed.map(([what, count]) => `${what} ${count}`).join(", ")}); every service is healthy.`,
        "This is the rehearsal: the program and the engine are real, the images are stand-ins.",
        "",
        `  web      ${outputs.url?.value}`,
        ...endpoints.map(([service, address]) => `  ${service.padEnd(8)} ${address}`),
        "",
        `First run: open the web address, log in as "admin" with the password that this prints:`,
        `  npm run -s output -- firstRun --stack ${stack}`,
        ...(outputs.authority
            ? [`The certificate is from a private authority; to trust it: npm run -s output -- authority --stack ${stack} > authority.pem`]
            : []),
        `Stop: npm run down -- --stack ${stack} (mail and keys stay)`,
    ];
}
