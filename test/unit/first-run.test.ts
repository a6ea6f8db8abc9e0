import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer as createHttps } from "node:https";
import type { AddressInfo, Server } from "node:net";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { createServer as createTls } from "node:tls";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Api, Refused, Unanswered, apiAt } from "../../operate/firstRun/api";
import { Alias, Domain, LOGIN, QUERY, RECORDS, Seen, Stored, seen } from "../../operate/firstRun/application";
import { Guided, guide, line } from "../../operate/firstRun/guide";
import { Place, command } from "../../operate/firstRun/place";
import { stepsOf } from "../../operate/firstRun/steps";
import { PROJECT } from "../../operate/stackFile";
import { KEY, record } from "../fixtures/domainKeys";

const URL = "https://mail.example.com";
const dns = { provider: "zone-file", dmarc: { policy: "none" } } as Place["settings"]["dns"];
const PLACE: Place = {
    settings: { host: "mail.example.com", domains: ["example.com"], profile: "full", dns },
    url: URL,
    stack: "prod",
    rehearsal: false,
};
const all = (value: boolean) => Object.fromEntries(RECORDS.map((flag) => [flag, value])) as Domain["records"];
const domain = (name: string, more: Partial<Domain> = {}): Domain => ({ name, records: all(true), maySend: true, passwords: 0, ...more });
const alias = (address: string, more: Partial<Alias> = {}): Alias => {
    const [name, of] = address.split("@");
    return { name, domain: of, enabled: true, mailbox: false, passwords: 0, ...more };
};
const ROLES = ["postmaster", "abuse", "hostmaster", "dmarc", "tlsrpt"].map((name) => alias(`${name}@example.com`));
const HOST_ROLES = ["postmaster", "abuse", "hostmaster", "dmarc"].map((name) => alias(`${name}@mail.example.com`));
const OWN = alias("ada@example.com", { mailbox: true, passwords: 1 });
const SUPPORT = alias("support@mail.example.com", { passwords: 1 });
const DONE: Seen = {
    admin: { email: "ada@elsewhere.example", verified: true },
    domains: [domain("example.com"), domain("mail.example.com")],
    aliases: [OWN, SUPPORT, ...ROLES, ...HOST_ROLES],
    configured: ["example.com", "mail.example.com"],
    published: ["example.com", "mail.example.com"],
    login: "235 Authentication successful",
};
const NOTHING: Seen = { domains: [], aliases: [], configured: [], published: [], login: "" };
const next = (state: Seen, place = PLACE) => {
    const step = stepsOf(state, place).find(({ done }) => !done);
    return step && { is: [step.kind, step.domain].filter(Boolean).join(" "), how: step.how.join("\n") };
};
const other = (changes: Partial<Domain>): Domain[] => [domain("example.com", changes), domain("mail.example.com")];
const without = (...gone: Alias[]): Alias[] => DONE.aliases.filter((one) => !gone.includes(one));

