import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { RENEW } from "../../components/certificates/host/renew";
import { SET_UP } from "../../components/certificates/host/setUp";
import { FOLDER } from "../../components/server/host/files";
import { issue, request } from "../rig/providers/certificates";
import { generateKey, keyForms } from "../rig/providers/keys";

// The script runs as it runs on a server, only with its folders below one of the test's, and with programs in place of those that would
// reach Docker, DNS and the network.

let root: string; // etc, data, bin, run; authority: key and certificate; health: a file a container; dns: NAME.TYPE; calls, told, twin: what was done
let authority: { key: string; certificate: string };
const keys: string[] = [];

beforeAll(async () => {
    const newKey = async () => keyForms(await generateKey("ECDSA", 0, "P256")).privateKeyPem;
    const key = await newKey();
    const terms = { isCaCertificate: true, setSubjectKeyId: true, allowedUses: ["cert_signing"], validityPeriodHours: 24 };
    const asked = await request(key, { subject: { commonName: "root" } });
    authority = { key, certificate: (await issue(asked, key, terms)).certPem };
    for (let number = 0; number < 3; number++) keys.push(await newKey());
});

beforeEach(() => {
    root = mkdtempSync(path.join(tmpdir(), "renew-"));
    for (const folder of ["etc", "run", "bin", "dns", "health", "hates", "data/acme/certificates", "data/keys", "data/router"])
        mkdirSync(file(folder), { recursive: true });
    write("authority.key", authority.key);
    write("data/acme/roots.pem", authority.certificate);
    write("data/acme/accounts/authority.test/x/account.json", JSON.stringify({ registration: { accountURL: "https://authority.test/acct/7" } }));
    for (const number of [1, 2]) write(`data/acme/leaf-${number}.pem`, keys[number]);
    for (const name of ["privkey.pem", "fullchain.pem", "chain.pem"])
        for (const place of ["keys", "router"]) write(`data/${place}/${name}`, "the stack's own");
    for (const name of ["mx", "web", "router"]) write(`health/${name}`, "healthy");
    for (const [name, body] of Object.entries(PROGRAMS)) program(name, body);
    write("etc/alert", "url = x");
    configure();
    return () => rmSync(root, { recursive: true });
});

const file = (name: string) => path.join(root, name);
const read = (name: string) => (existsSync(file(name)) ? readFileSync(file(name), "utf8") : "");
function write(name: string, content: string): void {
    mkdirSync(path.dirname(file(name)), { recursive: true });
    writeFileSync(file(name), content);
}
function program(name: string, body: string): void {
    write(`bin/${name}`, `#!/bin/sh\nset -eu\n${body}\n`);
    chmodSync(file(`bin/${name}`), 0o755);
}

const PROGRAMS = {
    dig: `name=$5 type=$4
if [ -e "$ROOT/dns/$name.$type" ]; then cat "$ROOT/dns/$name.$type"; elif [ "$type" = A ]; then echo 192.0.2.1; fi`,
    curl: `case $* in
    *--config*) cat >>"$ROOT/told" ;;
    *--unix-socket*) cat >"$ROOT/twin" ;;
    *) for url; do :; done; cat "$ROOT/data/router/acme/.well-known/acme-challenge/\${url##*/}" ;;
esac`,
    flock: "",
    sync: "",
    sleep: "", // how long it waits is seen where a router serves (own.test.ts)
    // A reader does not come up while it reads the certificate that it hates; an empty file stands for all.
    docker: `health() {
    hated=$ROOT/hates/$1
    if [ -e "$hated" ] && { [ ! -s "$hated" ] || cmp -s "$hated" "$ROOT/data/keys/fullchain.pem"; }; then echo unhealthy; else echo healthy; fi
}
for last; do :; done
case $* in
    "ps -aq"*) cat "$ROOT/twins" 2>/dev/null || true ;;
    ps*) name=\${last##*=}; if [ -e "$ROOT/health/$name" ]; then echo "$name"; fi ;;
    *Health*) cat "$ROOT/health/$last" ;;
    *.Name*) echo "/x-$last" ;;
    inspect*) echo '[{"Config":{"Hostname":"h","Labels":{"forwardemail.stack":"x","other":"y"}},"HostConfig":{},"NetworkSettings":{"Networks":{}}}]' ;;
    start*) name=\${last#x-}; health "\${name%-twin}" >"$ROOT/health/$last" ;;
    restart*) health "$last" >"$ROOT/health/$last"; echo "restart $last" >>"$ROOT/calls" ;;
    "rm -f"*) echo "$*" >>"$ROOT/calls"; rm -f "$ROOT/health/$last" ;;
    exec*) echo "reload $2" >>"$ROOT/calls" ;;
    run*) exec lego "$@" ;;
esac`,
    // As lego v5 does it: cmd/cmd_run.go and cmd_run_renew.go. Of what it keeps, the .json decides whether it renews, with its copy of the key.
    lego: `domains='' force=''
while [ $# -gt 0 ]; do case $1 in
    --cert.name) kept=$ROOT/data/acme/certificates/$2; shift 2 ;;
    --private-key) key=$ROOT/data/acme/\${2#/lego/}; shift 2 ;;
    --domains) domains="\${domains:+$domains,}DNS:$2"; shift 2 ;;
    --renew-force) force=1; shift ;;
    *) shift ;;
esac; done
if [ -e "$kept.json" ]; then
    jq -e . "$kept.json" >/dev/null && openssl x509 -in "$kept.crt" -noout || exit 1
    [ -n "$force" ] || [ "$(cat "$kept.json")" != "\\"$domains\\"" ] || exit 0
    key=$kept.key
fi
echo "asked $domains" >>"$ROOT/calls"
openssl req -new -key "$key" -subj / -addext "subjectAltName=$domains" |
    openssl x509 -req -CA "$ROOT/data/acme/roots.pem" -CAkey "$ROOT/authority.key" -copy_extensions copy -days 60 -out "$kept.crt" 2>/dev/null
cp "$ROOT/data/acme/roots.pem" "$kept.issuer.crt"
[ "$key" = "$kept.key" ] || cp "$key" "$kept.key"
echo "\\"$domains\\"" >"$kept.json"`,
};

