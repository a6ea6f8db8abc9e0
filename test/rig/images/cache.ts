import { createHash } from "node:crypto";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";

/** A short hash of a file's content, or of every file below a directory. */
export function hashOf(target: string): string {
    const hash = createHash("sha256");
    for (const file of filesOf(target)) hash.update(`${path.relative(target, file)}\0`).update(fs.readFileSync(file));
    return hash.digest("hex").slice(0, 16);
}

function filesOf(target: string): string[] {
    if (!fs.statSync(target).isDirectory()) return [target];
    return fs
        .readdirSync(target)
        .sort()
        .flatMap((name) => filesOf(path.join(target, name)));
}

/** Makes `name` once. It appears under its name only when complete, so an interrupted build does not count as done. */
export async function cached(name: string, make: (temporary: string) => Promise<void>): Promise<string> {
    const root = path.join(process.env.XDG_CACHE_HOME ?? path.join(os.homedir(), ".cache"), "forwardemail-pulumi");
    const target = path.join(root, name);
    if (fs.existsSync(target)) return target;
    fs.mkdirSync(root, { recursive: true });
    const temporary = path.join(root, `.${process.pid}-${name}`);
    fs.rmSync(temporary, { recursive: true, force: true });
    try {
        await make(temporary);
        fs.renameSync(temporary, target);
    } catch (error) {
        fs.rmSync(temporary, { recursive: true, force: true });
        if (fs.existsSync(target)) return target; // another run was faster: a rename does not replace its folder
        throw error;
    }
    return target;
}
