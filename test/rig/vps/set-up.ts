import type { RigHost } from "../host";

type RunScript = (script: string) => string;

/** Gives a server that has just started for the first time its package sources and a registry. */
export async function setUp(host: RigHost, run: RunScript, files: Record<string, string>): Promise<void> {
    const [, port] = host.registry.split(":");
    const done = "/etc/rig-set-up";
    const all = {
        ...files,
        // The lock names the registry as the host sees it, on loopback: there Docker asks for no certificate.
        "/etc/systemd/system/rig-registry.socket": `[Socket]\nListenStream=${host.registry}\n[Install]\nWantedBy=sockets.target\n`,
        "/etc/systemd/system/rig-registry.service": `[Service]\nExecStart=/lib/systemd/systemd-socket-proxyd ${host.servers.gateway4}:${port}\n`,
    };
    const writes = Object.entries(all).map(([file, text]) => `cat >${file} <<'END'\n${text}\nEND`);
    const start = ["systemctl daemon-reload", "systemctl enable --now --quiet rig-registry.socket"];
    run([`[ ! -e ${done} ] || exit 0`, ...writes, ...start, `touch ${done}`].join("\n"));
}

/** Lets the key log in as the users. */
export function authorize(run: RunScript, users: string[], publicKey: string): void {
    const script = (user: string) => `install -d -m 700 -o ${user} -g ${user} ~${user}/.ssh
install -m 600 -o ${user} -g ${user} /dev/stdin ~${user}/.ssh/authorized_keys <<'END'
${publicKey.trim()}
END`;
    run(users.map(script).join("\n"));
}
