import type { DnsRecord } from "../../components/dns/records";
import type { Settings } from "../../components/settings/settings";
import type { StateResource } from "../machines";
import type { World } from "./world";

/**
 * `pass`: as declared. `warn`: it works, and should be better. `fail`: mail is lost, refused or exposed.
 * `unknown`: nobody could tell, which is never a pass.
 */
export type Status = "pass" | "warn" | "fail" | "unknown";

/** What a check found of one thing. */
export interface Finding {
    status: Status;
    /** What was looked at: a record, a port, a service. */
    subject: string;
    /** What was found. */
    got: string;
    /** What was declared, where `got` does not say it. */
    expected?: string;
    /** What to do about it; always there on `fail`. */
    fix?: string;
}

/** A record as it was declared: its content in the one form that every side is compared in (dnsLookup.ts). */
export interface Declared extends Pick<DnsRecord, "name"> {
    type: string;
    content: string;
}

/** What was declared, as the settings and the state have it. */
export interface Deployment {
    stack: string;
    settings: Settings;
    resources: StateResource[];
    /** Outputs of the stack, secrets included. */
    outputs: Record<string, unknown>;
    /** What an `up` wrote to DNS, or told the operator to write. */
    records: Declared[];
    /** Where the published ports answer, over IPv4 or by a name. */
    address: string;
    /** The same, and the IPv6 address where the network has IPv6. */
    addresses: string[];
    /** Whether the address is this very machine's: what else listens on it is not the deployment's. */
    isHere: boolean;
}

export interface Check {
    /** What `--only` takes. */
    id: string;
    /** What it makes sure of. */
    title: string;
    /** Where that is written: an RFC, or a fact about the application. */
    source: string;
    /**
     * How long it may take, in milliseconds.
     * @default 12000
     */
    patience?: number;
    /** Nothing, where the deployment has no such part. A rejection counts as `unknown`. */
    run(deployment: Deployment, world: World): Promise<Finding[]>;
}

export interface Report {
    id: string;
    title: string;
    source: string;
    findings: Finding[];
}

const PATIENCE = 12_000;

/** Runs all checks at once; one that throws, fails or hangs says so and holds up no other. */
export function runChecks(checks: Check[], deployment: Deployment, world: World): Promise<Report[]> {
    return Promise.all(
        checks.map(async ({ id, title, source, patience = PATIENCE, run }) => {
            const work = Promise.resolve().then(() => run(deployment, world));
            const findings = await inTime(work, patience).catch((error: Error) => [unknown(id, error.message)]);
            return { id, title, source, findings };
        }),
    );
}

async function inTime<T>(work: Promise<T>, patience: number): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error(`no answer within ${patience / 1000} s`)), patience);
    });
    return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

export const unknown = (subject: string, got: string): Finding => ({ status: "unknown", subject, got });

const ORDER: Status[] = ["fail", "unknown", "warn", "pass"];

/** The worst of all; `pass` where nothing was found, because nothing was to be looked at. */
export function worst(findings: Finding[]): Status {
    return ORDER.find((status) => findings.some((one) => one.status === status)) ?? "pass";
}

/** 0: all is well, warnings perhaps. 1: something fails. 3: nothing fails, and something could not be told. */
export function exitCode(reports: Report[]): 0 | 1 | 3 {
    const status = worst(reports.flatMap(({ findings }) => findings));
    return status === "fail" ? 1 : status === "unknown" ? 3 : 0;
}
