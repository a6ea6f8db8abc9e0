"use strict";

/**
 * The part of the real API that a rehearsal needs, with its paths and field names. Basic auth: the administrator's email
 * and password, or the API token as user name with an empty password.
 *
 *   GET  /v1/test
 *   GET  /v1/account
 *   POST /v1/domains                                        { domain, dkim_modulus_length? }
 *   GET  /v1/domains/:domain
 *   POST /v1/domains/:domain/aliases                        { name, recipients?, has_imap? }
 *   POST /v1/domains/:domain/aliases/:name/generate-password  { new_password?, password?, is_override? }
 */

const accounts = require("./accounts");
const { env } = require("./env");
const { serve } = require("./http");
const { connect, version } = require("./run");

const showDomain = (domain) => ({
    id: domain._id,
    name: domain.name,
    dkim_modulus_length: domain.dkim_modulus_length,
    dkim_key_selector: domain.dkim_key_selector,
    dkim_public_key: domain.dkim_public_key.toString("base64"),
    return_path: domain.return_path,
    verification_record: domain.verification_record,
    smtp_dns_records: {
        dkim: { name: `${domain.dkim_key_selector}._domainkey`, value: `v=DKIM1; k=rsa; p=${domain.dkim_public_key.toString("base64")};` },
        return_path: { name: domain.return_path, value: env.WEB_HOST },
    },
});
const showAlias = ({ _id, tokens, ...alias }) => ({ id: _id, ...alias });

async function aliases(domain, user, [name, action, ...rest], method, body) {
    if (method !== "POST" || rest.length > 0) throw accounts.fail(404, "not found");
    if (!name) return [200, showAlias(await accounts.createAlias(db, domain, user, body))];
    const alias = await accounts.findAlias(db, `${name}@${domain.name}`);
    if (!alias || action !== "generate-password") throw accounts.fail(404, "not found");
    return [200, await accounts.setPassword(db, alias, body)];
}

async function api({ method, path, credentials, body }) {
    if (path === "/v1/test") return [200, { version }];
    const user = credentials && (await accounts.findUser(db, credentials));
    if (!user) return [401, { message: "Invalid API token." }, { "www-authenticate": 'Basic realm="api"' }];
    if (path === "/v1/account") return [200, { id: user._id, email: user.email, group: user.group }];
    const [v1, domains, name, kind, ...rest] = path.split("/").filter(Boolean);
    if (v1 !== "v1" || domains !== "domains") throw accounts.fail(404, "not found");
    if (!name && method === "POST") return [200, showDomain(await accounts.createDomain(db, body))];
    const domain = name && (await accounts.findDomain(db, name));
    if (!domain) throw accounts.fail(404, "no such domain");
    if (!kind && method === "GET") return [200, showDomain(domain)];
    if (kind === "aliases") return aliases(domain, user, rest, method, body);
    throw accounts.fail(404, "not found");
}

serve("API", "Lad API", api);
const { db } = connect("API");
