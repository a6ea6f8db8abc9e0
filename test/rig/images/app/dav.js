"use strict";

/** CalDAV and CardDAV as far as a client's first two requests: a challenge, then the principal. */

const { login } = require("./accounts");
const { serve } = require("./http");
const { connect } = require("./run");

const principal = (alias) => `<?xml version="1.0" encoding="utf-8"?>
<multistatus xmlns="DAV:"><response><href>/dav/${alias.name}@${alias.domain}/</href>
<propstat><prop><resourcetype><principal/></resourcetype></prop><status>HTTP/1.1 200 OK</status></propstat></response></multistatus>`;

module.exports = function dav(front, title) {
    serve(front, title, async ({ method, credentials }) => {
        const alias = credentials && (await login(db, credentials.user, credentials.password));
        if (!alias) return [401, "Unauthorized", { "www-authenticate": `Basic realm="${title}"` }];
        const headers = { "content-type": "application/xml; charset=utf-8", dav: "1, 3, calendar-access, addressbook" };
        return [method === "PROPFIND" ? 207 : 200, principal(alias), headers];
    });
    const { db } = connect(front);
};
