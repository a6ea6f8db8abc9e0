import * as path from "node:path";

import type { RigHost } from "../host";
import type { Log } from "../images/run";
import { findMachine, type Machine } from "../vps/machine";
import { zoneLines } from "../records";
import { type Account, accountIn, newId, readAccount, type RecordSet } from "./account";
import { terminate } from "./instance";
import { folderOf, removeAll, restore, rigHardware } from "./rig";
import { newZoneId, setId } from "./route53";

/** The account as its owner has it before him, beside Pulumi. Not while the engine runs: the account has one hand at a time. */
export interface Console {
    account(): Account;
    /** The server that an instance is. */
    machine(instanceId: string): Promise<Machine>;
    /** Ends an instance behind Pulumi's back. */
    terminate(instanceId: string): Promise<void>;
    /** What a name resolves to in public DNS from now on; left out: nothing. */
    setForward(name: string, address?: string): Promise<void>;
    /** Publishes a newer image: the parameter stands for it from now on. Answers its id. */
    publishImage(parameter: string): Promise<string>;
    /** Makes a hosted zone of Route 53. Answers its id. */
    createHostedZone(name: string): Promise<string>;
    /** Makes or changes a record set behind Pulumi's back, whatever the API would say. Texts are quoted. Answers its id. */
    putRecordSet(set: RecordSet): Promise<string>;
    /** Records of a hosted zone as lines of a master file, without SOA and NS. */
    zoneText(zoneName: string): string;
    /** Starts what should run, after the rig's host was stopped. */
    restore(): Promise<void>;
    /** Back to an empty account: no server, no disk, no rule is left. */
    reset(): Promise<void>;
}

/** The console of the account that a rehearsal's stand-in AWS provider uses. */
export function awsConsole({ host, directory }: { host: RigHost; directory: string }, log: Log): Console {
    const file = path.join(folderOf(directory), "account.json");
    const withAccount = accountIn(file);
    const hardware = rigHardware(host, directory, log);
    return {
        account: () => readAccount(file),
        machine: (id) => findMachine(host, id),
        terminate: (id) =>
            withAccount(async (account) => {
                await terminate(account, id, hardware);
                await hardware.connect(account);
            }),
        setForward: (name, address) =>
            withAccount((account) => {
                if (address === undefined) delete account.forward[name];
                else account.forward[name] = address;
            }),
        publishImage: (parameter) =>
            withAccount((account) => {
                const id = newId("ami");
                account.images[id] = account.images[account.parameters[parameter]];
                return (account.parameters[parameter] = id);
            }),
        createHostedZone: (name) =>
            withAccount((account) => {
                const id = newZoneId();
                account.hostedZones[id] = { name };
                return id;
            }),
        putRecordSet: (set) =>
            withAccount((account) => {
                account.recordSets[setId(set)] = set;
                return setId(set);
            }),
        zoneText: (zoneName) => zoneText(readAccount(file), zoneName),
        restore: () => restore(host, directory, readAccount(file), log),
        reset: () => removeAll(host, directory, readAccount(file)),
    };
}

/** Records of a hosted zone as lines of a master file. */
export function zoneText({ hostedZones, recordSets }: Account, zoneName: string): string {
    const sets = Object.values(recordSets).filter(({ zoneId }) => hostedZones[zoneId]?.name === zoneName);
    return zoneLines(
        sets.flatMap(({ records, ...set }) => records.map((value) => ({ ...set, value }))),
        8,
    );
}
