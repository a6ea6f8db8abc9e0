import { execFileSync, spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import * as net from "node:net";
import * as path from "node:path";
import type { RigHost } from "./host";

/** SSH to a rehearsal's Docker host, as to a VPS: by key only, with a host key of its own. */
export interface Sshd {
    port: number;
    /** Public host key, `ssh-ed25519 AAAA…`. */
    hostKey: string;
    /** The private key that may log in as root. */
    privateKey: string;
    stop(): Promise<void>;
}

const PORT = 2222;

/** Starts it; every start has other keys. */
export async function startSshd(host: RigHost, directory: string): Promise<Sshd> {
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    mkdirSync("/run/sshd", { recursive: true }); // made by a unit where there is systemd
    const file = (name: string) => path.join(directory, name);
    const makeKey = (name: string) => execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "rehearsal", "-f", file(name)]);
    makeKey("host");
    makeKey("login");
    copyFileSync(file("login.pub"), file("authorized_keys"));
    const config = {
        Port: PORT,
        ListenAddress: host.address4,
        HostKey: file("host"),
        AuthorizedKeysFile: file("authorized_keys"),
        PidFile: "none",
        PermitRootLogin: "prohibit-password",
        PasswordAuthentication: "no",
        StrictModes: "no", // the folder may be anywhere
        UsePAM: "yes",
        MaxStartups: "100:30:200", // as the set-up of a server has it: the provider opens many sessions at once
    };
    writeFileSync(
        file("config"),
        `${Object.entries(config)
            .map(([key, value]) => `${key} ${value}`)
            .join("\n")}\n`,
    );
    const [program, ...argv] = host.inside(["/usr/sbin/sshd", "-D", "-f", file("config"), "-E", file("log")]);
    const child = spawn(program, argv, { stdio: "ignore" });
    const ended = new Promise((resolve) => child.once("exit", resolve));
    for (let tries = 0; !(await answers(host.address4)); tries++) {
        if (tries > 50) throw new Error(`sshd does not answer: ${existsSync(file("log")) ? readFileSync(file("log"), "utf8") : "no log"}`);
        await new Promise((resolve) => setTimeout(resolve, 100));
    }
    return {
        port: PORT,
        hostKey: readFileSync(file("host.pub"), "utf8").split(" ").slice(0, 2).join(" "),
        privateKey: readFileSync(file("login"), "utf8"),
        async stop() {
            child.kill();
            await ended;
        },
    };
}

function answers(host: string): Promise<boolean> {
    return new Promise((resolve) => {
        const socket = net.connect(PORT, host, () => resolve(true));
        socket.once("error", () => resolve(false)).once("close", () => undefined);
        socket.once("data", () => socket.destroy());
    });
}
