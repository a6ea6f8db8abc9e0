import type { types } from "@pulumi/docker";
import { Probe } from "./catalogue";

const WORKER_MIN_AGE_SECONDS = 10; // Docker's own measure: a container that lived this long resets its restart delay
export const PEER_PORTS = { mongodb: 27017, redis: 6379 };

/**
 * The probe of one of the application's servers. They greet before they have reached MongoDB, and exit when they cannot:
 * the greeting counts only together with the connection.
 */
export function applicationProbe(probe: Probe): string {
    return probe.kind === "worker" ? probeCommand(probe) : `{ ${connectedTo([PEER_PORTS.mongodb])}; } && ${probeCommand(probe)}`;
}

/**
 * The command that a container runs to show that its service works, as Docker's `CMD-SHELL`.
 * Probes run every two seconds while starting, so they are small programs that the images carry: curl, redis-cli, bash.
 */
export function probeCommand(probe: Probe): string {
    switch (probe.kind) {
        case "https":
            // Any answer but a 5xx: the first-run page answers 401. upstream's `curl -ksL` is content with a 500.
            return statusBelow500(`https://127.0.0.1:${probe.port}${probe.path}`);
        case "websocket":
            // The server answers an upgrade (401 without credentials) and leaves a plain GET without an answer.
            return statusBelow500(
                `https://127.0.0.1:${probe.port}/`,
                "--http1.1 -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=='",
            );
        case "greeting":
            return `curl -ksS -m 9 -o /dev/null -X ${probe.scheme.startsWith("pop3") ? "CAPA" : "NOOP"} ${probe.scheme}://127.0.0.1:${probe.port}/`;
        case "worker":
            return workerProbe(probe.peers.map((peer) => PEER_PORTS[peer]));
        case "mongodb":
            return mongoPing();
        case "redis":
            return 'test "$(redis-cli ping)" = PONG'; // the password is in REDISCLI_AUTH
        case "redirect":
            return "curl -sS -m 5 -o /dev/null http://127.0.0.1:80/ && timeout 3 bash -c '</dev/tcp/127.0.0.1/443'";
    }
}

function statusBelow500(url: string, options = ""): string {
    return `code=$(curl -ksS -m 5 -o /dev/null -w '%{http_code}' ${options ? `${options} ` : ""}${url}) && test "$code" -lt 500`;
}

/**
 * A worker listens nowhere. It works when its process has outlived Docker's restart delay (a crash loop never does) and
 * holds an established connection to each peer. Ports and states are hexadecimal in /proc/net/tcp; 01 is ESTABLISHED (proc(5)).
 */
function workerProbe(ports: number[]): string {
    const age = `age=$(( $(cut -d. -f1 /proc/uptime) - $(cut -d' ' -f22 /proc/1/stat) / $(getconf CLK_TCK) ))`;
    return [age, `test $age -ge ${WORKER_MIN_AGE_SECONDS} || { echo "started $age s ago"; exit 1; }`, connectedTo(ports)].join("; ");
}

function connectedTo(ports: number[]): string {
    const hex = (port: number) => port.toString(16).toUpperCase().padStart(4, "0");
    return ports
        .map((port) => `grep -qs ':${hex(port)} 01 ' /proc/net/tcp /proc/net/tcp6 || { echo "no connection to port ${port}"; exit 1; }`)
        .join("; ");
}

/** An OP_MSG `{ping: 1, $db: "admin"}` (MongoDB wire protocol), which needs no password; mongosh would take a second of CPU each time. */
export function mongoPingMessage(): Buffer {
    const body = Buffer.concat([
        Buffer.from("\x10ping\0", "latin1"),
        Buffer.from([1, 0, 0, 0]), // int32 ping: 1
        Buffer.from("\x02$db\0", "latin1"),
        Buffer.from([6, 0, 0, 0]),
        Buffer.from("admin\0"), // string $db: "admin"
        Buffer.from([0]),
    ]);
    const header = Buffer.alloc(16 + 4 + 1 + 4);
    header.writeInt32LE(header.length + body.length, 0);
    header.writeInt32LE(1, 4); // request id
    header.writeInt32LE(2013, 12); // OP_MSG
    header.writeInt32LE(4 + body.length, 21); // BSON length, after flags and section kind 0
    return Buffer.concat([header, body]);
}

function mongoPing(): string {
    const octal = [...mongoPingMessage()].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
    const ok = "ok\\x00\\x00{6}\\xf0\\x3f"; // double 1.0
    return `timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/27017; printf "${octal}" >&3; head -c 37 <&3 | LC_ALL=C grep -aqP "${ok}"'`;
}

/** True from Docker 25 (API 1.44), which probes often while starting and calmly afterwards. Older engines refuse `startInterval`. */
export function hasStartInterval(apiVersion: string): boolean {
    const [major, minor] = apiVersion.split(".").map(Number);
    return major > 1 || (major === 1 && minor >= 44);
}

/** Health check of a container. Durations are in Go's canonical form: any other spelling differs on every `up`. */
export function healthcheck(command: string, apiVersion: string): types.input.ContainerHealthcheck {
    const pace = hasStartInterval(apiVersion) ? { interval: "30s", startInterval: "1s" } : { interval: "2s" };
    return { tests: ["CMD-SHELL", command], ...pace, timeout: "10s", startPeriod: "2m0s", retries: 3 };
}
