"use strict";

/** Until someone is an administrator, the whole site is behind AUTH_BASIC_* and leads to /setup. */

const { createAdmin } = require("./accounts");
const { env } = require("./env");
const { serve } = require("./http");
const { connect, version } = require("./run");

const form = `<h1>Setup</h1><form method="post"><input name="email"><input name="password" type="password"><button>Create</button></form>`;
const denied = [401, "Unauthorized", { "www-authenticate": 'Basic realm="setup"' }];

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
        if (!isOperator(credentials)) return denied;
        if (path !== "/setup") return [302, "", { location: "/setup" }];
        return method === "POST" ? [201, await createAdmin(db, body)] : [200, form];
    }
    return path === "/" ? [200, `<h1>${env.APP_NAME}</h1><p>${version}</p>`] : [404, "Not Found"];
}

serve("WEB", "Lad web", site);
const { db } = connect("WEB");