/** certificate.conf; RENEW's other values are the environment of its run. */
function configure(changes: Record<string, string> = {}): void {
    const values = {
        ...{ ACME: file("data/acme"), KEYS: file("data/keys"), ROUTER: file("data/router"), ALERT: file("etc/alert"), DOCKER_HOST: "unix:///x" },
        ...{
            LEGO: "lego",
            DIRECTORY: "https://authority.test/dir",
            ACCOUNT: "x",
            EMAIL: "a@b.test",
            CAA_ISSUER: "authority.test",
            IPV4: "192.0.2.1",
        },
        ...{ STACK: "x", CERTIFICATE: "x-1-abc", LEAF: "leaf-1.pem", NAMES: "a.test b.test", CHALLENGE: "http-01", TRUST: "roots" },
        ...{ READERS: "mx web", ROUTED: "web", ROUTER_CONF: "nginx.conf", START_TIMEOUT: "0" },
        ...changes,
    };
    write("etc/certificate.conf", `${Object.entries(values).map(([name, value]) => `${name}='${value}'\n`).join("")}export DOCKER_HOST\n`); // prettier-ignore
}

/** One run: its status, what it said, and what it did since the run before. */
function renew(environment: Record<string, string> = {}) {
    write("calls", "");
    write("told", "");
    const script = RENEW.replaceAll(FOLDER, file("etc")).replaceAll("/run/", `${file("run")}/`);
    const env = { ROOT: root, PATH: `${file("bin")}:${process.env.PATH}`, ...environment };
    const { status, stdout, stderr } = spawnSync("sh", ["-c", script], { env, cwd: root, encoding: "utf8" });
    const calls = read("calls").split("\n").filter(Boolean);
    return { status, said: stdout + stderr, calls, restarts: calls.filter((call) => call.startsWith("restart")).map((call) => call.slice(8)) };
}

const LEGO = "data/acme/certificates/x-1-abc";
const shown = (place = "keys") => read(`data/${place}/fullchain.pem`);
const names = () =>
    execFileSync("openssl", ["x509", "-noout", "-ext", "subjectAltName", "-in", file("data/keys/fullchain.pem")], { encoding: "utf8" });
/** Both places have what lego keeps, by the names that are read, and nothing is left to do. */
function expectInstalled(kept = LEGO, leaf = "leaf-1.pem"): void {
    for (const place of ["keys", "router"])
        expect(["privkey", "fullchain", "chain"].map((name) => read(`data/${place}/${name}.pem`))).toEqual(
            [`data/acme/${leaf}`, `${kept}.crt`, `${kept}.issuer.crt`].map(read),
        );
    expect(renew()).toMatchObject({ status: 0, said: expect.stringMatching(/^not due/), restarts: [] });
}
const installed = { status: 0, said: expect.stringMatching(/^installed a certificate for a\.test b\.test until/m) as string };

test("asks for all names, installs what it gets in both places, and starts the readers again, web behind a twin; then it is not due", () => {
    expect(renew()).toMatchObject({
        ...installed,
        calls: ["asked DNS:a.test,DNS:b.test", "reload router", "restart mx", "rm -f x-web-twin", "restart web", "rm -f x-web-twin"],
    });
    expect(read("told")).toBe("");
    expectInstalled();
});

