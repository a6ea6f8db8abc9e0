import { spawnSync } from "node:child_process";
import * as path from "node:path";
import { destination, overSsh, sshOptions } from "../components/server/connection";
import { BANS, bansValues } from "../components/server/host/bans";
import { ENGINE } from "../components/server/host/engine";
import { CONFIRM, FIREWALL, firewallRules, firewallTable, openPorts } from "../components/server/host/firewall";
import { MUST_PASS, preflightValues } from "../components/server/host/preflight";
import { SYSTEM } from "../components/server/host/system";
import { converge } from "../operate/converge";
import type { Rehearsal } from "../operate/rehearsal";
import { type Session, openStack } from "../operate/session";
import { startAgent } from "../test/rig/agent";
import { type Vps, removeVps, startVps } from "../test/rig/vps";

const STACK = "bench-ssh";
const NAME = "bench";

/** A deployment on a server over SSH, as root, to be measured against the same one on this machine's Docker. */
export class SshBench {
    private constructor(
        private readonly rehearsal: Rehearsal,
        private readonly vps: Vps,
        private readonly config: Record<string, unknown>,
        private readonly stopAgent: () => void,
    ) {}

    static async start(rehearsal: Rehearsal, config: Record<string, unknown>): Promise<SshBench> {
        await removeVps(rehearsal.host, NAME, { disk: true });
        const vps = await startVps(rehearsal.host, { name: NAME, dir: path.join(rehearsal.directory, "vps"), docker: true, log: console.log });
        const { address4: address, hostKey } = vps;
        const server = { name: "main", kind: "ssh", address, hostKey, reach: [`${address}:22`], blockLists: [] };
        const all = { ...config, "forwardemail:servers": [server], "forwardemail:network": {} };
        return new SshBench(rehearsal, vps, all, await startAgent(vps.keyFile));
    }

    /** The stack as before a first `up`, on a server that is set up and has the images. */
    async fresh(): Promise<Session> {
        this.vps.run("docker ps -aq | xargs -r docker rm -f; docker volume ls -q | xargs -r docker volume rm; docker network prune -f");
        const { stack } = await this.open();
        await stack.cancel();
        await stack.workspace.removeStack(STACK, { force: true });
        return this.open();
    }

    private open(): Promise<Session> {
        const rehearsal = { ...this.rehearsal, overlay: { ...this.rehearsal.overlay, "forwardemail:servers": this.config["forwardemail:servers"] } };
        return openStack(STACK, this.config, rehearsal);
    }

    up = async (session: Session): Promise<boolean> => (await converge(session, () => undefined)).ok;

    /** Every host script once more, each over a connection of its own, and the firewall's second one. */
    setUpAgain({ settings }: Session): void {
        const [place] = settings.servers;
        const rules = firewallRules(settings, place);
        const common = { STACK: settings.name, DOCKER_HOST: "unix:///var/run/docker.sock" };
        const steps: Array<[string, Record<string, string>, string?]> = [
            [MUST_PASS, preflightValues(settings, place)],
            [SYSTEM, { SWAP_BELOW_MIB: "3600", IPV6: "false" }],
            [ENGINE, { ENGINE: "distribution" }],
            [FIREWALL, { TABLE: firewallTable(rules), OPEN: openPorts(rules) }, CONFIRM],
            [BANS, bansValues(settings, place)!],
        ];
        for (const [script, values, confirm] of steps) {
            const variables = { ...common, ...values };
            const [program, ...args] = overSsh(place.ssh!, { variables: Object.keys(variables), confirm });
            const { status, stderr } = spawnSync(program, [...args, script], { env: { ...process.env, ...variables }, encoding: "utf8" });
            if (status !== 0) throw new Error(`A host script failed: ${stderr}`);
        }
    }

    /** As many connections as {@link setUpAgain} makes, with nothing to do. */
    roundTrips({ settings }: Session): void {
        const { ssh } = settings.servers[0];
        for (let connection = 0; connection < 6; connection++) spawnSync("ssh", [...sshOptions(ssh!), ...destination(ssh!), "true"]);
    }

    async stop(): Promise<void> {
        this.stopAgent();
        await removeVps(this.rehearsal.host, NAME, { disk: true });
    }
}
