import { type Props, secret } from "../providers/standin";
import type { Account } from "./account";
import { having, must } from "./errors";
import type { Cloud } from "./resource";

const functions: Record<string, { args: string[]; look(account: Account, args: Props): Props }> = {
    "aws:ssm/getParameter:getParameter": {
        args: ["name", "withDecryption"],
        look(account, { name }) {
            const value = account.parameters[name as string];
            must(value, "ParameterNotFound", `couldn't find resource: SSM parameter ${String(name)}`);
            const arn = `arn:aws:ssm:${account.region}::parameter${String(name)}`;
            return { id: name, name, arn, type: "String", version: 1, value: secret(value), insecureValue: value };
        },
    },
    "aws:ec2/getVpc:getVpc": {
        args: ["default"],
        look(account, { default: isDefault }) {
            const found = having(account.vpcs, { isDefault: isDefault === true ? true : undefined });
            const [id, { cidrBlock }] = one("EC2 VPC", found);
            return { id, cidrBlock, default: isDefault === true };
        },
    },
    "aws:ec2/getSubnet:getSubnet": {
        args: ["vpcId", "availabilityZone", "defaultForAz"],
        look(account, { vpcId, availabilityZone, defaultForAz }) {
            const wanted = { vpcId, availabilityZone, isDefault: defaultForAz === true ? true : undefined };
            const given = Object.fromEntries(Object.entries(wanted).filter(([, value]) => value !== undefined));
            const [id, { isDefault = false, ...subnet }] = one("EC2 Subnet", having(account.subnets, given));
            return { id, ...subnet, defaultForAz: isDefault };
        },
    },
};

/** Functions look at the account; what they do not implement they refuse by name, as resources do. */
export const lookups = ({ withAccount }: Cloud): Record<string, (args: Props) => Promise<object>> =>
    Object.fromEntries(
        Object.entries(functions).map(([token, { args: known, look }]) => [
            token,
            async (args: Props) => {
                const unknown = Object.keys(args).find((key) => !known.includes(key));
                if (unknown) throw new Error(`stand-in aws provider: the input ${unknown} of ${token} is not available in the rehearsal`);
                return withAccount((account) => look(account, args));
            },
        ]),
    );

function one<Row>(what: string, found: [string, Row][]): [string, Row] {
    if (found.length === 0) throw new Error(`no matching ${what} found`);
    if (found.length > 1) throw new Error(`multiple ${what}s matched; use additional constraints to reduce matches to a single ${what}`);
    return found[0];
}
