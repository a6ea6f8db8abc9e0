#!/usr/bin/env node
"use strict";

/**
 * mongodump and mongorestore, by the name it is called under. Directories have the real tools' layout (DB/COLL.bson and
 * .metadata.json); an archive is this tool's own format and no use to the real mongorestore. Users are not dumped.
 *
 *   mongodump    [CONNECTION] [--db D] [--out DIR | --archive[=FILE]] [--gzip]
 *   mongorestore [CONNECTION] [--drop] [--nsExclude PATTERN] [DIR | --archive[=FILE]] [--gzip]
 *   CONNECTION   --uri | --host --port -u -p --authenticationDatabase | --config FILE (YAML lines `uri:` or `password:`)
 */

const fs = require("node:fs");
const path = require("node:path");
const zlib = require("node:zlib");
const { BSON, MongoClient } = require("mongodb");

const batchSize = 500;
const valued = {
    "--uri": "uri",
    "--host": "host",
    "-h": "host",
    "--port": "port",
    "--username": "username",
    "-u": "username",
    "--password": "password",
    "-p": "password",
    "--authenticationDatabase": "authSource",
    "--config": "config",
    "--db": "db",
    "-d": "db",
    "--out": "directory",
    "-o": "directory",
    "--nsExclude": "excluded", // admin and config, which are not dumped
};
const flags = { "--gzip": "gzip", "--drop": "drop", "--quiet": "quiet", "--archive": "archive" };

function parse(args) {
    const options = { directory: "dump", host: "127.0.0.1", port: "27017" };
    while (args.length > 0) {
        const [name, ...value] = args.shift().split("=");
        if (valued[name]) options[valued[name]] = value.length > 0 ? value.join("=") : args.shift();
        else if (flags[name]) options[flags[name]] = value.join("=") || true;
        else if (!name.startsWith("-")) options.directory = name;
        else throw new Error(`unknown option ${name}`);
    }
    // As with the real tools, secrets belong in a file, not on the command line.
    const lines = options.config ? fs.readFileSync(options.config, "utf8").split("\n") : [];
    for (const [, key, value] of lines.map((line) => /^(uri|password): *["']?(.*?)["']?\s*$/.exec(line)).filter(Boolean)) options[key] = value;
    return options;
}

function client({ uri, host, port, username, password, authSource = "admin" }) {
    const auth = username ? { auth: { username, password }, authSource } : {};
    return new MongoClient(uri ?? `mongodb://${host}:${port}`, { ...auth, directConnection: true, serverSelectionTimeoutMS: 10_000 });
}

/** Yields { file, data }; the data of a collection comes in several pieces. */
async function* read(connection, only) {
    const { databases } = only ? { databases: [{ name: only }] } : await connection.db("admin").admin().listDatabases();
    for (const { name } of databases.filter((database) => !["admin", "config", "local"].includes(database.name))) {
        const db = connection.db(name);
        for (const { name: coll, type, options } of await db.listCollections().toArray()) {
            if (type === "view" || coll.startsWith("system.")) continue;
            const indexes = await db.collection(coll).indexes();
            yield { file: `${name}/${coll}.metadata.json`, data: Buffer.from(BSON.EJSON.stringify({ options, indexes })) };
            yield { file: `${name}/${coll}.bson`, data: Buffer.alloc(0) };
            for await (const document of db.collection(coll).find({}, { raw: true })) yield { file: `${name}/${coll}.bson`, data: document };
        }
    }
}

/** Splits BSON documents that follow one another; the first four bytes of each are its length. */
function* documents(buffer) {
    for (let at = 0; at < buffer.length; at += buffer.readInt32LE(at)) yield buffer.subarray(at, at + buffer.readInt32LE(at));
}

async function dump(options) {
    const connection = client(options);
    const files = new Map();
    for await (const { file, data } of read(connection, options.db)) files.set(file, [...(files.get(file) ?? []), data]);
    await connection.close();
    const pack = (data) => (options.gzip ? zlib.gzipSync(data) : data);
    if (options.archive) {
        const entries = [...files].map(([file, data]) => BSON.serialize({ file, data: Buffer.concat(data) }));
        const archive = pack(Buffer.concat(entries));
        return fs.writeFileSync(options.archive === true ? 1 : options.archive, archive);
    }
    for (const [file, data] of files) {
        const target = path.join(options.directory, options.gzip ? `${file}.gz` : file);
        fs.mkdirSync(path.dirname(target), { recursive: true });
        fs.writeFileSync(target, pack(Buffer.concat(data)));
    }
}

function* load({ archive, directory, gzip }) {
    const unpack = (data) => (gzip ? zlib.gunzipSync(data) : data);
    if (archive) {
        for (const entry of documents(unpack(fs.readFileSync(archive === true ? 0 : archive)))) {
            const { file, data } = BSON.deserialize(entry, { promoteBuffers: true });
            yield { file, data };
        }
        return;
    }
    for (const file of fs.readdirSync(directory, { recursive: true })) {
        if (!/\.(bson|json)(\.gz)?$/.test(file)) continue;
        yield { file: file.replace(/\.gz$/, ""), data: unpack(fs.readFileSync(path.join(directory, file))) };
    }
}

async function restore(options) {
    const connection = client(options);
    for (const { file, data } of load(options)) {
        const [, name, coll, kind] = /^([^/]+)\/(.+)\.(bson|metadata\.json)$/.exec(file);
        const collection = connection.db(name).collection(coll);
        if (kind === "bson") {
            if (options.drop) await collection.deleteMany({});
            const found = [...documents(data)].map((document) => BSON.deserialize(document, { promoteValues: false }));
            for (let at = 0; at < found.length; at += batchSize) await collection.insertMany(found.slice(at, at + batchSize));
        } else {
            const { indexes } = BSON.EJSON.parse(data.toString());
            for (const { key, name: index, unique } of indexes.filter((i) => i.name !== "_id_"))
                await collection.createIndex(key, { name: index, unique });
        }
    }
    await connection.close();
}

const tool = path.basename(process.argv[1]) === "mongorestore" ? restore : dump;
Promise.resolve(process.argv.slice(2))
    .then((args) => tool(parse(args)))
    .catch((error) => {
        console.error(`Failed: ${error.message}`);
        process.exit(1);
    });