describe("the next step", () => {
    test("where all is done there is none, and every step has a mark", () => {
        expect(next(DONE)).toBeUndefined();
        expect(stepsOf(DONE, PLACE).map((step) => line(step)[0])).toEqual(Array(12).fill("✓"));
        expect(stepsOf(NOTHING, PLACE).map((step) => line(step)[0])).toEqual(Array(12).fill("·"));
    });

    test.each<[string, Partial<Seen>, string, RegExp]>([
        [
            "nobody",
            { ...NOTHING, admin: undefined },
            "admin",
            /mail\.example\.com\/setup .*\nUser admin, password from: npm run -s output -- firstRun --stack prod\n/,
        ],
        [
            "an account whose address is not verified",
            { admin: { email: "ada@elsewhere.example", verified: false } },
            "admin",
            /^Verify the address ada@elsewhere\.example at .*\/verify/,
        ],
        ["no domain", { domains: [] }, "domain example.com", /example\.com at .*\/my-account\/domains\/new$/],
        ["no host", { domains: [domain("example.com")] }, "domain mail.example.com", /own mail as support@mail\.example\.com/],
        [
            "a key that the config lacks",
            { domains: other({ records: all(false) }), configured: [], published: [] },
            "records example.com",
            /Pulumi\.prod\.yaml by: npm run domains -- --stack prod\n.*npm run up -- --stack prod\n.*npm run -s output -- zone --stack prod$/,
        ],
        [
            "a key that no up has published",
            { domains: other({ records: all(false) }), published: [] },
            "records example.com",
            /^They are put into the records by: npm run up/,
        ],
        [
            "records that the application has not seen",
            { domains: other({ records: { ...all(true), has_txt_record: false } }) },
            "verified example.com",
            /\/my-account\/domains\/example\.com\n.*not see yet: the verification code\./,
        ],
        [
            "no DKIM key seen",
            { domains: other({ records: { ...all(true), has_dkim_record: false, has_dmarc_record: false } }) },
            "sending example.com",
            /\/domains\/example\.com\/verify-smtp\n.*not see yet: the DKIM key, DMARC\./,
        ],
        ["records without leave to send", { domains: other({ maySend: false }) }, "sending example.com", /\/admin\/domains\n/],
        [
            "nothing that may send: the host is first, for what follows is told by mail",
            { domains: [domain("example.com", { maySend: false }), domain("mail.example.com", { maySend: false })] },
            "sending mail.example.com",
            /\/admin\/domains\n/,
        ],
        [
            "no login and no leave to send: approving sends mail, so the login is first",
            { domains: other({ maySend: false }), login: "535 no" },
            "system mail.example.com",
            /535 no/,
        ],
        ["no mailbox", { aliases: without(OWN) }, "mailbox example.com", /with IMAP enabled, .*\/aliases\/new\n.*\/domains\/example\.com\/aliases$/],
        ["a mailbox without password", { aliases: [...without(OWN), { ...OWN, passwords: 0 }] }, "mailbox example.com", /Generate its password/],
        ["an alias that only forwards", { aliases: [...without(OWN), { ...OWN, mailbox: false }] }, "mailbox example.com", /IMAP/],
        [
            "a mailbox of a role",
            { aliases: [...without(OWN), alias("support@example.com", { mailbox: true, passwords: 1 })] },
            "mailbox example.com",
            /IMAP/,
        ],
        [
            "no support",
            { aliases: without(SUPPORT), login: "535 no" },
            "system mail.example.com",
            /Make the alias support at .*mail\.example\.com\/aliases\/new.*\nGenerate its password/,
        ],
        [
            "support with another password",
            { login: "535 Invalid password" },
            "system mail.example.com",
            /^The application's login is answered: 535 Invalid password\n.*pulumi config set --secret smtpTransportPassword --stack prod\n.*npm run up/,
        ],
        ["nobody for abuse", { aliases: without(ROLES[1]) }, "roles", /^Nobody has abuse@example\.com\n.*\/domains\/example\.com\/aliases\/new$/],
        ["a role that is off", { aliases: [...without(ROLES[0]), { ...ROLES[0], enabled: false }] }, "roles", /postmaster@example\.com/],
    ])("%s", (_, changes, is, how) => {
        expect(next({ ...DONE, ...changes })).toEqual({ is, how: expect.stringMatching(how) });
    });

    test("one alias that takes all is somebody for every address of its domain", () => {
        expect(next({ ...DONE, aliases: [...without(...ROLES), alias("*@example.com")] })).toBeUndefined();
    });

    test("an alias that is a pattern is somebody for the addresses that fit, as verify has it; one that is off is nobody", () => {
        const pattern = alias("/^(postmaster|abuse|hostmaster|dmarc|tlsrpt)$/@example.com");
        expect(next({ ...DONE, aliases: [...without(...ROLES), pattern] })).toBeUndefined();
        expect(next({ ...DONE, aliases: [...without(...ROLES), { ...pattern, enabled: false }] })).toMatchObject({ is: "roles" });
    });

    test("a forwarding stack wants no password of an alias, and a password of the domain for its own mail", () => {
        const forwarding: Place = { ...PLACE, settings: { ...PLACE.settings, profile: "forwarding" } };
        expect(next({ ...DONE, aliases: [...without(OWN), alias("ada@example.com")] }, forwarding)).toBeUndefined();
        const how = next({ ...DONE, aliases: without(SUPPORT), login: "535 no" }, forwarding)!.how;
        expect(how).toMatch(/catch-all password\) at .*advanced-settings/);
        expect(
            next({ ...DONE, domains: [domain("example.com"), domain("mail.example.com", { passwords: 1 })], login: "535 no" }, forwarding)!.how,
        ).toMatch(/^The application's login is answered/);
    });

    test("a stack without DNS tells where the records are shown", () => {
        const bare: Place = { ...PLACE, settings: { ...PLACE.settings, dns: undefined } };
        expect(next({ ...DONE, domains: other({ records: all(false) }) }, bare)).toEqual({
            is: "records example.com",
            how: expect.stringMatching(/keeps no DNS records: publish those of .*\/domains\/example\.com and .*\/verify-smtp$/),
        });
    });

    test("names that no DNS knows: the stand-in does not ask, and the real application lets support@ not log in", () => {
        const settings = { ...PLACE.settings, host: "mail.localhost", domains: ["example.localhost"], dns: undefined };
        const kinds = (rehearsal: boolean) => stepsOf(NOTHING, { ...PLACE, settings, rehearsal, stack: "dev" }).map(({ kind }) => kind);
        expect(kinds(true)).toEqual(["admin", "domain", "domain", "mailbox", "system", "roles"]);
        expect(kinds(false)).toEqual(["admin", "domain", "domain", "mailbox", "roles"]);
    });

    test("commands name the stack, and the rehearsal", () => {
        expect(command({ stack: "dev", rehearsal: false }, "up")).toBe("npm run up");
        expect(command({ stack: "prod", rehearsal: true }, "-s output", "firstRun")).toBe("npm run -s output -- firstRun --stack prod --rehearse");
    });
});