test("a renewal is another certificate of the same key, and one version is left", () => {
    renew();
    const before = shown();
    expect(renew({ RENEW: "now" })).toMatchObject({ ...installed, restarts: ["mx", "web"] });
    expect(shown()).not.toBe(before);
    expect(
        execFileSync("find", [file("data/keys"), "-name", ".tls-*"], { encoding: "utf8" })
            .trim()
            .split("\n"),
    ).toHaveLength(1);
    expectInstalled();
});

describe("an installation that was not finished is finished by the next run", () => {
    const killing = (name: string, where: string) => program(name, `case "$*" in ${where}) kill -9 $PPID ;; *) exec /bin/${name} "$@" ;; esac`);

    test("killed between keys and router", () => {
        killing("chown", "*router*");
        expect(renew().status).toBe(null);
        expect([shown() === read(`${LEGO}.crt`), shown("router")]).toEqual([true, "the stack's own"]);
        rmSync(file("bin/chown"));
        expect(renew()).toMatchObject({ ...installed, restarts: ["mx", "web"] });
        expectInstalled();
    });

    test("killed before the disk has it: no link names it yet", () => {
        program("sync", "kill -9 $PPID");
        expect(renew().status).toBe(null);
        expect(existsSync(file("data/keys/tls"))).toBe(false);
        program("sync", "");
        expect(renew()).toMatchObject(installed);
    });

    test("killed before the restarts; twins of that run go", () => {
        program("docker", PROGRAMS.docker.replace("exec*)", "exec*) kill -9 $PPID;"));
        expect(renew()).toMatchObject({ status: null, restarts: [] });
        program("docker", PROGRAMS.docker);
        write("twins", "x-web-twin\n");
        expect(renew()).toMatchObject({ ...installed, restarts: ["mx", "web"], calls: expect.arrayContaining(["rm -f x-web-twin"]) });
        rmSync(file("twins"));
        expectInstalled();
    });

    test("a reader did not come up with the very first certificate", () => {
        write("hates/mx", "");
        expect(renew()).toMatchObject({ status: 1, said: expect.stringMatching(/mx did not come up with the new one$/m), restarts: ["mx"] });
        rmSync(file("hates/mx"));
        write("health/mx", "healthy");
        expect(renew()).toMatchObject({ ...installed, restarts: ["mx", "web"] });
        expectInstalled();
    });

    test.each(["keys", "router"])("a power cut left an empty key in %s", (place) => {
        renew();
        writeFileSync(file(`data/${place}/privkey.pem`), "");
        expect(renew()).toMatchObject({ ...installed, restarts: ["mx", "web"] });
        expectInstalled();
    });

    test("plain files lie over the links: another issuer was in use in between", () => {
        renew();
        for (const place of ["keys", "router"]) {
            rmSync(file(`data/${place}/fullchain.pem`));
            write(`data/${place}/fullchain.pem`, "provided");
        }
        expect(renew()).toMatchObject({ ...installed, restarts: ["mx", "web"] });
        expectInstalled();
    });
});

describe("one that works is not given up", () => {
    test("for one of another key that lacks a name", () => {
        renew();
        const before = shown();
        configure({ CERTIFICATE: "x-2-abc", LEAF: "leaf-2.pem" });
        write("dns/b.test.A", "192.0.2.9");
        expect(renew()).toMatchObject({ status: 1, said: expect.stringMatching(/it stays as it is.*b\.test: leads to/), calls: [] });
        expect(shown()).toBe(before);
    });

    test("for one that a service does not come up with; that one is not tried again by itself", () => {
        renew();
        const before = shown();
        program("sync", `cp "$ROOT/${LEGO}.crt" "$ROOT/hates/web"`);
        expect(renew({ RENEW: "now" })).toMatchObject({
            status: 1,
            said: expect.stringMatching(/web did not come up with the new one, so the old one is back$/m),
            restarts: ["mx", "mx", "web"], // web's twin fails first
        });
        expect([shown(), shown("router"), read("health/web").trim()]).toEqual([before, before, "healthy"]);
        expect(renew()).toMatchObject({ status: 1, said: expect.stringContaining("is not tried again"), calls: [] });
        rmSync(file("hates/web"));
        program("sync", "");
        expect(renew({ RENEW: "now" })).toMatchObject({ ...installed, restarts: ["mx", "web"] });
        expectInstalled();
    });

    test("and the old one is said to be back only where the services came up with it", () => {
        renew();
        write("hates/mx", "");
        const { status, said } = renew({ RENEW: "now" });
        expect([status, said]).toEqual([1, expect.stringMatching(/mx did not come up with the new one, and with the old one, .* did not: mx$/m)]);
    });

    test("a reader that was sick before is named and left out, and starts again when it is well", () => {
        write("health/mx", "unhealthy");
        expect(renew()).toMatchObject({ ...installed, said: expect.stringMatching(/not healthy before.*: mx$/m), restarts: ["web"] });
        expect(read("told")).toContain("mx");
        expect(renew()).toMatchObject({ status: 0, restarts: [] });
        write("health/mx", "healthy");
        expect(renew()).toMatchObject({ ...installed, restarts: ["mx"] });
        expectInstalled();
    });
});

