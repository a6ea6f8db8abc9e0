import { type ChildProcess, execFile, execFileSync, spawn, spawnSync } from "node:child_process";
import { createHash, createPrivateKey, createPublicKey, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import * as path from "node:path";
import * as tls from "node:tls";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { DOCKER_SOCKET, type SshConnection, quote } from "../../components/server/connection";
import { FIREWALL, REVERT_SECONDS, firewallTable } from "../../components/server/host/firewall";
import { SYSTEM } from "../../components/server/host/system";
import { METRICS_NAMES, type MetricsName } from "../../components/metrics/programs";
import { publicNames, servicesOf } from "../../components/services/catalogue";
import { DockerAddress, inspectStack } from "../../operate/health";
import { hostName, startRehearsal, stopRehearsal } from "../../operate/rehearsal";
import { PROJECT } from "../../operate/stackFile";
import { WORK } from "../../operate/workspace";
import type { Release } from "../rig/images/debian";
import { mayIssue } from "../rig/caa";
import { type Vps, removeVps, startVps } from "../rig/vps";
import { removeMachine, startMachine } from "../rig/vps/machine";
import type { RigHost } from "../rig/host";
import { policyId, policyText } from "../../components/dns/mtaSts";
import { deliver, eventually, makeMailbox, poll, readImap, request as get, startSink, submit } from "./clients";
import { type Bucket, startBucket } from "./bucket";
import { type Internet, certificateAt, startInternet, watchPorts } from "./internet";
import { wipe } from "./world";
import { generateKey, keyForms } from "../rig/providers/keys";
import { issue, request } from "../rig/providers/certificates";

// A stack of the operator's own, on a server that is reached over SSH: its own backend and passphrase, forwarding only, data in a directory, a provided certificate.
// Everything goes through the commands, as processes: `pulumi stack init`, `pulumi config set`, `npm run up` …

const STACK = "e2e-own";
const NAME = `forwardemail-${STACK}`;
const VPS = "vps";
const HOST = "own.example.test";
const FILE = path.join(PROJECT, `Pulumi.${STACK}.yaml`);

const ANOTHER_KEY = `ssh-ed25519 ${Buffer.from("\0\0\0\vssh-ed25519\0\0\0 " + "x".repeat(32)).toString("base64")}`;

/** Clients on the internet. Whoever has a private address is never closed out, and the rig's usual ones have. */
const GUESSER = { ipv4: "198.51.100.78", ipv6: "2001:db8:78::1", ssh: "198.51.100.79" };
const EXEMPT = "198.51.100.80";

const release = process.env.E2E_DEBIAN as Release | undefined;
const isReal = process.env.E2E_IMAGES === "real";
/** With what takes minutes more: test/long. */
const isLong = process.env.E2E_LONG === "true";

let place: Place;
let folder: string;
let data: string;
let leaf: X509Certificate;
let config: Record<string, unknown>;
let bucket: Bucket | undefined;
let hook: Server | undefined;
/** What the webhook heard. */
const told: string[] = [];

beforeAll(async () => {
    folder = mkdtempSync(path.join(tmpdir(), "own-"));
    place = process.env.E2E_IMAGES === "real" ? await realPlace(folder) : await rehearsalPlace();
    data = path.join(place.directory, "own-data");
    place.shell(`rm -rf ${data}`);
    const key = keyForms(await generateKey("ECDSA", 0, "P256")).privateKeyPemPkcs8;
    const asked = await request(key, { subject: { commonName: HOST }, dnsNames: publicNames(HOST, "forwarding") });
    const { certPem } = await issue(asked, key, { allowedUses: ["digital_signature", "server_auth"], validityPeriodHours: 24 });
    leaf = new X509Certificate(certPem);
    expect(leaf.checkPrivateKey(createPrivateKey(key))).toBe(true);
    writeFileSync(path.join(folder, "chain.pem"), certPem);
    config = {
        ...place.overlay,
        "forwardemail:host": HOST,
        "forwardemail:profile": "forwarding",
        "forwardemail:version": "v2.15.0",
        "forwardemail:network": { portOffset: place.portOffset, ...(place.overlay["forwardemail:network"] as object) },
        "forwardemail:data": { directory: data, device: place.device },
        "forwardemail:certificates": { issuer: "provided", chainFile: path.join(folder, "chain.pem") },
        ...(place.vps ? { "forwardemail:firewall": { bans: { exempt: [`${EXEMPT}/32`] } } } : {}),
    };
    rmSync(FILE, { force: true });
    pulumi(["stack", "init", STACK]);
    writeConfig(config);
    pulumi(["config", "set", "--secret", "certificateKey", "--stack", STACK], key);
    if (place.sshKey) pulumi(["config", "set", "--secret", "sshKey", "--stack", STACK], place.sshKey);
    if (place.rig) await addBackups(place.rig);
});

/** A bucket on the rig's internet, and someone to tell when no set is made. */
async function addBackups(rig: RigHost): Promise<void> {
    bucket = await startBucket(rig, path.join(folder, "s3"), NAME);
    hook = createServer((message, answer) => {
        message.on("data", (body: Buffer) => told.push(body.toString())).on("end", () => answer.end());
    }).listen(0, "0.0.0.0");
    await once(hook, "listening");
    config = { ...config, "forwardemail:backups": { ...bucket.config, drill: "weekly" } };
    writeConfig(config);
    const secrets = {
        backupSecretKey: bucket.server.secretAccessKey,
        backupPruneSecretKey: bucket.pruner.secretAccessKey,
        alertWebhook: `http://${rig.machine4}:${(hook.address() as AddressInfo).port}/`,
    };
    for (const [key, value] of Object.entries(secrets)) pulumi(["config", "set", "--secret", key, "--stack", STACK], value);
}
afterAll(async () => {
    command("down", "--delete-data", NAME);
    rmSync(FILE, { force: true });
    if (data && !place.vps) place.shell(`rm -rf ${data}`);
    await bucket?.s3.stop();
    hook?.close();
    if (folder) rmSync(folder, { recursive: true });
    await place?.stop();
});

/** Where the stack runs: the rehearsal, or with E2E_IMAGES=real this machine's Docker, the official CLI and the real images. */
interface Place {
    directory: string;
    docker: DockerAddress;
    address: string;
    portOffset: number;
    overlay: Record<string, unknown>;
    /** A blank disk for the data directory. */
    device?: string;
    /** Logs in to the server, where it is reached over SSH. */
    sshKey?: string;
    vps?: Vps;
    rig?: RigHost;
    /** Another bare machine at the same address, with the same disk. Answers its host key. */
    replace?: () => Promise<string>;
    /** Runs a script there as root, not over the connection that is tested. */
    shell(script: string): string;
    env: Record<string, string>;
    /** The command that runs `argv` where the registry can be reached. */
    inside(argv: string[]): string[];
    /** The command that runs `argv` where the server's clients are. */
    outside(argv: string[]): string[];
    stop(): Promise<void>;
}

async function rehearsalPlace(): Promise<Place> {
    const rehearsal = await startRehearsal(hostName("e2e"), path.join(WORK, "rehearsal-e2e"), console.log);
    await wipe(rehearsal);
    const { name, directory, host, env } = rehearsal;
    await removeVps(host, VPS, { disk: true });
    const start = () => startVps(host, { name: VPS, release, dir: path.join(directory, "vps"), blankDisk: 21 * 2 ** 30, log: console.log });
    const vps = await start();
    const ssh = {
        ...{ alias: `${NAME}-main`, address: vps.address4, port: 22, user: "root", hostKey: vps.hostKey },
        ...{ socket: DOCKER_SOCKET, ownKey: true },
    };
    const reach = [`${vps.address4}:22`];
    const server = { name: "main", kind: "ssh", address: vps.address4, hostKey: vps.hostKey, reach };
    return {
        directory: "/srv",
        docker: { dockerHost: "", ssh },
        address: vps.address4,
        portOffset: 0,
        overlay: { ...rehearsal.overlay, "forwardemail:servers": [server], "forwardemail:network": { ipv6: true } },
        device: "/dev/disk/by-id/scsi-0RIG_Volume_1",
        sshKey: readFileSync(vps.keyFile, "utf8"),
        vps,
        rig: host,
        async replace() {
            await removeVps(host, VPS);
            return (await start()).hostKey;
        },
        shell: vps.run,
        env,
        inside: host.inside,
        outside: host.outside,
        async stop() {
            await removeVps(host, VPS, { disk: true });
            await stopRehearsal(name, directory);
        },
    };
}

/** Needs Docker and the official CLI on PATH; digests are those that the registries name now. */
async function realPlace(directory: string): Promise<Place> {
    const lockFile = path.join(directory, "real.lock.json");
    copyFileSync(path.join(PROJECT, "images.lock.json"), lockFile);
    const tsx = path.join(PROJECT, "node_modules/.bin/tsx");
    execFileSync(tsx, [path.join(PROJECT, "operate/images-update.ts"), "--lock-file", lockFile], { stdio: "inherit" });
    const overlay = { "forwardemail:images": { lockFile } };
    const dockerHost = "unix:///var/run/docker.sock";
    const asIs = (argv: string[]) => argv;
    const shell = (script: string) => execFileSync("bash", ["-ec", script], { encoding: "utf8" });
    const stop = async () => undefined;
    return { directory, docker: dockerHost, address: "127.0.0.1", portOffset: 20_000, overlay, shell, env: {}, inside: asIs, outside: asIs, stop };
}

const environment = () => ({
    ...process.env,
    ...place.env,
    PULUMI_BACKEND_URL: `file://${folder}`,
    PULUMI_HOME: path.join(folder, "home"),
    PULUMI_CONFIG_PASSPHRASE: "of the operator",
    PULUMI_SKIP_UPDATE_CHECK: "true",
});
const pulumi = (args: string[], input?: string) => execFileSync("pulumi", args, { cwd: PROJECT, env: environment(), encoding: "utf8", input });

/** Keeps the encryption and the secrets that `pulumi` wrote into the stack file. */
function writeConfig(values: Record<string, unknown>): void {
    const text = existsSync(FILE) ? readFileSync(FILE, "utf8") : "";
    const salt = /^encryptionsalt:.*$/m.exec(text)?.[0] ?? "";
    const secrets = text.match(/^ {2}forwardemail:\w+:\n {4}secure: .*$/gm) ?? [];
    writeFileSync(FILE, `${salt}\n${stringify({ config: values })}${secrets.join("\n")}\n`);
}

function command(
    name: "up" | "down" | "output" | "preflight" | "backup" | "drill" | "prune" | "restore" | "verify" | "status",
    ...args: string[]
): { status: number | null; text: string } {
    const tsx = path.join(PROJECT, "node_modules/.bin/tsx");
    const run = spawnSync(tsx, [path.join(PROJECT, "operate", `${name}.ts`), "--stack", STACK, ...args], {
        env: environment(),
        encoding: "utf8",
    });
    return { status: run.status, text: run.stdout + run.stderr };
}

const running = () => inspectStack(NAME, place.docker);
const listed = (folder: string) => place.shell(`ls -A ${folder}`).split("\n").filter(Boolean);

const served = (port: number, servername: string) =>
    new Promise<string>((resolve, reject) => {
        const socket = tls.connect({ host: place.address, port: port + place.portOffset, servername, rejectUnauthorized: false }, () => {
            resolve(socket.getPeerX509Certificate()?.fingerprint256 ?? "");
            socket.destroy();
        });
        socket.on("error", reject);
    });

test("the server is looked at over the same connection before anything is on it", () => {
    const { status, text } = command("preflight");
    expect(text).toMatch(/^pass {2}ports /m);
    expect(text).not.toMatch(/^fail/m);
    expect(status).toBe(0);
});

if (isLong && !isReal)
    test("it is reached through a jump host too, whose key is pinned as well", () => {
        const [server] = config["forwardemail:servers"] as [Record<string, unknown>];
        const { address, hostKey } = server;
        const through = (jump: object) => {
            writeConfig({ ...config, "forwardemail:servers": [{ ...server, jump }] });
            return command("preflight");
        };
        expect(through({ address, hostKey })).toMatchObject({ status: 0, text: expect.stringMatching(/^pass {2}ports /m) });
        expect(through({ address, hostKey: ANOTHER_KEY })).toMatchObject({
            status: 1,
            text: expect.stringContaining("Host key verification failed"),
        });
        writeConfig(config);
    });

test("comes up with the services of its profile and the certificate it was given", async () => {
    const { status, text } = command("up", "--yes");
    expect(text).toContain("every service is healthy");
    expect(status).toBe(0);
    const services = running().map((c) => c.service);
    expect(services.sort()).toEqual([...servicesOf("forwarding")].sort());
    expect(await served(465, `smtp.${HOST}`)).toBe(leaf.fingerprint256);
    expect(await served(443, `api.${HOST}`)).toBe(leaf.fingerprint256);
    expect(listed(data).sort()).toEqual([...(bucket ? ["backup"] : []), "keys", "mailboxes", "mongodb", "redis", "router"]);
    if (place.device) expect(place.shell(`findmnt -n -o FSTYPE ${data}`)).toBe("xfs\n");
});

test("a lock that a killed operation left is named with its fix, and --unlock removes it", () => {
    const lock = path.join(folder, ".pulumi", "locks", "organization", "forwardemail", STACK, "5a1a1a1a-1111-4111-8111-111111111111.json");
    execFileSync("mkdir", ["-p", path.dirname(lock)]);
    writeFileSync(lock, JSON.stringify({ pid: 1, username: "root", hostname: "gone", timestamp: new Date().toISOString() }));
    const locked = command("up", "--yes");
    expect(locked.status).toBe(1);
    expect(locked.text).toMatch(/fix: .*npm run up -- --unlock/);
});

test("a second up changes nothing, and an output can be read", () => {
    expect(command("up", "--yes", "--unlock").text).toContain("Nothing to change");
    expect(command("output", "url").text).toMatch(new RegExp(`^https://${HOST}(:\\d+)?\n$`));
});

/** What a client on the internet gets from a port: the first bytes, "" from one that is open and silent, undefined where nothing answers. */
function knock(address: string, port: number): string | undefined {
    const [program, ...args] = place.outside(["bash", "-c", `exec 3<>/dev/tcp/${address}/${port} && timeout 2 head -c 4 <&3; true`]);
    const { stdout, stderr, error } = spawnSync(program, args, { encoding: "utf8", timeout: 4000 });
    return error || /refused|timed out/.test(stderr) ? undefined : stdout;
}

/** A cloud's metadata address, beyond the server's gateway. */
async function serveMetadata(): Promise<ChildProcess> {
    const [ip, ...address] = place.outside(["ip", "address", "replace", "169.254.169.254/32", "dev", "lo"]);
    execFileSync(ip, address);
    const listen = "IO::Socket::INET->new(LocalAddr=>q(169.254.169.254),LocalPort=>80,Listen=>5,ReuseAddr=>1)";
    const [program, ...argv] = place.outside([
        "perl",
        "-MIO::Socket::INET",
        "-e",
        `my $s=${listen} or die; print q(x); close STDOUT; while(my $c=$s->accept){print $c q(credentials)}`,
    ]);
    const server = spawn(program, argv, { stdio: ["ignore", "pipe", "inherit"] });
    await once(server.stdout, "data"); // it listens
    return server;
}

/** How many of `count` connections to SSH, all at once from one address of the internet, are accepted. */
function flood(from: string, count: number): number {
    const [ip, ...address] = place.outside(["ip", "address", "replace", `${from}/32`, "dev", "lo"]);
    execFileSync(ip, address);
    const connect = `IO::Socket::INET->new(LocalAddr=>q(${from}),PeerAddr=>q(${place.address}),PeerPort=>22,Blocking=>0)`;
    const isOpen = "getpeername($_)";
    const [program, ...argv] = place.outside([
        "perl",
        "-MIO::Socket::INET",
        "-e",
        `my @all = map { ${connect} } 1..${count}; select(undef,undef,undef,2); print scalar grep { ${isOpen} } @all`,
    ]);
    return Number(execFileSync(program, argv, { encoding: "utf8" }));
}

/** Runs a program as a client with that address; answers its exit status. */
async function as(from: string, ...argv: string[]): Promise<number> {
    const [ip, ...address] = place.outside(["ip", "address", "replace", `${from}/${from.includes(":") ? "128 nodad" : 32}`, "dev", "lo"]);
    execFileSync(
        ip,
        address.flatMap((word) => word.split(" ")),
    );
    const [program, ...args] = place.outside(argv);
    return promisify(execFile)(program, args).then(
        () => 0,
        ({ code }: { code: number }) => code,
    );
}

/** Where a client comes to: over its own family. */
const serverFor = (from: string) => (from.includes(":") ? `[${place.vps!.address6}]` : place.vps!.address4);
/** Exit statuses of curl: the log-in was denied; nobody answered. */
const [DENIED, SILENCE] = [67, 28];
const logIn = (from: string, protocol: string, password: string) =>
    as(
        from,
        "curl",
        "-sk",
        "--connect-timeout",
        "2",
        "--interface",
        from,
        "--user",
        `guessed@${HOST}:${password}`,
        `${protocol}s://${serverFor(from)}`,
    );
/** As many wrong log-ins as it takes, all at once. */
const guess = (from: string, protocol = "smtp") => Promise.all(Array.from({ length: 8 }, (_, at) => logIn(from, protocol, `wrong ${at}`)));
const guessSsh = (from: string) => {
    const options = ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ConnectTimeout=4", `BindAddress=${from}`];
    const logInAs = (user: string) =>
        as(from, "ssh", "-F", "none", ...options.flatMap((one) => ["-o", one]), `${user}@${place.vps!.address4}`, "true");
    return Promise.all(Array.from({ length: 8 }, (_, at) => logInAs(`guess${at}`)));
};
const reaches = async (from: string, port: number) => {
    const connect = `IO::Socket::IP->new(LocalHost=>q(${from}),PeerHost=>q(${serverFor(from).replace(/[[\]]/g, "")}),PeerPort=>${port},Timeout=>2)`;
    return (await as(from, "perl", "-MIO::Socket::IP", "-e", `exit !${connect}`)) === 0;
};
const isClosedOut = (from: string, port: number) =>
    eventually(`${from} is closed out`, 30, async () => ((await reaches(from, port)) ? undefined : true));

const fromOutside = () => {
    const { address4, address6 } = place.vps!;
    return [address4, address6].map((address) => [knock(address, 22), knock(address, 25), knock(address, 9999)]);
};

test.skipIf(isReal)("from outside, over IPv4 and IPv6, the server shows its mail ports and SSH, and nothing else", async () => {
    place.shell(
        "systemd-run --quiet --unit=other perl -MIO::Socket::IP -e 'my $$s=IO::Socket::IP->new(LocalHost=>q(::),LocalPort=>9999,Listen=>5,V6Only=>0); while(my $$c=$$s->accept){print $$c qq(open\\n)}'".replaceAll(
            "$$",
            "$",
        ),
    );
    place.shell("docker run -d --name stranger -p 9998:25 $(docker inspect -f {{.Image}} $(docker ps -qf label=forwardemail.service=mx)) sleep 600");
    expect(fromOutside()).toEqual([
        ["SSH-", "220 ", undefined],
        ["SSH-", "220 ", undefined],
    ]);
    // The cloud's metadata: the host may ask, a container may not.
    const metadata = await serveMetadata();
    const ask = "timeout 2 bash -c 'head -c 11 </dev/tcp/169.254.169.254/80' || true";
    const inContainer = `docker exec $(docker ps -qf label=forwardemail.service=mx) ${ask}`;
    expect([place.shell(ask), place.shell(inContainer)]).toEqual(["credentials", ""]);
    // A port that Docker publishes passes no input chain.
    expect(knock(place.address, 9998)).toBeUndefined();
    place.shell("nft delete table inet forwardemail");
    expect([knock(place.address, 9999), place.shell(inContainer)]).toEqual(["open", "credentials"]); // it was the firewall
    metadata.kill();
    place.shell("systemctl restart forwardemail-firewall; docker rm -f stranger; systemctl stop other");
});

test.skipIf(isReal)("who opens too many SSH connections is held up, and nobody else; Pulumi opens fewer", () => {
    const dropped = () => Number(/ip saddr .* counter packets (\d+) .* drop/.exec(place.shell("nft list chain inet forwardemail ssh"))![1]);
    expect([flood("198.51.100.77", 100), dropped()]).toEqual([100, 0]);
    flood("198.51.100.77", 900); // more than sshd itself takes at once, so what is accepted says nothing
    expect(dropped()).toBeGreaterThan(250); // of 1000, the burst is 600, and ten seconds give fifty more
    const before = dropped();
    expect(command("preflight").status).toBe(0);
    expect(dropped()).toBe(before);
});

/** An alias that is there to be guessed. The application does not count guesses at one that is not. */
const makeGuessed = () =>
    place.shell(`docker exec $(docker ps -qf label=forwardemail.service=mongodb) mongosh --quiet --norc --eval '
        db.getSiblingDB("admin").auth(process.env.MONGODB_USER, process.env.MONGODB_PASSWORD);
        const data = db.getSiblingDB("forwardemail_production"), name = "${HOST}";
        const domain = data.domains.findOne({ name })?._id ?? data.domains.insertOne({ _id: "guessed", name }).insertedId;
        const tokens = [{ hash: "salt:" + "0".repeat(64) }];
        data.aliases.updateOne({ name: "guessed", domain }, { $set: { tokens } }, { upsert: true });'`);

test.skipIf(isReal)(
    "who guesses passwords is closed out over IPv4 and IPv6, and nobody else; from what was guessed only, and until told otherwise",
    async () => {
        makeGuessed();
        const guessed = [guess(GUESSER.ipv4), guess(GUESSER.ipv6), guess(EXEMPT), guessSsh(GUESSER.ssh)];
        expect([...new Set((await Promise.all(guessed)).flat())].sort()).toEqual([255, DENIED]);
        await Promise.all([isClosedOut(GUESSER.ipv4, 465), isClosedOut(GUESSER.ipv6, 465), isClosedOut(GUESSER.ssh, 22)]);
        // Over IPv6 the guesser has a network of addresses.
        const open = [
            ...[reaches(GUESSER.ipv4, 22), reaches(GUESSER.ipv4, 25), reaches(GUESSER.ssh, 465)],
            ...[reaches(EXEMPT, 465), reaches("198.51.100.81", 465), reaches("2001:db8:79::1", 465)],
        ];
        expect(await Promise.all([reaches("2001:db8:78::2", 465), ...open])).toEqual([false, true, true, true, true, true, true]);
        expect(command("status").text).toMatch(/^closed out +1 from SSH, 2 from mail$/m);
        place.shell(`fail2ban-client unban ${GUESSER.ipv4}`);
        expect(await reaches(GUESSER.ipv4, 465)).toBe(true);
    },
);

if (isLong)
    test("and it ends", async () => {
        place.shell("fail2ban-client set forwardemail bantime 5");
        await guess("198.51.100.82");
        await isClosedOut("198.51.100.82", 465);
        await eventually("it is over", 15, async () => (await reaches("198.51.100.82", 465)) || undefined);
        place.shell("fail2ban-client set forwardemail bantime 3600");
    });

test.skipIf(isReal)("another container's open port is not closed silently, and one host has one deployment that sets it up", () => {
    const refusal = (stack: string, script: string, open = "") =>
        place.shell(`SWAP_BELOW_MIB=0 STACK=${stack} OPEN='${open}' TABLE='' sh -c ${quote(script)} 2>&1 && echo accepted || true`);
    place.shell("docker run -d --name stranger -p 9998:25 $(docker inspect -f {{.Image}} $(docker ps -qf label=forwardemail.service=mx)) sleep 600");
    expect(command("preflight")).toMatchObject({ status: 1, text: expect.stringMatching(/^fail {2}firewall .*9998 \(stranger\)/m) });
    expect(refusal(NAME, FIREWALL, "25 80 443 465")).toMatch(/close ports .*: 9998 \(stranger\)/);
    place.shell("docker rm -f stranger");
    expect(refusal("forwardemail-other", FIREWALL)).toMatch(/close ports .*: .*25 \(/);
    expect(refusal("forwardemail-other", SYSTEM)).toMatch(`set up by ${NAME} already`);
    expect(refusal(NAME, SYSTEM)).toBe("accepted\n");
});

if (isLong)
    test("a small machine gets swap, once; what cannot use it says so and goes on", () => {
        const setUp = () => place.shell(`SWAP_BELOW_MIB=9999999 STACK=${NAME} sh -c ${quote(SYSTEM)} 2>&1`);
        place.shell("head -n 1 /proc/swaps >/run/swaps; mount --bind /run/swaps /proc/swaps"); // whatever this machine has
        for (const turn of [1, 2]) expect(setUp(), `turn ${turn}`).toMatch(/2 GiB of swap in \/swapfile\.forwardemail|swap cannot be used here/);
        expect(
            place.shell("stat -c '%a %s' /swapfile.forwardemail; blkid -o value -s TYPE /swapfile.forwardemail; grep -c swapfile /etc/fstab"),
        ).toBe(`600 ${2 * 2 ** 30}\nswap\n1\n`);
        place.shell(
            "umount /proc/swaps; swapoff /swapfile.forwardemail 2>/dev/null || true; rm /swapfile.forwardemail; sed -i '/^.swapfile/d' /etc/fstab",
        );
    });

test.skipIf(isReal)("a firewall that nobody can connect through is taken back by itself", () => {
    // The same script without the second connection, and without the minute.
    const script = FIREWALL.replace(`--on-active=${REVERT_SECONDS}`, "--on-active=8");
    const closed = firewallTable({ ports: [25], allow: { tcp: [], udp: [] }, ssh: { port: 22, from: ["192.0.2.1/32"] } });
    place.shell(`OPEN='25 80 443 465' STACK=x TABLE=${quote(closed)} sh -c ${quote(script)}`);
    expect(knock(place.address, 22)).toBeUndefined();
    execFileSync("sleep", ["9"]);
    expect(knock(place.address, 22)).toBe("SSH-");
});

describe.skipIf(isReal)("backups", () => {
    const held = "grep -rls 'frozen 1' --include=cgroup.events $(findmnt -n -t cgroup2 -o TARGET | head -n 1)";
    const sets = () => command("backup", "--list").text.match(/^\d{8}T\d{6}Z$/gm) ?? [];

    test("the server makes them by a timer, on a file system that clones: the services stand still for less than a second", () => {
        expect(place.shell(`systemctl is-active ${NAME}-backup.timer ${NAME}-drill.timer`)).toBe("active\nactive\n");
        for (const unit of ["backup", "drill"]) place.shell(`systemctl start ${NAME}-${unit}`);
        const { exitStatus, mode, pauseMs, set } = JSON.parse(place.shell(`cat ${data}/backup/status.json`)) as Record<string, unknown>;
        expect({ exitStatus, mode, set }).toEqual({ exitStatus: 0, mode: "snapshot", set: sets().at(-1) });
        console.log(`backup: the services stood still for ${pauseMs} ms`);
        expect(pauseMs).toBeLessThan(1000);
        expect(JSON.parse(place.shell(`cat ${data}/backup/drill.json`))).toMatchObject({ exitStatus: 0, set });
    });

    if (isLong)
        test("one that is killed leaves nothing held and no set", () => {
            const before = sets();
            const waitUntil = (what: string) => place.shell(`timeout 60 sh -c ${quote(`until ${what}; do sleep 0.01; done`)}`);
            place.shell(`systemctl start --no-block ${NAME}-backup`);
            waitUntil(`${held} >/dev/null`);
            place.shell(`systemctl kill -s KILL ${NAME}-backup`);
            waitUntil(`systemctl show -p ActiveState --value ${NAME}-backup | grep -qE '^(failed|inactive)'`);
            expect(place.shell(`${held} || true`)).toBe("");
            expect(sets()).toEqual(before);
        });

    if (isLong)
        test("a set can be made, looked at and, with the operator's key, removed from here", () => {
            const made = command("backup");
            expect(made.text).toMatch(/^set \w+: .* the services stood still for \d+ ms \(snapshot\)$/m);
            expect(made.status).toBe(0);
            expect(command("drill", "--set", sets().at(-1)!)).toMatchObject({ status: 0, text: expect.stringMatching(/RPO \d+ s .*, RTO \d+ s/) });
            const pruned = command("prune");
            expect(pruned).toMatchObject({ status: 0, text: expect.stringMatching(/^2 sets before, [12] now$/m) });
            for (const { secretAccessKey } of [bucket!.server, bucket!.pruner]) expect(made.text + pruned.text).not.toContain(secretAccessKey);
            expect(place.shell(`grep -rlF '${bucket!.pruner.secretAccessKey}' ${data}/backup /tmp /etc || true`)).toBe("");
        });

    test("who has not been told for too long that a set was made is told, with the reason", async () => {
        await bucket!.s3.disturb({ refuseWrites: true });
        place.shell(`sed -i 's/^ALERT_AFTER=.*/ALERT_AFTER=0/; $a PATIENCE=10' ${data}/backup/backup.conf`);
        const env = { ...process.env, DOCKER_HOST: place.rig!.dockerHost };
        await promisify(execFile)("docker", ["exec", VPS, "systemctl", "start", `${NAME}-backup`], { env }).catch(() => undefined);
        await bucket!.s3.disturb({});
        expect(told.join()).toMatch(/the newest complete set is of .*The last run failed: the key may not use the bucket/);
    });

    test("verify finds nothing wrong over SSH, and tells what nobody can tell", () => {
        const only = ["services", "ports", "relay", "host", "backups", "drift"].flatMap((id) => ["--only", id]);
        const { status, text } = command("verify", ...only);
        expect(text).toMatch(/^\d+ pass, \d+ warn, 0 fail, \d+ unknown$/m);
        for (const id of ["services", "ports", "relay", "backups", "drift"]) expect(text).toMatch(new RegExp(`^pass +${id} `, "m"));
        expect(text).toMatch(/unknown list zen\.spamhaus\.org: cannot be asked/);
        expect(status).toBe(3);
    });

    if (isLong)
        test("verify names a service that was stopped", () => {
            place.shell("docker stop $(docker ps -qf label=forwardemail.service=bree)");
            expect(command("verify", "--only", "services")).toMatchObject({ status: 1, text: expect.stringMatching(/fail +bree: exited/) });
            place.shell("docker start $(docker ps -aqf label=forwardemail.service=bree)");
        });

    if (isLong)
        test("another machine updates it at night by a timer of systemd, says how the night went, and forgets it when told", async () => {
            const tools = process.env
                .PATH!.split(":")
                .filter((one) => ["pulumi", "pulumi-resource-command"].some((file) => existsSync(path.join(one, file))));
            const variables = { ...environment(), PATH: [...tools, "/usr/sbin", "/usr/bin", "/sbin", "/bin"].join(":") };
            const needed = ["PATH", "PULUMI_BACKEND_URL", "PULUMI_HOME", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_SKIP_UPDATE_CHECK"] as const;
            // What an earlier run of this test left.
            for (const left of [`nightly/${STACK}.json`, `updates/${STACK}.jsonl`]) rmSync(path.join(WORK, left), { force: true });
            // The registry has no images of metrics, which a lock file of one's own need not name.
            const { lockFile } = config["forwardemail:images"] as { lockFile: string };
            const own = path.join(folder, "night.lock.json");
            const known = Object.entries(JSON.parse(readFileSync(lockFile, "utf8")) as object).filter(
                ([name]) => !METRICS_NAMES.includes(name as MetricsName),
            );
            writeFileSync(own, JSON.stringify(Object.fromEntries(known)));
            writeConfig({ ...config, "forwardemail:images": { lockFile: own } });
            const file = path.join(folder, "night.env");
            writeFileSync(file, needed.map((name) => `${name}=${variables[name]}\n`).join(""), { mode: 0o600 });
            const modules = path.resolve(execFileSync("npm", ["root", "--global"], { encoding: "utf8" }).trim());
            const volumes = Object.fromEntries([PROJECT, folder, modules, ...tools].map((one) => [one, one]));
            const rig = place.rig!;
            const machine = await startMachine(rig, {
                ...{ name: "operator", dir: path.join(WORK, "rehearsal-e2e", "vps"), docker: true, log: console.log },
                volumes: { ...volumes, [process.execPath]: "/usr/bin/node" },
            });
            try {
                machine.run(`ln -sf ${modules}/npm/bin/npm-cli.js /usr/bin/npm`);
                const schedule = (verb: string) =>
                    machine.run(`cd ${PROJECT} && PATH=${variables.PATH} npm run -s schedule -- ${verb} --stack ${STACK} 2>&1`);
                const unit = `${NAME}-nightly`;
                expect(schedule(`install --at 03:30 --environment ${file}`)).toMatch(
                    /is installed\.$[^]*every night at 03:30[^]* next +\w+ .* 03:3\d:\d\d [^]* last +none yet/m,
                );
                expect(schedule(`install --at 03:30 --environment ${file}`)).toContain("nothing to change");
                const env = { ...process.env, DOCKER_HOST: rig.dockerHost };
                await promisify(execFile)("docker", ["exec", machine.name, "systemctl", "start", unit], { env }).catch(() => undefined);
                const log = machine.run(`journalctl -u ${unit} -o cat --no-pager`);
                expect(log).toContain("updated from v2.15.0 to v2.15.1.");
                expect(log).not.toContain(variables.PULUMI_CONFIG_PASSPHRASE);
                // Nobody trusts its certificate, and DNS has nothing of it.
                expect(schedule("show")).toMatch(/^ {2}last +20.*Z: updated; went wrong: verify \(exit status 1\)/m);
                expect(told.join()).toContain(`${unit}: updated; went wrong: verify`);
                expect(schedule("remove")).toContain("is removed");
                expect(machine.run(`systemctl list-unit-files '${NAME}*' --no-legend || true`)).toBe("");
            } finally {
                await removeMachine(rig, machine.name);
            }
            config = { ...config, "forwardemail:version": "v2.15.1" };
            writeConfig(config);
            expect(running().map((c) => c.image)).toEqual(expect.arrayContaining([expect.stringContaining(":v2.15.1@")]));
        });

    if (isLong)
        test("what was changed after a set is undone by a restore, and comes back by undoing that", () => {
            place.shell(`sed -i '$a PATIENCE=60' ${data}/backup/backup.conf`);
            expect(command("backup").status).toBe(0);
            const set = sets().at(-1)!;
            place.shell(`touch ${data}/mailboxes/later.sqlite`);
            expect(command("restore", "--set", set)).toMatchObject({
                status: 1,
                text: expect.stringContaining(`wanted the name of this deployment, "${NAME}"`),
            });
            expect(command("restore", "--set", set, "--replace-data", NAME)).toMatchObject({ status: 0 });
            expect(listed(`${data}/mailboxes`)).not.toContain("later.sqlite");
            expect(command("restore", "--undo", "--replace-data", NAME)).toMatchObject({ status: 0 });
            expect(listed(`${data}/mailboxes`)).toContain("later.sqlite");
            place.shell(`rm ${data}/mailboxes/later.sqlite`);
        });
});

test.skipIf(isReal)("after a reboot everything is back, the firewall and the bans too", async () => {
    await place.vps!.reboot();
    for (let tries = 0; tries < 60 && running().some((c) => c.health !== "healthy"); tries++) execFileSync("sleep", ["1"]);
    expect(running().map((c) => c.health)).toEqual(servicesOf("forwarding").map(() => "healthy"));
    expect(fromOutside().map((all) => all.slice(0, 2))).toEqual([
        ["SSH-", "220 "],
        ["SSH-", "220 "],
    ]);
    // Who was closed out still is.
    expect(await Promise.all([reaches(GUESSER.ipv6, 465), reaches(GUESSER.ssh, 22), reaches(GUESSER.ipv4, 465)])).toEqual([false, false, true]);
});

test.skipIf(isReal)(
    "a new machine at the same address is refused until its key is set; then everything is made again on it, over the same data",
    async () => {
        place.shell(`touch ${data}/mailboxes/keepsake`);
        const mark = place.shell(`cat ${data}/mongodb/.forwardemail`);
        const hostKey = await place.replace!();
        const refused = command("up", "--yes");
        expect([refused.status, place.shell("command -v docker || echo bare")]).toEqual([1, "bare\n"]);
        expect(refused.text).toMatch(/fix: .*hostKey/);
        const [server] = config["forwardemail:servers"] as [Record<string, unknown>];
        config = { ...config, "forwardemail:servers": [{ ...server, hostKey }] };
        writeConfig(config);
        place.docker = { dockerHost: "", ssh: { ...(place.docker as { ssh: SshConnection }).ssh, hostKey } };
        const { status, text } = command("up", "--yes");
        expect(text).toContain("every service is healthy");
        expect(status).toBe(0);
        expect(running()).toHaveLength(servicesOf("forwarding").length);
        expect(place.shell(`cat ${data}/mongodb/.forwardemail`)).toBe(mark);
        expect(listed(`${data}/mailboxes`)).toContain("keepsake");
    },
);

describe.skipIf(isReal)("the server asks for its certificate itself", () => {
    let internet: Internet;
    let sink: Awaited<ReturnType<typeof startSink>>;
    let provided: Record<string, unknown>;
    /** Runs the renewal as its timer would; answers its status and what it said. */
    const renew = async (environment = "RENEW=now") => {
        const script = `${environment} /etc/forwardemail/certificate 2>&1 && echo status 0 || echo status $?`;
        // Not place.shell, which would hold up who watches meanwhile.
        const env = { ...process.env, DOCKER_HOST: place.rig!.dockerHost };
        const { stdout: said } = await promisify(execFile)("docker", ["exec", VPS, "bash", "-ec", script], { env });
        return { status: Number(/status (\d+)\n$/.exec(said)?.[1]), said };
    };
    /** Fingerprints of what each port shows, verified for the name that clients use there. */
    const onEveryPort = async () => {
        const seen = new Set<string>();
        for (const [port, label] of [
            [443, ""],
            [443, "api"],
            [443, "mta-sts"],
            [25, "mx"],
            [465, "smtp"],
            ...(isLong
                ? [
                      [993, "imap"],
                      [995, "pop3"],
                  ]
                : []),
        ] as Array<[number, string]>) {
            const name = label ? `${label}.${HOST}` : HOST;
            const certificate = await certificateAt(place.address, port, name, internet.ca.roots);
            expect(certificate.checkHost(name), `${label} ${port}`).toBeTruthy();
            seen.add(certificate.fingerprint256);
        }
        return seen;
    };
    const target = () => ({ address: place.address, host: HOST, ca: internet.ca.roots });
    /** The key that the application signs with is the one that DNS has had since before. */
    const expectSigningKey = (selector: string) => {
        const [publicKey] = /(?<=p=)[\w+/=]+/.exec(internet.dns.ask(`${selector}._domainkey.${HOST}`, "TXT").join("").replace(/[" ]/g, ""))!;
        const own = createPublicKey(createPrivateKey(place.shell(`cat ${data}/keys/dkim.key`)));
        expect(own.export({ type: "spki", format: "der" }).toString("base64")).toBe(publicKey);
        const environment = place.shell("docker exec $(docker ps -qf label=forwardemail.service=smtp) printenv DKIM_KEY_SELECTOR");
        expect(environment.trim()).toBe(selector);
    };
    const served443 = (label: string) => certificateAt(place.address, 443, label ? `${label}.${HOST}` : HOST);

    beforeAll(async () => {
        provided = config;
        internet = await startInternet(place.rig!, path.join(folder, "internet"));
        sink = await startSink("0.0.0.0");
        writeFileSync(path.join(folder, "roots.pem"), internet.ca.roots);
        const [server] = config["forwardemail:servers"] as [Record<string, unknown>];
        config = {
            ...config,
            "forwardemail:profile": isLong ? "full" : "forwarding",
            "forwardemail:environment": { RIG_OUTBOUND_RELAY: `${place.rig!.machine4}:${sink.port}` },
            "forwardemail:dkim": { default: "active", s2027: "next" },
            "forwardemail:servers": [{ ...server, ipv6: place.vps!.address6 }],
            "forwardemail:certificates": {
                issuer: "acme",
                email: `hostmaster@${HOST}`,
                directory: internet.ca.directory,
                rootsFile: path.join(folder, "roots.pem"),
                caaIssuer: "ca.test",
            },
            "forwardemail:dns": { zones: [{ name: HOST, dnssec: true }] },
        };
        writeConfig(config);
    });
    afterAll(async () => {
        config = isLong ? { ...provided, "forwardemail:dkim": { s2027: "active" } } : provided; // the tests after it have no internet
        writeConfig(config);
        await internet?.stop();
        sink?.close();
    });

    test("an up before its names lead anywhere says so, and the certificate that was given goes on serving", async () => {
        const { status, text } = command("up", "--yes");
        expect(text).toMatch(/warning: certificate: no name would pass, so the authority was not asked: .*own\.example\.test: has no address in DNS/);
        expect(status).toBe(0);
        expect((await served443("api")).fingerprint256).toBe(leaf.fingerprint256);
    });

    test("with the records of the stack's output the server has a certificate, for all names, on every port", async () => {
        await internet.dns.load({ [HOST]: command("output", "zone").text });
        expect(await renew("")).toMatchObject({ status: 0, said: expect.stringMatching(/installed a certificate for .* own\.example\.test/) });
        expect((await onEveryPort()).has(leaf.fingerprint256)).toBe(false);
        expect(
            place.shell(`stat -L -c '%a %U' ${data}/keys/privkey.pem; stat -c %u ${data}/keys ${data}/keys/tls/privkey.pem | sort -u | wc -l`),
        ).toMatch(/^440 .*\n1\n$/);
    });

    test("the records allow this account alone, name the key that is served, and the policy that is served", async () => {
        const { account } = JSON.parse(place.shell(`jq -c '{account: .registration.accountURL}' ${data}/acme/accounts/*/*/account.json`)) as {
            account: string;
        };
        const lookup = (name: string) => internet.dns.ask(name, "CAA");
        const us = { issuer: "ca.test", account, challenge: "http-01" } as const;
        for (const name of [`mx.${HOST}`, `api.${HOST}`, `mta-sts.${HOST}`]) {
            expect(mayIssue(name, us, lookup)).toBe(true);
            for (const other of [{ issuer: "other.test" }, { account: "x" }, { challenge: "dns-01" }] as const)
                expect(mayIssue(name, { ...us, ...other }, lookup)).toBe(false);
        }
        const spki = createHash("sha256")
            .update((await certificateAt(place.address, 25, `mx.${HOST}`)).publicKey.export({ type: "spki", format: "der" }))
            .digest("hex");
        const tlsa = internet.dns.ask(`_25._tcp.mx.${HOST}`, "TLSA").map((line) =>
            line
                .replace(/ (?=\S+$)/g, " ")
                .toLowerCase()
                .replace(/^3 1 1 /, "")
                .replaceAll(" ", ""),
        );
        expect(tlsa).toHaveLength(2);
        expect(tlsa).toContain(spki);
        const policy = await get(target(), "mta-sts", "/.well-known/mta-sts.txt");
        expect(policy).toMatchObject({ status: 200, headers: { "content-type": expect.stringMatching(/^text\/plain/) } });
        expect(policy.body).toBe(policyText({ mode: "testing", maxAge: 604_800 }, [`mx.${HOST}`]));
        expect(internet.dns.ask(`_mta-sts.${HOST}`, "TXT")).toEqual([
            `"v=STSv1; id=${policyId({ mode: "testing", maxAge: 604_800 }, [`mx.${HOST}`])}"`,
        ]);
    });

    if (isLong)
        test("a second up changes nothing, and a renewal that is not due asks for nothing", async () => {
            expect(command("up", "--yes").text).toContain("Nothing to change");
            expect(await renew("")).toMatchObject({ status: 0, said: expect.stringMatching(/^not due/) });
            expect(place.shell(`systemctl is-active forwardemail-certificate.timer`)).toBe("active\n");
        });

    if (isLong)
        test("a renewal keeps its key, fails no HTTPS request and closes a mail port for a few seconds at most", async () => {
            const before = await served443("");
            const watch = poll(target(), ["", "api", "caldav"]);
            const mail = watchPorts(place.address, [25, 465, 993, 995]);
            expect(await renew()).toMatchObject({ status: 0 });
            const { failures, requests } = await watch.stop();
            const gaps = mail.stop();
            console.log(`renewal: ${requests} HTTPS requests, longest gaps of mail ports ${JSON.stringify(gaps)} ms`);
            expect(failures).toEqual([]);
            expect(requests).toBeGreaterThan(50);
            for (const gap of Object.values(gaps)) expect(gap).toBeLessThan(5000);
            const after = await served443("");
            expect(after.fingerprint256).not.toBe(before.fingerprint256);
            expect(after.publicKey.equals(before.publicKey)).toBe(true);
            expect([...(await onEveryPort())]).toEqual([after.fingerprint256]);
            expect(place.shell("docker ps -a --format '{{.Names}}' | grep -c twin || true")).toBe("0\n");
        });

    if (isLong)
        test("mail goes in and out, from and to the outside, and is read with the names and ports that the server tells mail clients", async () => {
            const login = { user: `alice@${HOST}`, pass: "a-mailbox-password" };
            const admin = { email: `root@${HOST}`, password: "an-admin-password" };
            const { username, password } = JSON.parse(command("output", "firstRun").text) as { username: string; password: string };
            expect((await get(target(), "", "/setup", { method: "POST", auth: `${username}:${password}`, json: admin })).status).toBe(303);
            expect(await makeMailbox(target(), admin, login)).toEqual([200, 200, 200]);
            await deliver(target(), { from: "sender@example.net", to: login.user, subject: "in", text: "hello" });
            const source = await eventually("mail in the inbox", 20, async () =>
                (await readImap(target(), login)).find((text) => /^Subject: in\r$/m.test(text)),
            );
            expect(source).toContain(`X-Seen-Client: ${place.rig!.machine4}`);
            await submit(target(), login, { to: "bob@elsewhere.test", subject: "out", text: "hello" });
            await eventually("mail at the sink", 30, async () => sink.received.find((text) => /^Subject: out\r$/m.test(text)));
            const { body } = await get(target(), "autoconfig", `/mail/config-v1.1.xml?emailaddress=${login.user}`);
            const told = [...body.matchAll(/<(?:incoming|outgoing)Server type="(\w+)">\s*<hostname>(.*)<\/hostname>\s*<port>(\d+)</g)];
            expect(told.map(([, type, name, port]) => [type, name, Number(port)])).toEqual([
                ["imap", `imap.${HOST}`, 993],
                ["pop3", `pop3.${HOST}`, 995],
                ["smtp", `smtp.${HOST}`, 465],
            ]);
            const asked = await get(target(), "autodiscover", "/Autodiscover/Autodiscover.xml", { method: "POST", json: {} });
            expect([...asked.body.matchAll(/<Server>(.*)<\/Server>\s*<Port>(\d+)</g)].map(([, name, port]) => [name, Number(port)])).toEqual(
                told.map(([, , name, port]) => [name, Number(port)]),
            );
        });

    if (isLong)
        test("who guesses over IMAP or POP3 is closed out, too, from all three", async () => {
            makeGuessed();
            for (const [from, protocol] of [
                ["198.51.100.83", "imap"],
                ["2001:db8:83::1", "pop3"],
                ["198.51.100.84", "pop3"],
            ]) {
                expect([...new Set(await guess(from, protocol))]).toEqual([DENIED]);
                for (const port of [465, 993, 995]) await isClosedOut(from, port);
                expect(await logIn(from, protocol, "right or wrong")).toBe(SILENCE);
            }
        });

    // Other failures of a renewal, with a stand-in for lego: test/unit/renew.test.ts.
    if (isLong)
        test("a key file that a power cut emptied is mended, and a certificate that would lack a name leaves what works in place", async () => {
            const before = (await served443("")).fingerprint256;
            place.shell(`: > ${data}/keys/tls/privkey.pem`);
            expect(await renew("")).toMatchObject({ status: 0, said: expect.stringContaining("installed a certificate") });
            expect([...(await onEveryPort())]).toEqual([before]);
            const zone = { [HOST]: command("output", "zone", HOST).text };
            await internet.dns.load({ [HOST]: zone[HOST].replace(/^mta-sts\..*\s(A|AAAA)\s.*$/gm, "") });
            expect(await renew()).toMatchObject({
                status: 1,
                said: expect.stringMatching(/stays as it is.*mta-sts\.own\.example\.test: has no address/),
            });
            await internet.dns.load(zone);
            expect((await served443("")).fingerprint256).toBe(before);
        });

    if (isLong)
        test("by DNS-01 it has a wildcard too, and the next DKIM key takes over without a gap", async () => {
            expectSigningKey("default");
            const { name, secret } = internet.dns.tsig;
            pulumi(["config", "set", "--secret", "acmeDnsCredential", "--stack", STACK], secret);
            const certificates = config["forwardemail:certificates"] as object;
            await internet.dns.load({ [HOST]: command("output", "zone").text.replaceAll("validationmethods=http-01", "validationmethods=dns-01") });
            writeConfig({
                ...config,
                "forwardemail:dkim": { default: "retired", s2027: "active" },
                "forwardemail:certificates": {
                    ...certificates,
                    ...{ challenge: "dns-01", dnsProvider: "rfc2136", nameserver: `${internet.dns.address4}:53`, tsigKey: name },
                    extraNames: [`*.apps.${HOST}`],
                },
            });
            const { status, text } = command("up", "--yes");
            expect(text).not.toContain("warning: certificate");
            expect(status).toBe(0);
            expect((await certificateAt(place.address, 993, `imap.${HOST}`, internet.ca.roots)).checkHost(`one.apps.${HOST}`)).toBeTruthy();
            expect((await onEveryPort()).size).toBe(1);
            expectSigningKey("s2027"); // in the zone that was loaded before
            const zone = command("output", "zone", HOST).text;
            expect(zone.match(/^\w+(?=\._domainkey\b)/gm)?.sort()).toEqual(["default", "s2027"]); // mail under way is signed with the old one
            expect(text).not.toContain(secret);
            expect(place.shell(`stat -c '%a %U' /etc/forwardemail/certificate.secret; grep -c . /etc/forwardemail/certificate.secret`)).toMatch(
                /^600 root\n/,
            );
        });

    if (isLong)
        test("an authority that is gone leaves it in place too", async () => {
            const before = (await served443("")).fingerprint256;
            await internet.ca.stop();
            expect(await renew()).toMatchObject({ status: 1, said: expect.stringContaining("the authority gave none, and the old one stays") });
            expect((await served443("")).fingerprint256).toBe(before);
        });
});

test("many mistakes are told at once, before anything is touched", () => {
    const before = running().map((c) => c.id);
    writeConfig({ ...config, "forwardemail:profile": "mailboxes", "forwardemail:openFiles": "many", "forwardemail:hots": "x" });
    const { status, text } = command("up", "--yes");
    writeConfig(config);
    expect(status).toBe(1);
    for (const key of ["profile", "openFiles", "hots"]) expect(text).toMatch(new RegExp(`- ${key}: `));
    expect(running().map((c) => c.id)).toEqual(before);
});

if (isLong)
    test("down leaves the data; data without its mark is refused until it is adopted", () => {
        const key = path.join(userInfo().homedir, ".forwardemail", `${NAME}-main`, "key");
        if (place.sshKey) expect(statSync(key).mode & 0o777).toBe(0o600);
        expect(command("down").status).toBe(0);
        expect(existsSync(path.dirname(key))).toBe(false);
        expect(place.shell("docker ps -aq")).toBe("");
        expect(listed(`${data}/mongodb`)).toContain(".forwardemail");
        place.shell(`rm ${data}/mongodb/.forwardemail`);
        const refused = command("up", "--yes");
        expect(refused.status).toBe(1);
        expect(refused.text).toMatch(/REFUSED: the mongodb data \(it holds files but no mark of a deployment\)/);
        expect(running()).toEqual([]);
        writeConfig({ ...config, "forwardemail:data": { directory: data, device: place.device, adopt: true } });
        expect(command("up", "--yes").status).toBe(0);
    });

test("images:update asks a real registry for digests, names a tag that is not there and does not keep it", () => {
    const { lockFile } = place.overlay["forwardemail:images"] as { lockFile: string };
    const wanted = JSON.parse(readFileSync(lockFile, "utf8"));
    const emptied = structuredClone(wanted);
    for (const { releases } of Object.values(emptied) as Array<{ releases: Record<string, { digest: string | null }> }>)
        for (const release of Object.values(releases)) release.digest = null;
    const file = path.join(folder, "images.lock.json");
    writeFileSync(file, JSON.stringify(emptied));
    const tsx = path.join(PROJECT, "node_modules/.bin/tsx");
    const [program, ...args] = place.inside([tsx, path.join(PROJECT, "operate/images-update.ts"), "--lock-file", file, "forwardemail", "v0.0.1"]);
    const { status, stderr } = spawnSync(program, args, { encoding: "utf8" });
    expect(status).toBe(1);
    expect(stderr).toMatch(/:v0\.0\.1: the registry does not know this tag/);
    expect(JSON.parse(readFileSync(file, "utf8"))).toEqual(wanted);
});

let passphrase = "";
let mark = "";
test("removing the data leaves the directory's files to the operator, and says nothing else is left", () => {
    if (bucket) passphrase = command("output", "backups", "passphrase").text.trim();
    mark = place.shell(`cat ${data}/mongodb/.forwardemail`);
    expect(command("down", "--delete-data", NAME).status).toBe(0);
    expect(place.shell(`docker volume ls -q --filter name=${NAME}`)).toBe("");
    expect(listed(data)).toContain("mongodb");
    if (!place.vps) return;
    // What was set on the host is taken back; Docker and the data stay.
    expect(place.shell("ls /etc/ssh/sshd_config.d /etc/sysctl.d /etc/tmpfiles.d /etc/forwardemail 2>/dev/null | grep forwardemail || true")).toBe("");
    expect(place.shell("nft list tables")).not.toContain("forwardemail");
    // What makes Docker wait for the data's disk stays with it.
    expect(
        place.shell("find /etc/fail2ban /etc/systemd -name 'forwardemail*' ! -path '*/docker.service.d/*'; systemctl is-enabled fail2ban || true"),
    ).toBe("disabled\n");
    expect(place.shell("test -e /etc/docker/daemon.json || docker version -f ours-is-gone")).toBe("ours-is-gone\n");
});

if (isLong && !isReal)
    test("a server that is lost with its disk and its state comes back by a restore, and its secrets are in the stack file", () => {
        place.shell(`find ${data} -mindepth 1 -delete`);
        pulumi(["stack", "rm", "--force", "--yes", "--preserve-config", "--stack", STACK]);
        pulumi(["stack", "init", STACK]);
        expect(command("restore")).toMatchObject({ status: 1, text: expect.stringContaining("backupPassphrase: is missing") });
        writeConfig(config);
        pulumi(["config", "set", "--secret", "backupPassphrase", "--stack", STACK], passphrase);
        const { status, text } = command("restore");
        expect(text).toContain("every service is healthy");
        expect(status).toBe(0);
        expect(place.shell(`cat ${data}/mongodb/.forwardemail`)).toBe(mark);
        const file = readFileSync(FILE, "utf8");
        expect(file).toMatch(/^ {2}forwardemail:restoredSecrets:\n {4}secure: /m);
        expect(file).not.toContain("restoreFrom");
        expect(command("up", "--yes").status).toBe(0); // what brought the set is taken out
        expect(command("up", "--yes").text).toContain("Nothing to change");
    });

if (isLong && !isReal)
    test("a disk that is lost while the state is kept is no beginning: up refuses, and a restore brings back what was there", () => {
        place.shell(`docker ps -q | xargs docker stop; find ${data} -mindepth 1 -delete`);
        const refused = command("up", "--yes");
        expect(refused.text).toContain(`The data are gone from ${data}`);
        expect(refused.text).toMatch(/this deployment has no data, and .* has sets of it\. Fix: npm run restore/);
        expect([refused.status, running().filter(({ health }) => health === "healthy")]).toEqual([1, []]);
        const { status, text } = command("restore");
        expect(text).toContain("every service is healthy");
        expect(status).toBe(0);
        expect(place.shell(`cat ${data}/mongodb/.forwardemail`)).toBe(mark);
        const again = command("restore");
        expect([again.status, again.text]).toEqual([1, expect.stringContaining('--replace-data: got "", wanted the name of this deployment')]);
    });

if (isLong && !isReal)
    test("a state that is lost while the server runs: its secrets are on the server, and docs/disaster-recovery.md brings the stack back", () => {
        const kept = { passphrase: command("output", "backups", "passphrase").text.trim(), mark: place.shell(`cat ${data}/mongodb/.forwardemail`) };
        pulumi(["stack", "rm", "--force", "--yes", "--preserve-config", "--stack", STACK]);
        pulumi(["stack", "init", STACK]);
        writeConfig(config);
        for (const key of ["restoredSecrets", "backupPassphrase"]) pulumi(["config", "rm", key, "--stack", STACK]); // of the restores above
        expect(command("up", "--yes")).toMatchObject({ status: 1, text: expect.stringMatching(/fix: .*docs\/disaster-recovery\.md/) });
        const secrets = place.shell(`cat ${data}/backup/secrets.json`);
        place.shell(`docker ps -aq --filter label=forwardemail.stack=${NAME} | xargs docker rm -f; docker network rm ${NAME}`);
        for (const [key, value] of Object.entries({ restoredSecrets: secrets, backupPassphrase: kept.passphrase }))
            pulumi(["config", "set", "--secret", key, "--stack", STACK], value);
        const { status, text } = command("up", "--yes");
        expect(text).toContain("every service is healthy");
        expect(status).toBe(0);
        expect(place.shell(`cat ${data}/mongodb/.forwardemail`)).toBe(kept.mark);
        expect(command("up", "--yes").text).toContain("Nothing to change");
    });