describe("what the application has", () => {
    const stored: Stored = {
        admins: [{ email: "ada@elsewhere.example" }],
        domains: [
            {
                _id: { $oid: "1" },
                name: "bücher.example",
                dkim_key_selector: "fe-0123456789",
                dkim_public_key: { $binary: { base64: KEY } },
                verification_record: "a1b2c3",
                has_mx_record: true,
                passwords: 1,
            },
        ],
        aliases: [
            { name: "ada", domain: { $oid: "1" }, has_imap: true, passwords: 1 },
            { name: "bob", domain: { $oid: "gone" }, passwords: 0 },
        ],
    };

    test("is read in names that DNS and the config have; an alias of no domain is nobody's", () => {
        const name = "xn--bcher-kva.example";
        const published: string[] = [];
        const state = seen(stored, { [name]: record() }, (...args) => Boolean(published.push(...args)), "535 no");
        expect(state).toEqual({
            admin: { email: "ada@elsewhere.example", verified: false },
            domains: [{ name, records: { ...all(false), has_mx_record: true }, maySend: false, passwords: 1 }],
            aliases: [{ name: "ada", domain: name, enabled: true, mailbox: true, passwords: 1 }],
            configured: [name],
            published: [name],
            login: "535 no",
        });
        expect(published).toEqual(["fe-0123456789", name]);
        expect(seen(stored, {}, () => true, "").published).toEqual([]);
    });

    test("is asked for without hashes and keys: they are counted where they are", () => {
        expect(QUERY).not.toMatch(/private|hash|salt|api_token|password:/);
        // What mongosh runs, on documents as the application has them.
        const store = {
            users: [{ email: "a@b.example" }],
            domains: [{ name: "b.example", tokens: [{ hash: "secret" }] }],
            aliases: [{ name: "a", tokens: [{ hash: "secret" }, {}] }, { name: "b" }],
        } as Record<string, object[]>;
        const collections = Object.fromEntries(Object.entries(store).map(([name, list]) => [name, { find: () => ({ toArray: () => list }) }]));
        let printed = "";
        const run = new Function("db", "EJSON", "print", QUERY) as (...args: unknown[]) => void;
        run({ getSiblingDB: () => collections }, JSON, (text: string) => (printed = text));
        expect(printed).not.toContain("secret");
        expect(JSON.parse(printed)).toMatchObject({ domains: [{ passwords: 1 }], aliases: [{ passwords: 2 }, { passwords: 0 }] });
    });
});

