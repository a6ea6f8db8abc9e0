"use strict";

require("./dav")("CARDDAV", "CardDAV");
