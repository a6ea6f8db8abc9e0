import type { RigHost } from "../host";

/** Makes a server that has just started for the first time what its provider would hand out: with keys, package sources and a registry. */
export async function setUp(host: RigHost, run: (script: string) => string, publicKey: string, files: Record<string, string>): Promise<void> {
    const [, port] = host.registry.split(":");
    const all = {
        ...files,
        // The lock names the registry as the host sees it, on loopback: there Docker asks for no certificate.
        "/etc/systemd/system/rig-registry.socket": `[Socket]\nListenStream=${host.registry}\n[Install]\nWantedBy=sockets.target\n`,
        "/etc/systemd/system/rig-registry.service": `[Service]\nExecStart=/lib/systemd/systemd-socket-proxyd ${host.servers.gateway4}:${port}\n`,
    };
    const writes = Object.entries(all).map(([file, text]) => `cat >${file} <<'END'\n${text}\nEND`);
    run(
        [
            "[ ! -e /root/.ssh/authorized_keys ] || exit 0", // the last step
            ...writes,
            "systemctl daemon-reload",
            "systemctl enable --now --quiet rig-registry.socket",
            ...["admin", "root"].map((user) => authorize(user, publicKey)),
        ].join("\n"),
    );
}

const authorize = (user: string, key: string) => `install -d -m 700 -o ${user} -g ${user} ~${user}/.ssh
install -m 600 -o ${user} -g ${user} /dev/stdin ~${user}/.ssh/authorized_keys <<'END'
${key.trim()}
END`;
