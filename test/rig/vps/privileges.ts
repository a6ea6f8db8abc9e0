import * as fs from "node:fs";

/** Linux capabilities by number (capabilities(7)), without those that Docker 20.10 does not know: they come last. */
const capabilities = [
    ...["CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE"],
    ...["NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT"],
    ...["SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE"],
    ...["AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ"],
];

/** What a container needs to be a server with systemd and Docker. Not --privileged: that fails where this machine lacks a capability itself. */
export function privileges(): string[] {
    const own = BigInt(`0x${/^CapBnd:\s*(\w+)$/m.exec(fs.readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0"}`);
    const granted = capabilities.filter((_, number) => (own >> BigInt(number)) & 1n);
    return [
        ...["--cap-drop", "ALL", ...granted.flatMap((name) => ["--cap-add", name])],
        ...["seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined"].flatMap((option) => ["--security-opt", option]),
        ...["--cgroupns", "host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw"],
        // Disks are loop devices, which come and go.
        ...["--device-cgroup-rule", "b 7:* rwm"],
        // Packages run scripts from /tmp.
        ...["/run", "/run/lock", "/tmp:exec"].flatMap((mount) => ["--tmpfs", mount]),
    ];
}