describe("over TLS", () => {
    const directory = mkdtempSync(path.join(tmpdir(), "first-run-"));
    const file = (name: string) => path.join(directory, name);
    const keys = () => ({ key: readFileSync(file("key.pem")), cert: readFileSync(file("cert.pem")) });
    beforeAll(() => {
        const names = ["-subj", "/CN=api.mail.example.com", "-addext", "subjectAltName=DNS:api.mail.example.com,DNS:localhost"];
        const args = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", file("key.pem"), "-out", file("cert.pem"), "-days", "2", ...names];
        execFileSync("openssl", args, { stdio: "ignore" });
    });
    afterAll(() => rmSync(directory, { recursive: true }));
    const listening = async (server: Server) => {
        await once(server.listen(0, "127.0.0.1"), "listening");
        return (server.address() as AddressInfo).port;
    };

    test("the API: the token is the user name, answers are read, and a refusal has the application's own words", async () => {
        const heard: unknown[] = [];
        const answers: Array<[number, string]> = [
            [200, '{"id":"1"}'],
            [200, "Domain's records have been verified."],
            [400, '{"message":["<li>MX is missing.</li>","TXT is missing."]}'],
            [401, '{"statusCode":401,"message":"Invalid API token."}'],
            [502, "<html><h1>Bad Gateway</h1></html>"],
        ];
        const server = createHttps(keys(), async (request, response) => {
            let body = "";
            for await (const part of request) body += part;
            heard.push([request.method, request.url, request.headers.host, request.headers.authorization, body]);
            const [status, text] = answers.shift()!;
            response.writeHead(status).end(text);
        });
        const args = { address: "127.0.0.1", port: await listening(server), name: "api.mail.example.com", token: "t0ken" };
        const api = apiAt({ ...args, authority: keys().cert.toString() });
        expect(await api.call("POST", "/v1/domains", { domain: "example.com" })).toEqual({ id: "1" });
        expect(heard).toEqual([["POST", "/v1/domains", "api.mail.example.com", `Basic ${btoa("t0ken:")}`, '{"domain":"example.com"}']]);
        expect(await api.call("GET", "/v1/domains/example.com/verify-records")).toBe("Domain's records have been verified.");
        const refusal = (status: number, message: string) => expect(api.call("GET", "/")).rejects.toEqual(new Refused(status, message));
        await refusal(400, "400: MX is missing. TXT is missing.");
        await refusal(401, "401: Invalid API token.");
        await refusal(502, "502: Bad Gateway");
        const untrusted = apiAt(args).call("GET", "/v1/account"); // its authority is named by nobody
        await expect(untrusted).rejects.toBeInstanceOf(Unanswered);
        await expect(untrusted).rejects.toThrow(/self-signed/);
        server.close();
    });

    test.each([
        ["235 2.7.0 Authentication successful", "235 2.7.0 Authentication successful"],
        ["535-5.7.8 Wrong.\r\n535 5.7.8 Go to the web interface", "535 5.7.8 Go to the web interface"],
    ])("the application's own login: %j", async (answer, expected) => {
        let heard = "";
        const server = createTls(keys(), (socket) => {
            socket.write("220 smtp\r\n");
            socket
                .setEncoding("utf8")
                .on("error", () => undefined)
                .on("data", (part: string) => {
                    heard += part;
                    socket.write(part.startsWith("EHLO") ? "250-smtp\r\n250 AUTH PLAIN\r\n" : `${answer}\r\n`);
                });
        });
        const port = String(await listening(server));
        const env = {
            WEB_HOST: "mail.example.com",
            SMTP_HOST: "localhost",
            SMTP_PORT: port,
            SMTP_TRANSPORT_PASS: "pa,ss",
            NODE_EXTRA_CA_CERTS: file("cert.pem"),
        };
        const { stdout } = await promisify(execFile)(process.execPath, ["-e", LOGIN], { env });
        server.close();
        expect(stdout).toBe(`${expected}\n`);
        expect(heard).toBe(`EHLO mail.example.com\r\nAUTH PLAIN ${btoa("\0support@mail.example.com\0pa,ss")}\r\n`);
    });

    test("the application's own login, where nobody listens or nobody is trusted", async () => {
        const server = createTls(keys());
        const port = String(await listening(server));
        const login = (env: NodeJS.ProcessEnv) => promisify(execFile)(process.execPath, ["-e", LOGIN], { env });
        const env = { WEB_HOST: "mail.example.com", SMTP_HOST: "localhost", SMTP_PORT: port, SMTP_TRANSPORT_PASS: "x" };
        expect((await login(env)).stdout).toMatch(/self-signed certificate/);
        server.close();
        expect((await login({ ...env, SMTP_PORT: "1" })).stdout).toMatch(/ECONNREFUSED/);
    });
});

