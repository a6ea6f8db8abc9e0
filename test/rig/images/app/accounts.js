"use strict";

/** Users, domains and aliases in MongoDB, and who may log in. */

const crypto = require("node:crypto");
const { domainToASCII, domainToUnicode } = require("node:url");
const { env } = require("./env");

const fail = (status, message) => Object.assign(new Error(message), { status });
const random = (bytes) => crypto.randomBytes(bytes).toString("hex");

/** Secrets at rest depend on HELPER_ENCRYPTION_KEY: data met with another key cannot be used. */
function encrypt(text) {
    const iv = crypto.randomBytes(12);
    const cipher = crypto.createCipheriv("chacha20-poly1305", env.HELPER_ENCRYPTION_KEY, iv, { authTagLength: 16 });
    return Buffer.concat([iv, cipher.update(text), cipher.final(), cipher.getAuthTag()]).toString("hex");
}

function decrypt(hex) {
    const data = Buffer.from(hex, "hex");
    const decipher = crypto.createDecipheriv("chacha20-poly1305", env.HELPER_ENCRYPTION_KEY, data.subarray(0, 12), { authTagLength: 16 });
    decipher.setAuthTag(data.subarray(-16));
    return Buffer.concat([decipher.update(data.subarray(12, -16)), decipher.final()]).toString();
}

function hash(password, salt = random(16)) {
    return `${salt}:${crypto.scryptSync(password, salt, 32, { N: 1024 }).toString("hex")}`;
}

const matches = (password, stored) =>
    Boolean(stored) && crypto.timingSafeEqual(Buffer.from(hash(password, stored.split(":")[0])), Buffer.from(stored));

async function createAdmin(db, { email, password }) {
    if (!email || !password) throw fail(400, "email and password are required");
    const user = { _id: random(12), email, password: hash(password), group: "admin", has_verified_email: true, api_token: random(12) };
    await db.collection("users").insertOne(user);
    return { email, group: user.group, api_token: user.api_token };
}

/** API token as the user name, or email and password. */
async function findUser(db, { user, password }) {
    const byToken = await db.collection("users").findOne({ api_token: user });
    if (byToken) return byToken;
    const byEmail = await db.collection("users").findOne({ email: user });
    return byEmail && matches(password, byEmail.password) ? byEmail : undefined;
}

async function createDomain(db, { domain: given, dkim_modulus_length = 2048 }) {
    if (!/^[a-z0-9-]+(\.[a-z0-9-]+)+$/.test(domainToASCII(given ?? ""))) throw fail(400, "domain is not a domain name");
    if (![1024, 2048].includes(dkim_modulus_length)) throw fail(400, "dkim_modulus_length is not 1024 or 2048");
    const name = domainToUnicode(given); // as the real application stores it
    if (await db.collection("domains").findOne({ name })) throw fail(400, `${name} exists`);
    const { publicKey, privateKey } = crypto.generateKeyPairSync("rsa", {
        modulusLength: dkim_modulus_length,
        publicKeyEncoding: { type: "spki", format: "der" },
        privateKeyEncoding: { type: "pkcs8", format: "pem" },
    });
    const domain = {
        _id: random(12),
        name,
        dkim_modulus_length,
        dkim_key_selector: `fe-${random(5)}`,
        dkim_public_key: publicKey, // binary; shown in base64
        dkim_private_key: encrypt(privateKey),
        return_path: "fe-bounces",
        verification_record: random(5),
    };
    await db.collection("domains").insertOne(domain);
    return domain;
}

/** Who has a password already says it, or loses the mailbox that it is the key of. */
async function setPassword(db, alias, { new_password = random(12), password, is_override = false } = {}) {
    if (alias.tokens.length > 0 && !password && !is_override) throw fail(400, `${alias.name}@${alias.domain} has a password`);
    if (password && !hasPassword(alias, password)) throw fail(403, "Invalid password");
    await db.collection("aliases").updateOne({ _id: alias._id }, { $set: { tokens: [{ _id: random(12), hash: hash(new_password) }] } });
    return { username: `${alias.name}@${alias.domain}`, password: new_password };
}

/** Over the API an alias always has a recipient: the user's own address, where none is given. */
async function createAlias(db, domain, user, { name, recipients = [], has_imap = false }) {
    if (!/^[a-z0-9._-]+$/.test(name ?? "")) throw fail(400, "name is not a local part");
    const address = `${name}@${domain.name}`;
    const to = recipients.length > 0 ? recipients : [user.email];
    if (to.includes(address)) throw fail(400, `${address} must not be its own recipient`);
    if (await findAlias(db, address)) throw fail(400, `${address} exists`);
    // The storage location is part of the record: a later change of SQLITE_STORAGE_PATH does not move old mailboxes.
    const kept = { _id: random(12), name, recipients: to, has_imap, is_enabled: true, tokens: [], storage_location: env.SQLITE_STORAGE_PATH };
    await db.collection("aliases").insertOne({ ...kept, user: user._id, domain: domain._id });
    return { ...kept, domain: domain.name };
}

const split = (address) => {
    const at = address.lastIndexOf("@");
    return { name: address.slice(0, at).toLowerCase().split("+")[0], domain: domainToUnicode(address.slice(at + 1)) };
};
const findDomain = (db, name) => db.collection("domains").findOne({ name: domainToUnicode(name) });

/** With the name of its domain, where the database has the id. */
async function findAlias(db, address) {
    const { name, domain: domainName } = split(address);
    const domain = await findDomain(db, domainName);
    const alias = domain && (await db.collection("aliases").findOne({ name, domain: domain._id }));
    return alias ? { ...alias, domain: domain.name } : undefined;
}

const hasPassword = ({ tokens }, password) => tokens.some((token) => matches(password, token.hash));

async function login(db, address, password) {
    const alias = await findAlias(db, address ?? "");
    return alias && hasPassword(alias, password ?? "") ? alias : undefined;
}

module.exports = { createAdmin, createAlias, createDomain, decrypt, encrypt, fail, findAlias, findDomain, findUser, login, setPassword, split };
