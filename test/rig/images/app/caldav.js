"use strict";

require("./dav")("CALDAV", "CalDAV");
