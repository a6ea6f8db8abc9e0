"use strict";

/**
 * Until someone is an administrator, the whole site is behind AUTH_BASIC_* and leads to /setup. Afterwards the administrator
 * (email and password, by basic auth) makes mailboxes on one page, where the real site has one for each step, and finds his API token.
 */

const accounts = require("./accounts");
const { env } = require("./env");
const { serve } = require("./http");
const { connect, version } = require("./run");

const page = (title, ...body) => `<!doctype html><title>${title}</title><h1>${title}</h1>${body.join("")}`;
const setup = page(
    "Make the administrator",
    `<form method="post" action="/setup"><p><label>Email <input name="email" type="email" required></label>`,
    `<p><label>Password <input name="password" type="password" required></label><p><button>Create</button></form>`,
);
const mailbox = `<form method="post" action="/mailboxes"><p><label>New mailbox, with its domain
    <input name="address" type="email" placeholder="you@example.localhost" required></label> <button>Add, and generate a password</button></form>`;
const denied = (realm) => [401, "Unauthorized", { "www-authenticate": `Basic realm="${realm}"` }];

const isOperator = ({ user, password } = {}) =>
    Boolean(password) && user === String(env.AUTH_BASIC_USERNAME) && password === String(env.AUTH_BASIC_PASSWORD);

// Fails open, as the real gate does: a database error shows the site.
const isSetUp = () =>
    db
        .collection("users")
        .findOne({ group: "admin" })
        .catch(() => true);

async function site({ method, path, credentials, body }) {
    if (!(await isSetUp())) {
        if (!isOperator(credentials)) return denied("setup");
        if (path !== "/setup") return [302, "", { location: "/setup" }];
        if (method !== "POST") return [200, setup];
        await accounts.createAdmin(db, body);
        return [303, "", { location: "/" }];
    }
    if (path === "/") return [200, page(env.APP_NAME, `<p>Stand-in of the rehearsal, ${version}.</p>`, mailbox)];
    const isMailbox = path === "/mailboxes" && method === "POST";
    if (!isMailbox && path !== "/my-account/security") return [404, "Not Found"];
    // Another realm than the gate's: a browser asks anew, and the answer is the administrator's email and password.
    const user = credentials && (await accounts.findUser(db, credentials));
    if (!user) return denied("administrator");
    return [200, isMailbox ? await addMailbox(user, body) : page("Security", `<p>API token <code>${user.api_token}</code></p>`)];
}

async function addMailbox(user, { address = "" }) {
    const { name, domain: domainName } = accounts.split(address);
    const domain = (await accounts.findDomain(db, domainName)) ?? (await accounts.createDomain(db, { domain: domainName }));
    const alias = (await accounts.findAlias(db, address)) ?? (await accounts.createAlias(db, domain, user, { name, has_imap: true }));
    const { username, password } = await accounts.setPassword(db, alias, { is_override: true });
    return page("Mailbox", `<p>User name <code>${username}</code>, password <code>${password}</code></p>`);
}

serve("WEB", "Lad web", site);
const { db } = connect("WEB");
