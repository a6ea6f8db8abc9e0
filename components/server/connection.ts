/** How a server is reached over SSH. Plain data; keys are in files, see {@link filesOf}. */
export interface SshConnection {
    /** Names the connection's files and its line in known_hosts: an address may change, the server stays the same. */
    alias: string;
    /** IPv4, IPv6 or DNS name. */
    address: string;
    port: number;
    /** root, or one that may use sudo without a password. */
    user: string;
    /** Public host key, `ssh-ed25519 AAAA…`: a server that shows another one is refused. */
    hostKey: string;
    /** Docker's socket on the server. */
    socket: string;
    /** Whether the stack has a private key of its own (secret sshKey); else ssh uses the operator's agent and files. */
    ownKey: boolean;
    /** A host that the server is reached through. */
    jump?: { address: string; port: number; user: string; hostKey: string };
}

/**
 * Folder of the connection's files. ssh itself expands the tilde, so that the state holds the same text on every machine; it takes
 * the home of the user database, not $HOME (`ssh_config(5)`, TOKENS), and so does whoever writes the files.
 */
const folderOf = ({ alias }: SshConnection) => `~/.forwardemail/${alias}`;

/** Files that must be there before ssh runs: path below the home directory, and text. `key` is the stack's private key. */
export function filesOf(connection: SshConnection, key?: string): Array<{ file: string; text: string }> {
    const { alias, hostKey, jump } = connection;
    const folder = folderOf(connection).slice("~/".length);
    const known = [`${alias} ${hostKey}`, ...(jump ? [`${alias}-jump ${jump.hostKey}`] : [])];
    return [
        { file: `${folder}/known_hosts`, text: `${known.join("\n")}\n` },
        ...(key ? [{ file: `${folder}/key`, text: key.endsWith("\n") ? key : `${key}\n` }] : []),
    ];
}

/** Options of ssh, for scripts and for the Docker provider alike. Never asks anything; knows the pinned host key and no other. */
export function sshOptions(connection: SshConnection): string[] {
    const { alias, jump } = connection;
    return [
        ...common(connection, alias),
        ...(jump
            ? ["-o", `ProxyCommand=ssh ${common(connection, `${alias}-jump`).join(" ")} -p ${jump.port} -W [%h]:%p ${jump.user}@${jump.address}`]
            : []),
    ];
}

function common(connection: SshConnection, alias: string): string[] {
    const folder = folderOf(connection);
    const options = {
        BatchMode: "yes",
        StrictHostKeyChecking: "yes",
        HostKeyAlias: alias,
        UserKnownHostsFile: `${folder}/known_hosts`,
        GlobalKnownHostsFile: "/dev/null",
        ...(connection.ownKey ? { IdentityFile: `${folder}/key`, IdentitiesOnly: "yes" } : {}),
        ConnectTimeout: "15",
        // Every connection is a new one, whatever the operator's ssh_config shares.
        ControlPath: "none",
        // A server that is gone ends a session after a minute instead of never.
        ServerAliveInterval: "15",
        ServerAliveCountMax: "4",
        LogLevel: "ERROR",
    };
    return Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
}

/** `user@address` and the port, as arguments of ssh. */
export const destination = ({ user, address, port }: SshConnection) => ["-p", String(port), "--", `${user}@${address}`];

/** As Docker's client and provider write it. */
export function dockerUrl({ user, address, port, socket }: SshConnection): string {
    const host = address.includes(":") ? `[${address}]` : address;
    return `ssh://${user}@${host}:${port}${socket === DOCKER_SOCKET ? "" : socket}`;
}

export const DOCKER_SOCKET = "/var/run/docker.sock";

/** A word for a POSIX shell. */
export const quote = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

/**
 * What runs a script on the server: the arguments before the script's own text, for `interpreter` of a Command. Of the local environment
 * the server sees `variables` only: sshd takes no other (AcceptEnv), and on a command line they are plain values. Standard input goes through.
 * `confirm` runs after it, over a connection of its own.
 */
export function overSsh(connection: SshConnection, variables: string[], confirm?: string): string[] {
    const ssh = ["ssh", ...sshOptions(connection), ...destination(connection)].map(quote).join(" ");
    const asRoot = connection.user === "root" ? "" : "sudo -n ";
    return [
        "/bin/sh",
        "-c",
        `quote() { printf "'%s'" "$(printf %s "$1" | sed "s/'/'\\\\\\\\''/g")"; }
words=''
value=''
for name in ${variables.join(" ")}; do
    eval "value=\\\${$name-}"
    words="$words $name=$(quote "$value")"
done
${confirm === undefined ? "exec " : ""}${ssh} "${asRoot}env$words sh -c $(quote "$1")"${confirm === undefined ? "" : ` && ${ssh} ${quote(`${asRoot}sh -c ${quote(confirm)}`)}`}`,
        "ssh",
    ];
}
