import { createHash } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";

import { cached } from "./cache";
import { type Log, run } from "./run";

/**
 * A folder with the files of these packages of this machine's Debian or Ubuntu. They are unpacked, not installed: installing would start
 * what they bring as services of this very machine.
 */
export function unpacked(packages: string[], log: Log): Promise<string> {
    const hash = createHash("sha256")
        .update(JSON.stringify([fs.readFileSync("/etc/os-release", "utf8"), packages]))
        .digest("hex")
        .slice(0, 16);
    return cached(`debs-${hash}`, async (directory) => {
        log(`packages: ${packages.join(", ")}`);
        const debs = path.join(directory, "debs");
        fs.mkdirSync(debs, { recursive: true });
        // apt gives its sandbox's user the files that it writes, where root asks; a folder of root's own would be closed to it.
        const download = () => run("apt-get", ["download", "-o", "APT::Sandbox::User=root", ...packages], { cwd: debs });
        await download().catch(() => run("apt-get", ["update"]).then(download));
        for (const file of fs.readdirSync(debs)) await run("dpkg-deb", ["--extract", path.join(debs, file), directory]);
        fs.rmSync(debs, { recursive: true });
    });
}
