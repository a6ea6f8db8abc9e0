import * as path from "node:path";
import * as log from "@pulumi/pulumi/log";
import { accountIn } from "../aws/account";
import type { Hardware } from "../aws/hardware";
import { awsProvider } from "../aws/resources";
import { folderOf, rigHardware } from "../aws/rig";
import { startHost } from "../host";
import { rigOf } from "./account";

/** The rig whose host the instances are on. */
const rig = () => rigOf("aws");

let hardware: Promise<Hardware> | undefined;

async function find(): Promise<Hardware> {
    const { name, dir } = rig();
    const say = (line: string) => void log.info(line, undefined, undefined, true);
    return rigHardware(await startHost({ name, dir, log: say }), dir, say);
}

export default awsProvider({
    withAccount: (use) => accounts(use),
    hardware: () => (hardware ??= find()),
});

let accounts: ReturnType<typeof accountIn> = (use) => (accounts = accountIn(path.join(folderOf(rig().dir), "account.json")))(use);
