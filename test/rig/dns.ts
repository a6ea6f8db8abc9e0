import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { type Addresses, OWN_ZONE, ownRecords, rndcConf, serverConf, type Tsig } from "./dns/config";
import { checkZones, keepZones, nextSerial, writeZones } from "./dns/zones";
import type { RigHost } from "./host";
import { dnsTools, needTools } from "./host/tools";
import { type Log, run } from "./images/run";
import { runDirOf, startOutside, stopOutside } from "./outside";

/** An authoritative DNS server on the internet: BIND 9. Servers of the rig ask it, and nobody else. */
export interface DnsServer extends Addresses {
    /** Signs dynamic updates (RFC 2136) of every zone, and transfers. The same after another start with the same `dir`. */
    tsig: Tsig;
    /**
     * Replaces what is served, dynamic updates included: records by zone, as in a master file, without SOA and NS. Names end with a dot, or
     * are relative to the zone. A zone that named-checkzone has a word to say about is refused with these words, and nothing changes.
     */
    load(zones: Record<string, string>): Promise<void>;
    /** Answers to a question, as `dig +short` gives them: none where there are none, and where the server refuses to answer. */
    ask(name: string, type: string): string[];
    stop(): Promise<void>;
}

/** Starts the server in place of one that runs. Until the first load it has the internet's own zone only (`ca.test`), which always stays. */
export async function startDns(host: RigHost, { dir, log }: { dir: string; log: Log }): Promise<DnsServer> {
    await needTools(log, dnsTools);
    fs.mkdirSync(dir, { recursive: true });
    const addresses = { address4: host.outside4, address6: host.outside6 };
    const tsig: Tsig = { name: "rig", algorithm: "hmac-sha256", secret: keptSecret(dir) };
    const files = filesOf(host, dir);
    log("internet: starting the DNS server");
    await startNamed(host, files, addresses, tsig);
    return {
        ...addresses,
        tsig,
        async load(zones) {
            const all = withOwn(zones, addresses);
            await checkZones(all, path.join(dir, "check"));
            const serial = nextSerial(dir);
            fs.writeFileSync(files.zones, writeZones(files.dir, all, serial));
            await runOutside(host, ["rndc", "-c", files.rndc, "reconfig"]);
            await served(host, Object.keys(all), serial);
            keepZones(dir, serial);
        },
        ask(name, type) {
            const [program, ...argv] = host.outside(dig(host.outside4, name, type));
            return execFileSync(program, argv, { encoding: "utf8" }).split("\n").filter(Boolean);
        },
        stop: () => stopOutside(host, "named"),
    };
}

function filesOf(host: RigHost, dir: string) {
    const [conf, zones, rndc] = ["named.conf", "named.zones", "rndc.conf"].map((name) => path.join(runDirOf(host), name));
    return { dir: path.resolve(dir), conf, zones, rndc };
}

function startNamed(host: RigHost, files: ReturnType<typeof filesOf>, addresses: Addresses, tsig: Tsig): Promise<void> {
    return startOutside(host, {
        program: ownCopy(files.dir),
        argv: ["-g", "-n", "1", "-c", files.conf],
        logFile: path.join(files.dir, "named.log"),
        prepare() {
            const serial = nextSerial(files.dir);
            fs.writeFileSync(files.zones, writeZones(files.dir, withOwn({}, addresses), serial));
            keepZones(files.dir, serial);
            writeSecret(files.conf, serverConf(files, addresses, tsig));
            writeSecret(files.rndc, rndcConf(tsig));
        },
        ready: async () => (await serialAt(host, host.outside4, OWN_ZONE)) !== "" && (await serialAt(host, host.outside6, OWN_ZONE)) !== "",
    });
}

const withOwn = (zones: Record<string, string>, addresses: Addresses) => ({ [OWN_ZONE]: ownRecords(addresses), ...zones });

/** Waits until the server, which reads new zones after it has answered rndc, answers from all of them. */
async function served(host: RigHost, zones: string[], serial: number): Promise<void> {
    for (const until = Date.now() + 10_000; ; await sleep(50)) {
        const serials = await Promise.all(zones.map((zone) => serialAt(host, host.outside4, zone)));
        const old = zones.filter((_, i) => serials[i] !== String(serial));
        if (old.length === 0) return;
        if (Date.now() > until) throw new Error(`The DNS server does not serve ${old.join(", ")}; its log says why.`);
    }
}

async function serialAt(host: RigHost, address: string, zone: string): Promise<string> {
    const soa = await runOutside(host, dig(address, zone, "SOA")).catch(() => "");
    return soa.split(" ")[2] ?? "";
}

const dig = (address: string, name: string, type: string) => ["dig", `@${address}`, "+short", "+tries=1", "+time=3", "-q", name, "-t", type];

function runOutside(host: RigHost, argv: string[]): Promise<string> {
    const [program, ...rest] = host.outside(argv);
    return run(program, rest);
}

/** The AppArmor profile of Debian's named, which goes by its path, lets it read and write the system's own folders only. */
function ownCopy(dir: string): string {
    const installed = ["/usr/sbin/named", "/usr/local/sbin/named"].find((file) => fs.existsSync(file));
    if (!installed) throw new Error("named is not in /usr/sbin: install the package `bind9`.");
    const copy = path.resolve(dir, "named");
    fs.rmSync(copy, { force: true }); // one that runs cannot be written to
    fs.copyFileSync(installed, copy);
    return copy;
}

function keptSecret(dir: string): string {
    const file = path.join(dir, "tsig");
    if (!fs.existsSync(file)) writeSecret(file, randomBytes(32).toString("base64"));
    return fs.readFileSync(file, "utf8");
}

const writeSecret = (file: string, text: string) => fs.writeFileSync(file, text, { mode: 0o600 });
