import type { EngineEvent } from "@pulumi/pulumi/automation";

/** Turns the engine's events into plain lines: what began, what ended and how long it took, and what went wrong. */
export class Progress {
    /** Error messages so far, in the engine's words. */
    readonly errors: string[] = [];
    /** What scripts warned of. */
    readonly warnings: string[] = [];
    /** Types of the resources that were changed so far. */
    readonly changed = new Set<string>();
    private readonly started = new Map<string, number>();

    constructor(private readonly log: (line: string) => void) {}

    readonly onEvent = (event: EngineEvent): void => {
        const { resourcePreEvent, resOutputsEvent, diagnosticEvent } = event;
        if (resourcePreEvent && shown(resourcePreEvent.metadata))
            this.started.set(resourcePreEvent.metadata.urn + resourcePreEvent.metadata.op, Date.now());
        if (resOutputsEvent && shown(resOutputsEvent.metadata)) {
            this.changed.add(typeOf(resOutputsEvent.metadata.urn));
            this.done(resOutputsEvent.metadata);
        }
        if (diagnosticEvent) this.diagnostic(diagnosticEvent.severity, diagnosticEvent.message, diagnosticEvent.urn);
    };

    private done({ urn, op }: { urn: string; op: string }): void {
        const seconds = Math.round((Date.now() - (this.started.get(urn + op) ?? Date.now())) / 1000);
        this.log(`  ${(WORDS[op] ?? op).padEnd(12)} ${describe(urn)}${seconds > 1 ? ` (${seconds} s)` : ""}`);
    }

    private diagnostic(severity: string, message: string, urn?: string): void {
        const text = clean(message);
        // "using pulumi-resource-… from $PATH" is how the rehearsal works, not a warning to anyone.
        if (text === "" || /^using pulumi-(resource|language)-/.test(text) || text === "update failed") return;
        if (severity === "error") this.errors.push(text);
        // A script has no other way to warn than a line of its error output, which is a passing message to the engine.
        const told = severity.startsWith("info") ? text.split("\n").filter((line) => line.startsWith("warning: ")) : [];
        this.warnings.push(...told);
        for (const line of told) this.log(`  ${line}`);
        if (severity === "error" || severity === "warning")
            this.log(`  ${severity}: ${urn && !urn.includes("pulumi:pulumi:Stack") ? `${describe(urn)}: ` : ""}${text}`);
    }
}

const WORDS: Record<string, string> = {
    create: "created",
    update: "updated",
    delete: "deleted",
    "create-replacement": "created anew",
    "delete-replaced": "deleted old",
};

/** Steps that change something outside the state: not those of the stack, providers and our own components. */
function shown({ op, urn }: { op: string; urn: string }): boolean {
    return op in WORDS && !/^(pulumi|forwardemail):/.test(typeOf(urn));
}

/** `docker:index/container:Container` */
const typeOf = (urn: string) => urn.split("::")[2].split("$").at(-1) ?? "";

/** `Container forwardemail-dev-web` */
export function describe(urn: string): string {
    const [type, name] = urn.split("::").slice(2);
    return `${type.split(":").at(-1)} ${name}`;
}

/** Without colour marks, and without the provider's own prefixes and the second telling of the same error. */
function clean(message: string): string {
    return message
        .replace(/<\{%[^%]*%\}>/g, "")
        .replace(/^\s*sdk-v2\/provider2?\.go:\d+: sdk\.helper_schema: /, "")
        .replace(/: provider=docker@\S+/, "")
        .replace(/: running "(?:[^"\\]|\\.)*":\n/, ": ") // a failed script's own text: only what it said matters
        .replace(/^1 error occurred:\n\s*\* (?:(?:creating|updating|deleting) urn:\S+: )?(?:1 error occurred:\n\s*\* )?/, "")
        .trim();
}

/** What to do about an error of the engine or of Docker, where it is known. */
export function knownFix(error: string): string | undefined {
    return FIXES.find(({ sign }) => sign.test(error))?.fix;
}

const FIXES = [
    {
        sign: /Host key verification failed/,
        fix: "the server showed another key than servers[].hostKey: if it was installed anew, set its new key (ssh-keyscan, compared with the provider's console); if not, somebody else answers in its place. It is set already? What is being taken away was set up on the old machine: leave it in the config for one `up`",
    },
    {
        sign: /Permission denied \(publickey/,
        fix: "the server does not take this key: add its public half to ~/.ssh/authorized_keys there, or give another one (pulumi config set --secret sshKey < FILE)",
    },
    {
        sign: /ssh: connect to host|Connection timed out during banner exchange/,
        fix: "see servers[].address and port, that the server runs, and that its firewall lets this machine in (firewall.sshFrom); on AWS, that a key of servers[].aws.authorizedKeys is at hand",
    },
    {
        sign: /not supported in your requested Availability Zone/,
        fix: "AWS chose a zone without this instance type, and the volume is bound to it: run down with --delete-data (nothing is on it yet), and set servers[].aws.zone",
    },
    {
        sign: /stack is currently locked/,
        fix: "another operation on this stack is under way; if none is (it was killed): npm run up -- --unlock",
    },
    {
        sign: /81058|An identical record already exists|but it already exists/i,
        fix: 'the zone has this record already: remove it there and run this again at once (docs/dns.md, "From zone-file to Cloudflare or Route 53")',
    },
    {
        sign: /address already in use|port is already allocated/,
        fix: "another program has this port: find it with `ss -ltnp`, stop it, or set network.portOffset; then run `npm run up` again",
    },
    { sign: /no space left on device/i, fix: "the disk is full: free space (docker system df shows what Docker holds), then run `npm run up` again" },
    {
        sign: /manifest unknown|not found: manifest|Unable to read Docker image|unable to find image|failed to resolve reference/i,
        fix: "the registry does not have this image: choose a release that it has, or run `npm run images:update`",
    },
    { sign: /Pool overlaps|overlaps with other one/i, fix: "the network's subnet is in use on this host: set network.subnet to a free one" },
    {
        sign: /Cannot connect to the Docker daemon|failed to connect to any docker daemon|Docker does not answer/i,
        fix: "start Docker (systemctl start docker) and see that this user may use it (group docker)",
    },
    {
        sign: /network with name \S+ already exists/,
        fix: "the server has the deployment's network, and perhaps its containers, and this state does not know them: where the state was lost, docs/disaster-recovery.md has the way back",
    },
    {
        sign: /Conflict\. The container name/,
        fix: "a container with this name is not known to the stack: remove it with `docker rm -f NAME`, then run `npm run up` again",
    },
    { sign: /rlimit/, fix: "the host may not give that many open files: lower openFiles" },
];