describe("a secret that is typed", () => {
    /** On a terminal of its own; what is typed comes when it was asked for. */
    async function typed(keys: string): Promise<{ status: number; text: string }> {
        const program = 'import { askHidden } from "./operate/ask"; void askHidden("Token: ").then((t) => console.log(`got ${t.length}`));';
        const child = spawn("script", ["-qec", `node_modules/.bin/tsx -e '${program}'`, "/dev/null"], {
            cwd: PROJECT,
            stdio: ["pipe", "pipe", "inherit"],
        });
        let text = "";
        let asked = false;
        child.stdout.on("data", (part: Buffer) => {
            text += String(part);
            if (!asked && (asked = text.includes("Token: "))) setTimeout(() => child.stdin.write(keys), 300);
        });
        const [status] = (await once(child, "close")) as [number];
        return { status, text };
    }

    test("is not shown, and Ctrl-C ends the program", async () => {
        const [{ status, text }, stopped] = await Promise.all([typed("s3cret-token\r"), typed("s3c\x03")]);
        expect(text).toMatch(/^Token: \s*got 12\s*$/);
        expect(status).toBe(0);
        expect(stopped.text).not.toContain("got");
        expect(stopped.status).not.toBe(0);
    });
});

const SECRETS = { token: "the-api-token", system: "SystemPassword1", own: "own-password-2" };

/** A deployment whose application does what it is asked, and a person who answers in order. */
function play(
    changes: Partial<Seen>,
    answers: Array<string | boolean>,
    { place = PLACE, later = [] as Array<() => void>, more = {} as Partial<Guided> } = {},
) {
    const state: Seen = structuredClone({ ...DONE, ...changes });
    const log: string[] = [];
    const calls: string[] = [];
    const said = (question: string) => {
        log.push(question);
        if (answers.length === 0) expect.unreachable(`nobody answers ${question}`);
        return answers.shift()!;
    };
    const api: Api = {
        async call(method, url, body = {}) {
            calls.push(`${method} ${url} ${JSON.stringify(body)}`);
            const [, of, name] = /^\/v1\/domains\/([^/]+)(?:\/aliases\/([^/]+))?/.exec(url) ?? [];
            const given = body as { domain: string; name: string; has_imap?: boolean };
            if (url === "/v1/domains") state.domains.push(domain(given.domain));
            else if (url.endsWith("/aliases")) state.aliases.push(alias(`${given.name}@${of}`, { mailbox: given.has_imap ?? false }));
            else if (name) state.aliases.find((one) => one.name === name && one.domain === of)!.passwords++;
            if (name === "support" || url.endsWith("catch-all-passwords")) state.login = "235 ok";
            return url.endsWith("generate-password") ? { username: `${name}@${of}`, password: SECRETS.own } : "Verified.";
        },
    };
    const guided: Guided = {
        place,
        look: async () => structuredClone(state),
        api: (token) => (token === SECRETS.token ? api : { call: () => Promise.reject(new Refused(401, "401: Invalid API token.")) }),
        systemPassword: async () => SECRETS.system,
        run: (name) => Boolean(calls.push(`npm run ${name}`)),
        terminal: {
            say: (text) => log.push(text),
            progress: (text) => log.push(text),
            ask: async (question) => said(question) as string,
            askHidden: async (question) => said(question) as string,
            confirm: async (question) => said(question) as boolean,
            async wait() {
                if (later.length === 0) expect.unreachable(`it waits for ever: ${log.join("\n")}`);
                later.shift()!();
            },
        },
        ...more,
    };
    return { state, calls, answers, guided, log, text: () => log.join("\n") };
}

