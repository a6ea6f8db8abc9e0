"use strict";

/** One SQLite file (WAL) a mailbox. Only the sqlite service opens them. Not encrypted, unlike the real ones. */

const fs = require("node:fs");
const { DatabaseSync } = require("node:sqlite");
const { fail } = require("./accounts");

const folders = [
    ["INBOX", null],
    ["Sent Mail", "\\Sent"],
    ["Drafts", "\\Drafts"],
    ["Junk", "\\Junk"],
    ["Trash", "\\Trash"],
];
const schema = `
    PRAGMA journal_mode = WAL;
    CREATE TABLE IF NOT EXISTS folder (path TEXT PRIMARY KEY, special TEXT, validity INTEGER, next INTEGER DEFAULT 1, modseq INTEGER DEFAULT 1);
    CREATE TABLE IF NOT EXISTS message (path TEXT, uid INTEGER, modseq INTEGER, flags TEXT, date TEXT, raw BLOB, PRIMARY KEY (path, uid));`;

const open = new Map();

const location = (alias) => `/mnt/${alias.storage_location}/${alias._id}.sqlite`;

function mailbox(alias) {
    const file = location(alias);
    // A file that was moved away by a restore must not live on as an open handle.
    if (open.has(file) && fs.existsSync(file)) return open.get(file);
    const db = new DatabaseSync(file);
    db.exec(schema);
    const insert = db.prepare("INSERT OR IGNORE INTO folder (path, special, validity) VALUES (?, ?, ?)");
    for (const [path, special] of folders) insert.run(path, special, Math.floor(Date.now() / 1000));
    open.set(file, db);
    return db;
}

function folder(db, path) {
    const row = db.prepare("SELECT * FROM folder WHERE path = ?").get(path);
    if (!row) throw fail(404, `no folder ${path}`);
    return row;
}

const list = (uids) => `(${uids.map(Number).join(",")})`;
const bump = (db, path) => db.prepare("UPDATE folder SET modseq = modseq + 1 WHERE path = ? RETURNING modseq").get(path).modseq;

const actions = {
    folders: (db) => db.prepare("SELECT path, special FROM folder").all(),

    open(db, { path }) {
        const { next, validity, modseq } = folder(db, path);
        const messages = db.prepare("SELECT uid, modseq, flags, date, length(raw) AS size FROM message WHERE path = ? ORDER BY uid").all(path);
        return { next, validity, modseq, messages: messages.map((row) => ({ ...row, flags: JSON.parse(row.flags) })) };
    },

    append(db, { path, flags = [], date = new Date().toISOString(), raw }) {
        const { next, validity } = folder(db, path);
        db.prepare("UPDATE folder SET next = next + 1 WHERE path = ?").run(path);
        const insert = db.prepare("INSERT INTO message (path, uid, modseq, flags, date, raw) VALUES (?, ?, ?, ?, ?, ?)");
        insert.run(path, next, bump(db, path), JSON.stringify(flags), date, Buffer.from(raw, "base64"));
        return { uid: next, validity };
    },

    fetch(db, { path, uid }) {
        const row = db.prepare("SELECT raw FROM message WHERE path = ? AND uid = ?").get(path, uid);
        return row && Buffer.from(row.raw).toString("base64");
    },

    flag(db, { path, uids, change, flags }) {
        const rows = db.prepare(`SELECT uid, flags FROM message WHERE path = ? AND uid IN ${list(uids)}`).all(path);
        const update = db.prepare("UPDATE message SET flags = ?, modseq = ? WHERE path = ? AND uid = ?");
        return rows.map(({ uid, flags: stored }) => {
            const before = JSON.parse(stored);
            const rest = before.filter((flag) => !flags.includes(flag));
            const after = change === "set" ? flags : change === "add" ? [...rest, ...flags] : rest;
            update.run(JSON.stringify(after), bump(db, path), path, uid);
            return { uid, flags: after };
        });
    },

    remove(db, { path, uids }) {
        bump(db, path);
        db.prepare(`DELETE FROM message WHERE path = ? AND uid IN ${list(uids)}`).run(path);
        return true;
    },
};

/** Runs one action in a transaction: a message is on disk before its delivery is confirmed. */
function perform({ alias, action, ...args }) {
    if (!Object.hasOwn(actions, action)) throw fail(400, `no action ${action}`);
    const db = mailbox(alias);
    db.exec("BEGIN IMMEDIATE");
    try {
        const result = actions[action](db, args);
        db.exec("COMMIT");
        return result;
    } catch (error) {
        db.exec("ROLLBACK");
        throw error;
    }
}

const close = () => open.forEach((db) => db.close());

module.exports = { close, perform };
