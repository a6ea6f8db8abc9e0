import * as fs from "node:fs";
import * as path from "node:path";
import { parse } from "yaml";
import { z } from "zod";

const schema = z.strictObject({
    ssh_authorized_keys: z.array(z.string().min(1)).default([]),
    ssh_keys: z.strictObject({ ed25519_private: z.string().min(1), ed25519_public: z.string().startsWith("ssh-ed25519 ") }).optional(),
});

/** What the rig's cloud-init can do. */
export type CloudConfig = z.infer<typeof schema>;

/** Reads user data. What is not implemented is an error: the real cloud-init would do it, or would warn where nobody looks. */
export function cloudConfig(userData = ""): CloudConfig {
    const refusal = (why: string) => new Error(`stand-in aws provider: user data: ${why}`);
    if (userData !== "" && !/^#cloud-config\r?\n/.test(userData)) throw refusal("only a document that begins with #cloud-config is available");
    let document: unknown;
    try {
        document = parse(userData) ?? {};
    } catch (error) {
        throw refusal((error as Error).message);
    }
    const { data, error } = schema.safeParse(document);
    if (!data) throw refusal(error.issues.map(({ path, message }) => [path.join("."), message].filter(Boolean).join(": ")).join("; "));
    return data;
}

/** Writes what is on the disk before sshd starts for the first time, into a folder that stands for /. Only `admin` may log in. */
export function writeSeed(root: string, { ssh_authorized_keys: keys, ssh_keys: hostKeys }: CloudConfig): void {
    fs.chmodSync(root, 0o755);
    const write = (file: string, text: string, mode: number) => {
        fs.mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
        fs.writeFileSync(path.join(root, file), text.endsWith("\n") ? text : `${text}\n`, { mode });
    };
    write("home/admin/.ssh/authorized_keys", keys.join("\n"), 0o644);
    write("etc/ssh/sshd_config.d/cloud-init.conf", "PasswordAuthentication no", 0o644);
    if (!hostKeys) return;
    write("etc/ssh/ssh_host_ed25519_key", hostKeys.ed25519_private, 0o600);
    write("etc/ssh/ssh_host_ed25519_key.pub", hostKeys.ed25519_public, 0o644);
    // The image makes keys of every kind at its first start.
    write("etc/ssh/sshd_config.d/host-key.conf", "HostKey /etc/ssh/ssh_host_ed25519_key", 0o644);
}
