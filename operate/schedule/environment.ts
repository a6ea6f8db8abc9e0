import { existsSync, readFileSync, statSync } from "node:fs";

/**
 * The variables of a file as systemd reads them (`EnvironmentFile=`, systemd.exec(5)): NAME=value, a comment with # or ; at the start of its
 * line. What other readers would take otherwise is refused, so that a night has the same from a timer, from cron and by hand.
 * @throws Error with the file, the line and the fix; never with a value.
 */
export function parseEnvironment(file: string, text: string): Record<string, string> {
    const found: Record<string, string> = {};
    for (const [at, line] of text.split("\n").entries()) {
        if (/^\s*([#;].*)?$/.test(line)) continue;
        const [, name, value] = /^([A-Za-z_]\w*)=(.*)$/.exec(line) ?? [];
        const refuse = (what: string) => {
            throw new Error(`${file}, line ${at + 1}: ${what}`);
        };
        if (name === undefined) refuse("wanted NAME=value. Fix: without export, and without spaces around =.");
        const [, plain] = /^(?:"([^"]*)"|'([^']*)')$/.exec(value)?.filter((part) => part !== undefined) ?? [value, value];
        if (/["'\\]/.test(plain) || plain !== plain.trim())
            refuse(
                `the value of ${name} has a quote, a backslash or a space at its end, which not everybody reads the same. Fix: for a passphrase, put it alone into a file and name that with PULUMI_CONFIG_PASSPHRASE_FILE.`,
            );
        found[name] = plain;
    }
    return found;
}

/**
 * Variables of a file that nobody else can read.
 * @param users Who may own it.
 * @throws Error with the fix.
 */
export function readEnvironment(file: string, users: number[]): Record<string, string> {
    mustBePrivate("--environment", file, users);
    return parseEnvironment(file, readFileSync(file, "utf8"));
}

/**
 * What a stack needs of its file of variables, looked at before the first night.
 * @param stackFile Its parsed content.
 * @throws Error with the fix.
 */
export function checkEnvironment(stack: string, stackFile: object, file: string | undefined, users: number[]): void {
    const given = file === undefined ? {} : readEnvironment(file, users);
    const { PULUMI_CONFIG_PASSPHRASE: passphrase, PULUMI_CONFIG_PASSPHRASE_FILE: passphraseFile } = given;
    if ("encryptionsalt" in stackFile && passphrase === undefined && passphraseFile === undefined)
        throw new Error(
            `--environment: ${file ? `${file} has no passphrase` : "not given"}, and Pulumi.${stack}.yaml is encrypted with one. Fix: name a file of mode 0600 with PULUMI_CONFIG_PASSPHRASE=... or PULUMI_CONFIG_PASSPHRASE_FILE=/..., and what else pulumi needs on this machine, such as PULUMI_BACKEND_URL or AWS_PROFILE.`,
        );
    if (passphraseFile !== undefined) mustBePrivate("PULUMI_CONFIG_PASSPHRASE_FILE", passphraseFile, users.slice(0, 1)); // pulumi reads it, as that user
}

function mustBePrivate(what: string, file: string, users: number[]): void {
    if (!file.startsWith("/")) throw new Error(`${what}: got "${file}", wanted an absolute path.`);
    if (!existsSync(file) || !statSync(file).isFile()) throw new Error(`${what}: there is no file ${file}.`);
    const { mode, uid } = statSync(file);
    if ((mode & 0o077) !== 0)
        throw new Error(`${what}: others may read ${file} (mode ${(mode & 0o777).toString(8).padStart(4, "0")}). Fix: chmod 600 ${file}`);
    if (!users.includes(uid)) throw new Error(`${what}: ${file} belongs to user ${uid}. Fix: chown ${users[0]} ${file}`);
}
