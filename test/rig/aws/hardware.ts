import type { Account } from "./account";
import type { CloudConfig } from "./cloud-init";

/** What the account's objects are made of. A test of the account alone puts nothing in its place. */
export interface Hardware {
    /** An IPv4 address of the rig by the number it ends with. */
    address(number: number): string;
    /** The number of a server that is not there yet. */
    freeNumber(): Promise<number>;
    /** Makes public addresses, routes and security groups be as the account has them. */
    connect(account: Account): Promise<void>;
    boot(instanceId: string, number: number, config: CloudConfig): Promise<void>;
    /** Stops it and starts it again. */
    reboot(instanceId: string): Promise<void>;
    stop(instanceId: string): Promise<void>;
    terminate(instanceId: string): Promise<void>;
    /** Makes a volume, or enlarges it. */
    makeVolume(volumeId: string, size: number): Promise<void>;
    deleteVolume(volumeId: string): Promise<void>;
    attach(instanceId: string, volumeId: string, running: boolean): Promise<void>;
    /** Refused while a running instance uses it. */
    detach(instanceId: string, volumeId: string, running: boolean): Promise<void>;
}
