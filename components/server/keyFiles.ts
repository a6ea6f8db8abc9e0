import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import type { ServerSettings } from "../settings/settings";
import { keyFile } from "./connection";

/**
 * Writes the stack's private key where ssh looks for it, if the stack has one. Before anything connects, and on every machine
 * that works on the stack: a new CI runner has none.
 */
export function writeKeys(servers: ServerSettings[], key?: string): void {
    for (const { login } of servers) if (login && key) write(atHome(keyFile(login)), key.endsWith("\n") ? key : `${key}\n`);
}

/** Takes it away again: every command that needs it writes it. */
export function removeKeys(servers: ServerSettings[]): void {
    for (const { login } of servers) if (login) rmSync(path.dirname(atHome(keyFile(login))), { recursive: true, force: true });
}

/** Home as ssh sees it: the user database's. */
const atHome = (file: string) => path.join(os.userInfo().homedir, file.replace(/^~/, ""));

/** Atomic, and only for this user; an unchanged file is left, because a connection may be reading it. */
function write(file: string, text: string): void {
    if (existsSync(file) && readFileSync(file, "utf8") === text) return;
    mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
    writeFileSync(`${file}.${process.pid}`, text, { mode: 0o600 });
    renameSync(`${file}.${process.pid}`, file);
}