describe("the guide", () => {
    test("by hand: it waits for each step, says what is left, and looks on where the database restarts", async () => {
        const { state, guided, text, log } = play({ ...DONE, admin: undefined, aliases: without(OWN) }, [""], {
            later: [
                () => undefined,
                () => (state.admin = { email: "ada@elsewhere.example", verified: true }),
                () => {
                    const { look } = guided;
                    guided.look = async () => {
                        guided.look = look;
                        throw new Error("The stack does not run\n  fix: x");
                    };
                },
                () => state.aliases.push(OWN),
            ],
        });
        await guide(guided);
        expect(text()).toMatch(
            /→ the administrator's account[^]*✓ the administrator's account[^]*API token \(empty: by hand\)[^]*→ a mailbox of your own/,
        );
        expect(log).toContain("  waiting for it … 4 s (Ctrl-C ends this; the next run goes on from here)");
        expect(text()).toMatch(/waiting for it … 4 s \(.*\); The stack does not run$/m);
        expect(log.filter((one) => one.startsWith("✓"))).toHaveLength(12);
    });

    test("with a token it makes domains, aliases and passwords itself, and shows one password once, when asked to", async () => {
        const { calls, guided, text, answers } = play({ domains: [], aliases: [], login: "535 no" }, ["wrong", SECRETS.token, "Ada", true]);
        await guide(guided);
        expect(answers).toEqual([]);
        expect(text()).toContain("The application refuses it (401: Invalid API token.).");
        const domains = ["example.com", "mail.example.com"];
        const to = { recipients: ["ada@example.com"] };
        expect(calls).toEqual([
            "GET /v1/account {}",
            ...domains.map((name) => `POST /v1/domains ${JSON.stringify({ domain: name, plan: "team", catchall: false })}`),
            'POST /v1/domains/example.com/aliases {"name":"ada","has_imap":true}',
            "POST /v1/domains/example.com/aliases/ada/generate-password {}",
            `POST /v1/domains/mail.example.com/aliases ${JSON.stringify({ name: "support", ...to })}`,
            `POST /v1/domains/mail.example.com/aliases/support/generate-password {"new_password":"${SECRETS.system}"}`,
            ...[...ROLES, ...HOST_ROLES].map(({ name, domain: of }) => `POST /v1/domains/${of}/aliases ${JSON.stringify({ name, ...to })}`),
        ]);
        expect(text()).toContain(`User name ada@example.com, password ${SECRETS.own}`);
        expect(text()).toContain("a copy of its mail goes to ada@elsewhere.example");
        for (const secret of [SECRETS.token, SECRETS.system, "wrong"]) expect(text()).not.toContain(secret);
    });

    test("one address that is refused is told, and the others are made all the same", async () => {
        const { calls, guided, text, state } = play({ aliases: without(...ROLES) }, [SECRETS.token], {
            later: [() => state.aliases.push(ROLES[0])],
        });
        const { api } = guided;
        guided.api = (token) => ({
            call: (...args) =>
                JSON.stringify(args[2])?.includes("postmaster") ? Promise.reject(new Refused(400, "400: It exists.")) : api(token).call(...args),
        });
        await guide(guided);
        expect(text()).toContain(
            "  postmaster@example.com: The application refuses it (400: It exists.).\n  abuse@example.com goes to ada@example.com.",
        );
        expect(calls).toHaveLength(ROLES.length); // all but that one, and the account's
    });

    test.each(["support", "postmaster", "DMARC", "*", "/a/"])("%s is nobody's own address: another is asked for", async (name) => {
        const { calls, guided, text } = play({ aliases: without(OWN) }, [SECRETS.token, name, "ada", true]);
        await guide(guided);
        expect(text()).toContain(`${name.toLowerCase()}@example.com is for a role, not somebody's own`);
        expect(calls.filter((call) => call.includes("/aliases"))).toHaveLength(2);
    });

    test("a password that nobody asked to see is not made", async () => {
        const { calls, guided, text, state } = play({ aliases: without(OWN) }, [SECRETS.token, "ada", false], {
            later: [() => state.aliases.push(OWN)],
        });
        await guide(guided);
        expect(calls.join()).not.toContain("generate-password");
        expect(text()).not.toContain(SECRETS.own);
    });

    test("the administrator's own address is left to the web interface: over the API it would forward to itself", async () => {
        const { calls, guided, text, state } = play(
            { aliases: without(OWN), admin: { email: "ada@example.com", verified: true } },
            [SECRETS.token, "ada"],
            {
                later: [() => state.aliases.push(OWN)],
            },
        );
        await guide(guided);
        expect(text()).toContain("would forward to itself");
        expect(calls).toEqual(["GET /v1/account {}"]);
    });

    test.each([
        ["refusal", new Refused(400, "400: Domain exists."), "  The application refuses it (400: Domain exists.)."],
        ["silence", new Unanswered("api does not answer"), "  The API cannot be asked: api does not answer."],
    ])("a %s is told, and the step is left to hands", async (_, error, told) => {
        const refused: Api = { call: (method) => (method === "GET" ? Promise.resolve({}) : Promise.reject(error)) };
        const { guided, text, state } = play({ domains: [domain("example.com")] }, [SECRETS.token], {
            later: [() => state.domains.push(domain("mail.example.com"))],
            more: { api: () => refused },
        });
        await guide(guided);
        expect(text()).toContain(told);
    });

    test("an API that does not answer is told, and all is by hand", async () => {
        const { guided, text, state } = play({ aliases: without(OWN) }, ["any"], {
            later: [() => state.aliases.push(OWN)],
            more: { api: () => ({ call: () => Promise.reject(new Unanswered("connect ECONNREFUSED")) }) },
        });
        await guide(guided);
        expect(text()).toContain("The API cannot be asked: connect ECONNREFUSED.");
    });

    test("records: domains and up are run when told to; then the application is asked to look, every twenty seconds", async () => {
        const { calls, guided, state } = play({ domains: other({ records: all(false) }), configured: [], published: [] }, [SECRETS.token, true], {
            later: Array.from({ length: 20 }, (_, at) => () => at === 7 && (state.domains = DONE.domains)),
            more: {
                run: (name) => {
                    if (name === "up") state.published = DONE.published;
                    return Boolean(calls.push(`npm run ${name}`));
                },
            },
        });
        await guide(guided);
        const verify = "GET /v1/domains/example.com/verify-records {}";
        expect(calls).toEqual(["GET /v1/account {}", "npm run domains", "npm run up", verify, verify]);
    });

    test("SMTP is verified over the API once the administrator has given the access, and not before: it would send mail", async () => {
        const pending = { records: { ...all(true), has_dkim_record: false }, maySend: false };
        const { calls, guided, state } = play({ domains: other(pending) }, [SECRETS.token], {
            later: Array.from({ length: 15 }, (_, at) => () => {
                if (at === 6) state.domains = other({ ...pending, maySend: true });
                if (at === 11) state.domains = DONE.domains;
            }),
        });
        await guide(guided);
        expect(calls).toEqual(["GET /v1/account {}", "GET /v1/domains/example.com/verify-smtp {}"]);
    });

    test("records: no up after a domains that was declined or failed", async () => {
        const { calls, guided, state } = play({ domains: other({ records: all(false) }), configured: [], published: [] }, ["", true], {
            later: [() => (state.domains = DONE.domains)],
            more: { run: (name) => !calls.push(`npm run ${name}`) },
        });
        await guide(guided);
        expect(calls).toEqual(["npm run domains"]);
    });

    test("support@ with a password that was generated by hand: it is kept in the config, and an up brings it", async () => {
        const kept: string[] = [];
        const { guided, text, state } = play({ login: "535 no" }, ["", "typed-by-hand", true], {
            more: {
                keepSystemPassword: (password) => void kept.push(password),
                run: (name) => Boolean(name === "up" && (state.login = "235 ok")),
            },
        });
        await guide(guided);
        expect(kept).toEqual(["typed-by-hand"]);
        expect(text()).toContain("It is in Pulumi.prod.yaml now, encrypted.");
        expect(text()).not.toContain("typed-by-hand");
    });

    test("support@ with a password of another making: the API changes it for the deployment's, against the old one", async () => {
        const { calls, guided } = play({ login: "535 no" }, [SECRETS.token, "old-one"]);
        await guide(guided);
        expect(calls.at(-1)).toBe(
            `POST /v1/domains/mail.example.com/aliases/support/generate-password {"new_password":"${SECRETS.system}","password":"old-one"}`,
        );
    });

    test("support@ without mailboxes: the domain takes the deployment's password", async () => {
        const place: Place = { ...PLACE, settings: { ...PLACE.settings, profile: "forwarding" } };
        const { calls, guided } = play({ aliases: without(SUPPORT), login: "535 no" }, [SECRETS.token], { place });
        await guide(guided);
        expect(calls.at(-1)).toMatch(/^POST \/v1\/domains\/mail\.example\.com\/catch-all-passwords \{"new_password":"SystemPassword1"/);
    });
});
