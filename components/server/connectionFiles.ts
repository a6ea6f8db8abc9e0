import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import type { ServerSettings } from "../settings/settings";
import { filesOf } from "./connection";

/**
 * Writes what ssh needs to reach the stack's servers: the pinned host keys, and the private key where the stack has one. Before anything
 * connects, and on every machine that works on the stack: a new CI runner has none of it.
 */
export function writeConnectionFiles(servers: ServerSettings[], key?: string): void {
    for (const { ssh } of servers) for (const { file, text } of ssh ? filesOf(ssh, key) : []) write(path.join(home(), file), text);
}

/** Takes them away again, with the private key: every command that needs them writes them. */
export function removeConnectionFiles(servers: ServerSettings[]): void {
    for (const { ssh } of servers)
        for (const { file } of ssh ? filesOf(ssh) : []) rmSync(path.join(home(), path.dirname(file)), { recursive: true, force: true });
}

/** Home as ssh sees it: the user database's. */
const home = () => os.userInfo().homedir;

/** Atomic, and only for this user; an unchanged file is left, because a connection may be reading it. */
function write(file: string, text: string): void {
    if (existsSync(file) && readFileSync(file, "utf8") === text) return;
    mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
    writeFileSync(`${file}.${process.pid}`, text, { mode: 0o600 });
    renameSync(`${file}.${process.pid}`, file);
}
