import * as fs from "node:fs";
import * as path from "node:path";

import type { DnsServer } from "./dns";
import { OWN_ZONE } from "./dns/config";
import { build } from "./engine/build";
import type { RigHost } from "./host";
import { type Log, run } from "./images/run";
import { named, runDirOf, startOutside, stopOutside } from "./outside";
import { issue, type Names, request } from "./providers/certificates";
import { generateKey, keyForms } from "./providers/keys";

/** An ACME authority on the internet: Pebble, which validates as a public one does, and forgets everything when it stops. */
export interface AcmeServer {
    /** URL of the directory (RFC 8555 §7.1.1). */
    directory: string;
    /** What a client has to trust, as PEM: who signed the directory's own certificate, and the root of what the authority issues. */
    roots: string;
    stop(): Promise<void>;
}

export interface AcmeArgs {
    /** Keeps its log. */
    dir: string;
    /** Is asked for the names that are to be certified. */
    dns: DnsServer;
    /**
     * How long what it issues is valid. It suggests a renewal (RFC 9773) after two thirds of that time, a day earlier or later: of less than
     * 36 hours, clients that ask choose any moment, also the next.
     */
    validitySeconds: number;
    log: Log;
}

const PORT = 14000;
const MANAGEMENT_PORT = 15000;

const environment = {
    PEBBLE_VA_NOSLEEP: "1", // it would wait up to 5 s before each validation
    PEBBLE_WFE_NONCEREJECT: "0", // and refuse 5 % of good nonces,
    PEBBLE_AUTHZREUSE: "0", // and take half of the names for valid because they were an hour ago
};

/** Starts the authority in place of one that runs, with a new root and no accounts: clients need the new `roots`, and to register again. */
export async function startAcme(host: RigHost, { dir, dns, validitySeconds, log }: AcmeArgs): Promise<AcmeServer> {
    fs.mkdirSync(dir, { recursive: true });
    const tls = await certify(dir, { dnsNames: [OWN_ZONE, "localhost"], ipAddresses: [host.outside4, host.outside6, "127.0.0.1"] });
    const configFile = `${runDirOf(host)}/pebble.json`;
    const root = () => fetchOutside(host, tls, `https://127.0.0.1:${MANAGEMENT_PORT}/roots/0`);
    log("internet: starting the ACME authority");
    await startOutside(host, {
        program: await pebble(dir, log),
        argv: ["-config", configFile, "-strict", "-dnsserver", `${dns.address4}:53`],
        env: environment,
        logFile: path.join(dir, "pebble.log"),
        prepare: () => fs.writeFileSync(configFile, JSON.stringify(configOf(tls, validitySeconds), null, 4)),
        ready: () => Promise.all([root(), fetchOutside(host, tls, `https://127.0.0.1:${PORT}/dir`)]).then(Boolean, () => false),
    });
    return {
        directory: `https://${OWN_ZONE}:${PORT}/dir`,
        roots: `${fs.readFileSync(tls.authority, "utf8").trimEnd()}\n${(await root()).trimEnd()}\n`,
        stop: () => stopOutside(host, "pebble"),
    };
}

function configOf({ certificate, key }: TlsFiles, validitySeconds: number): object {
    return {
        pebble: {
            listenAddress: `:${PORT}`, // of both families, as its name has addresses of both
            managementListenAddress: `127.0.0.1:${MANAGEMENT_PORT}`,
            certificate,
            privateKey: key,
            httpPort: 80,
            tlsPort: 443,
            keyAlgorithm: "ecdsa",
            caaIdentities: [OWN_ZONE], // only announced: it asks for no CAA records (RFC 8659)
            // One that an order does not name is chosen at random.
            profiles: { default: { description: "The only one", validityPeriod: validitySeconds } },
        },
    };
}

interface TlsFiles {
    authority: string;
    certificate: string;
    key: string;
}

/** Makes a certificate for the directory, and the authority that signs it. */
async function certify(dir: string, names: Names): Promise<TlsFiles> {
    const [authorityKey, key] = await Promise.all([newKey(), newKey()]);
    const asked = await request(authorityKey, { subject: { commonName: "Authority of the ACME directory" } });
    const validityPeriodHours = 24 * 365;
    const terms = { allowedUses: ["cert_signing"], isCaCertificate: true, validityPeriodHours };
    const authority = (await issue(asked, authorityKey, terms)).certPem;
    const uses = ["digital_signature", "server_auth"];
    const leaf = await issue(await request(key, names), authorityKey, { allowedUses: uses, validityPeriodHours }, authority);
    const files = { authority: path.resolve(dir, "authority.pem"), certificate: path.resolve(dir, "tls.pem"), key: path.resolve(dir, "tls.key") };
    fs.writeFileSync(files.authority, authority);
    fs.writeFileSync(files.certificate, leaf.certPem);
    fs.writeFileSync(files.key, key, { mode: 0o600 });
    return files;
}

const newKey = async () => keyForms(await generateKey("ECDSA", 0, "P256")).privateKeyPemPkcs8;

async function pebble(dir: string, log: Log): Promise<string> {
    const folder = path.join(__dirname, "acme");
    const built = await build({ file: "pebble", folder, package: "github.com/letsencrypt/pebble/v2/cmd/pebble", takes: "under a minute" }, log);
    return named(dir, "pebble", built);
}

const FETCH = "fetch(process.argv[1]).then(async (answer) => process.stdout.write(await answer.text()))";

function fetchOutside(host: RigHost, { authority }: TlsFiles, url: string): Promise<string> {
    const [program, ...argv] = host.outside([process.execPath, "-e", FETCH, url]);
    return run(program, argv, { env: { NODE_EXTRA_CA_CERTS: authority } });
}
