import type { OutputMap } from "@pulumi/pulumi/automation";
import type { Session } from "./session";

/** What a person needs after an `up`, as lines: addresses, first steps, mail client settings, how to stop. */
export function summary({ rehearsal, settings }: Session, stack: string, changes: Record<string, number>, outputs: OutputMap, ok: boolean): string[] {
    if (!ok)
        return ["The stack is not healthy yet. Data is safe; mend the cause above and run `npm run up` again: it repairs what is missing or sick."];
    const changed = Object.entries(changes).filter(([what]) => what !== "same");
    const option = `${stack === "dev" ? "" : ` --stack ${stack}`}${rehearsal && stack !== "dev" ? " --rehearse" : ""}`;
    const [domain] = settings.domains;
    return [
        changed.length === 0
            ? "Nothing to change; every service is healthy."
            : `Done (${changed.map(([what, count]) => `${what} ${count}`).join(", ")}); every service is healthy.`,
        ...(rehearsal ? ["This is the rehearsal: the program and the engine are real, the images are stand-ins."] : []),
        "",
        "Addresses",
        ...addresses(outputs),
        "",
        "First steps",
        `  1. npm run first-run${option ? ` --${option}` : ""}`,
        `     It leads through the administrator's account, ${domain}, a mailbox, and support@${settings.host}; and begins at the web address: user admin,`,
        `     password from npm run -s output -- firstRun${option}`,
        `  2. Mail client: user name you@${domain} with the mailbox's password; SSL/TLS (not STARTTLS) on every port above but mx.`,
        ...(outputs.authority ? [`     Trust the private certificate authority: npm run -s output -- authority${option} > authority.pem`] : []),
        ...dnsSteps(settings, outputs, option),
        "",
        `Stop: npm run down${option ? ` --${option}` : ""} (mail and keys stay)`,
    ];
}

/** What is left to do for the names: by the operator where the program does not write them, and the reverse ones. */
function dnsSteps({ dns, servers }: Session["settings"], outputs: OutputMap, option: string): string[] {
    if (!dns) return [];
    const reverse = Object.entries((outputs.reverse?.value ?? {}) as Record<string, string>);
    const [{ aws }] = servers;
    return [
        "",
        "DNS",
        ...(dns.provider === "zone-file"
            ? [
                  `  What to add to your zones:  npm run -s output -- zone${option}`,
                  `  What each record is for:    npm run -s output -- records${option}`,
              ]
            : [`  ${dns.provider} has the records; what each is for: npm run -s output -- records${option}`]),
        ...(aws?.reverseDns ? [] : reverse.map(([address, name]) => `  Reverse name, at the server's provider: ${address} must lead to ${name}`)),
        `  The keys of the domains come later, when the application has them: npm run domains --${option || " --stack dev"}, then up again (or first-run).`,
    ];
}

function addresses(outputs: OutputMap): string[] {
    const endpoints = Object.entries((outputs.endpoints?.value ?? {}) as Record<string, string>);
    const server = outputs.address ? [`  all   ${outputs.address.value} is where each of these names must lead`] : [];
    return [`  web   ${outputs.url?.value}`, ...endpoints.map(([service, address]) => `  ${service.padEnd(5)} ${address}`), ...server];
}
