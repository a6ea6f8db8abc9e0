/** What is known of a connection before its server is. Plain data; a private key is in a file, see {@link keyFile}. */
export interface Login {
    /** Names the server for ssh and the file of its key: an address may change, the server stays the same. */
    alias: string;
    port: number;
    /** root, or one that may use sudo without a password. */
    user: string;
    /** Docker's socket on the server. */
    socket: string;
    /** Whether the stack has a private key of its own (secret sshKey); else ssh uses the operator's agent and files. */
    ownKey: boolean;
    /** A host that the server is reached through. */
    jump?: { address: string; port: number; user: string; hostKey: string };
}

/** How a server is reached over SSH. */
export interface SshConnection extends Login {
    /** IPv4, IPv6 or DNS name. */
    address: string;
    /** Public host key, `ssh-ed25519 AAAA…`: a server that shows another one is refused. */
    hostKey: string;
}

/**
 * File of the stack's private key. ssh itself expands the tilde, so that the state holds the same text on every machine; it takes
 * the home of the user database, not $HOME (`ssh_config(5)`, TOKENS), and so does whoever writes the file.
 */
export const keyFile = ({ alias }: Login) => `~/.forwardemail/${alias}/key`;

/** Options of ssh, for scripts and for the Docker provider alike. Never asks anything; knows the pinned host key and no other. */
export function sshOptions(connection: SshConnection): string[] {
    const { alias, hostKey, jump } = connection;
    const through = jump ? common(connection, `${alias}-jump`, jump.hostKey) : [];
    return [
        ...common(connection, alias, hostKey),
        ...(jump ? ["-o", `ProxyCommand=ssh ${through.map(quote).join(" ")} -p ${jump.port} -W [%h]:%p ${jump.user}@${jump.address}`] : []),
    ];
}

function common(connection: SshConnection, alias: string, hostKey: string): string[] {
    const options = {
        BatchMode: "yes",
        StrictHostKeyChecking: "yes",
        HostKeyAlias: alias,
        // Instead of files, which a fresh machine lacks while it only refreshes or destroys: OpenSSH 8.5 or newer.
        KnownHostsCommand: `/usr/bin/env echo ${alias} ${hostKey}`,
        UserKnownHostsFile: "/dev/null",
        GlobalKnownHostsFile: "/dev/null",
        ...(connection.ownKey ? { IdentityFile: keyFile(connection), IdentitiesOnly: "yes" } : {}),
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

export interface OverSsh {
    /** Names of variables of the local environment that the server sees. */
    variables: string[];
    /** Script that runs after it, over a connection of its own. */
    confirm?: string;
    /** How long to try to connect, in seconds: a machine that has just been made is not up yet. @default 0 */
    patience?: number;
}

/**
 * What runs a script on the server: the arguments before the script's own text, for `interpreter` of a Command. Of the local environment
 * the server sees `variables` only: sshd takes no other (AcceptEnv), and on a command line they are plain values. Standard input goes through.
 */
export function overSsh(connection: SshConnection, { variables, confirm, patience = 0 }: OverSsh): string[] {
    const ssh = ["ssh", ...sshOptions(connection), ...destination(connection)].map(quote).join(" ");
    const asRoot = connection.user === "root" ? "" : "sudo -n ";
    const wait = `end=$(($(date +%s) + ${patience}))
until ${ssh} true </dev/null 2>/dev/null || [ "$(date +%s)" -ge "$end" ]; do sleep 3; done
`;
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
${patience > 0 ? wait : ""}${confirm === undefined ? "exec " : ""}${ssh} "${asRoot}env$words sh -c $(quote "$1")"${confirm === undefined ? "" : ` && ${ssh} ${quote(`${asRoot}sh -c ${quote(confirm)}`)}`}`,
        "ssh",
    ];
}