describe("what would never heal by itself", () => {
    test("another key under the same number: lego would renew with its own copy of the old one", () => {
        renew();
        write("data/acme/leaf-1.pem", keys[0]);
        expect(renew()).toMatchObject(installed);
        expectInstalled();
    });

    test.each([".crt", ".key", ".issuer.crt", ".json"])("a full disk left %s empty", (ending) => {
        renew();
        write(`${LEGO}${ending}`, "");
        expect(renew()).toMatchObject(installed);
        expectInstalled();
    });

    test("back to a key whose certificate is older than the one in use", () => {
        renew();
        spawnSync("sleep", ["1"]); // certificates count in seconds
        configure({ CERTIFICATE: "x-2-abc", LEAF: "leaf-2.pem" });
        expect(renew()).toMatchObject(installed);
        configure();
        expect(renew()).toMatchObject(installed);
        expectInstalled();
    });

    test("but an older one of the same key does not come back", () => {
        renew();
        const kept = read(`${LEGO}.crt`);
        spawnSync("sleep", ["1"]);
        renew({ RENEW: "now" });
        write(`${LEGO}.crt`, kept);
        expect(renew()).toMatchObject({ status: 1, said: expect.stringContaining("it is older than the one in use") });
    });
});

describe("nothing ends it in silence", () => {
    test("a command that fails", () => {
        program("mktemp", "exit 1");
        expect(renew().status).toBe(1);
        expect(read("told")).toContain("cut short");
    });
    test("another run that goes on", () => {
        program("flock", "exit 1");
        expect(renew().status).toBe(1);
        expect(read("told")).toContain("another renewal has run");
    });
    test("a time limit, which the unit has", () => {
        program("lego", "kill $PPID; exit 1");
        expect(renew().status).toBe(143);
        expect(read("told")).toContain("cut short with status 143");
        expect(SET_UP).toMatch(/^TimeoutStartSec=1h$/m);
    });
    test("and what was told is told once", () => {
        program("lego", "echo error; exit 1");
        expect(renew().status).toBe(1);
        expect(read("told").match(/x: certificate/g)).toHaveLength(1);
    });
});

test("a wildcard is asked for as it is, whatever files are about", () => {
    write("one.a.test", "");
    configure({ NAMES: "*.a.test b.test", CHALLENGE: "dns-01", DNS_PROVIDER: "dnsupdate" });
    expect(renew()).toMatchObject({ status: 0, calls: expect.arrayContaining(["asked DNS:*.a.test,DNS:b.test"]) });
    expect(names()).toContain("*.a.test");
});

describe("a name that the authority would refuse is not asked for", () => {
    const looked = (records: Record<string, string>) => {
        for (const [name, content] of Object.entries(records)) write(`dns/${name}`, content);
        return renew();
    };
    const issuer = (parameters: string) => ({
        "b.test.CAA": `0 issue "other.test"\n0 issue "authority.test${parameters}"\n0 iodef "mailto:a@b.test"\n`,
    });

    test.each([
        ["the account", issuer("; accounturi=https://authority.test/acct/8; validationmethods=http-01")],
        ["the challenge", issuer("; accounturi=https://authority.test/acct/7; validationmethods=dns-01")],
        ["the issuer", { "b.test.CAA": '0 issue ";"\n' }],
    ])("CAA records that do not allow %s", (_, records) => {
        expect(looked(records)).toMatchObject({ status: 1, said: expect.stringMatching(/b\.test: CAA records/), calls: expect.arrayContaining(["asked DNS:a.test"]) }); // prettier-ignore
    });

    test.each(["", "; accounturi=https://authority.test/acct/7; validationmethods=dns-01,http-01"])("CAA records that allow it: %s", (parameters) => {
        expect(looked(issuer(parameters))).toMatchObject(installed);
    });

    test("one address of several is not ours; an alias to ours is good", () => {
        expect(looked({ "b.test.A": "elsewhere.test.\n192.0.2.1\n192.0.2.9\n" })).toMatchObject({
            said: expect.stringContaining("b.test: leads to"),
        });
        expect(looked({ "b.test.A": "elsewhere.test.\n192.0.2.1\n" })).toMatchObject(installed);
    });
});

test("the twin has no label by which the stack knows its own", () => {
    renew();
    expect(JSON.parse(read("twin"))).toMatchObject({ Hostname: "h-twin", Labels: { other: "y" } });
    expect(read("twin")).not.toContain("forwardemail.");
});
