import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import * as tls from "@pulumi/tls";
import type { AwsSettings } from "../settings/settings";
import { createNetwork } from "./aws/network";
import { createSecurityGroup } from "./aws/securityGroup";
import { Login, SshConnection } from "./connection";
import type { FirewallRules } from "./host/firewall";
import type { Machine } from "./server";

export interface AwsMachineArgs extends AwsSettings {
    /** Name of the deployment: a tag of everything. */
    deployment: string;
    login: Login;
    /** What the security group lets in. */
    firewall: FirewallRules;
}

/**
 * An instance on AWS, with what outlives it: its address, its data volume and its host key, which are protected. Another instance
 * (another `ami`, another network) gets all three, so that it is known by its key and finds its data.
 *
 * @example
 * const machine = new AwsMachine("forwardemail-prod-main", { ...place.aws, deployment, login: place.login, firewall });
 * const server = new DockerHost("forwardemail-prod-main", { machine });
 */
export class AwsMachine extends pulumi.ComponentResource implements Machine {
    public readonly connection: pulumi.Output<SshConnection>;
    public readonly identity: pulumi.Output<string>;
    public readonly ready: pulumi.Resource[];
    public readonly instance: aws.ec2.Instance;
    /** Where the server has its data volume. */
    public readonly device: pulumi.Output<string>;
    /** Elastic IP: what names lead to, and what receivers see. */
    public readonly address: pulumi.Output<string>;
    private readonly allocation: { id: pulumi.Output<string>; opts: pulumi.CustomResourceOptions };

    constructor(
        private readonly name: string,
        args: AwsMachineArgs,
        opts?: pulumi.ComponentResourceOptions,
    ) {
        super("forwardemail:server:AwsMachine", name, {}, opts);
        if (args.outbound25 === "closed") void pulumi.log.warn(PORT_25, this);
        const provider = new aws.Provider(
            name,
            { region: args.region, defaultTags: { tags: { "forwardemail:deployment": args.deployment } } },
            { parent: this },
        );
        const own = { parent: this, provider };
        const keep = { ...own, protect: true };

        const hostKey = new tls.PrivateKey(`${name}-host-key`, { algorithm: "ED25519" }, { parent: this, protect: true });
        const address = new aws.ec2.Eip(`${name}-address`, { domain: "vpc", tags: { Name: name } }, keep);
        const network = createNetwork(name, args, own);
        const volume = new aws.ebs.Volume(
            `${name}-data`,
            { availabilityZone: network.zone, size: args.dataGb, type: "gp3", encrypted: true, tags: { Name: `${name}-data` } },
            keep,
        );
        const securityGroup = createSecurityGroup(name, network.vpcId, args.firewall, own);
        this.instance = createInstance(name, { ...args, subnetId: network.subnetId, securityGroup, hostKey }, own);

        const attached = new aws.ec2.VolumeAttachment(
            `${name}-data`,
            {
                deviceName: "/dev/sdf",
                instanceId: this.instance.id,
                volumeId: volume.id,
                stopInstanceBeforeDetaching: true, // the file system is written to until then
            },
            { ...own, deleteBeforeReplace: true }, // a volume is attached to one instance only
        );
        const associated = new aws.ec2.EipAssociation(
            `${name}-address`,
            { allocationId: address.allocationId, instanceId: this.instance.id, allowReassociation: true },
            { ...own, dependsOn: network.routes }, // a gateway with a public address behind it cannot be taken away
        );

        this.allocation = { id: address.allocationId, opts: own };
        this.address = address.publicIp;
        this.identity = this.instance.id;
        // By the volume's id, which survives another instance. Kernel names of NVMe disks do not survive a boot.
        this.device = volume.id.apply((id) => `/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_${id.replace("-", "")}`);
        this.ready = [attached, associated];
        this.connection = pulumi.output({ ...args.login, address: address.publicIp, hostKey: hostKey.publicKeyOpenssh.apply((key) => key.trim()) });
        this.registerOutputs({ address: this.address });
    }

    /** Makes the address lead back to a name. AWS refuses one that does not lead to the address: `dependsOn` the record that makes it. */
    giveReverseName(domainName: string, dependsOn: pulumi.Resource[]): void {
        const { id: allocationId, opts } = this.allocation;
        new aws.ec2.EipDomainName(`${this.name}-address`, { allocationId, domainName }, { ...opts, dependsOn });
    }
}

const PORT_25 =
    "AWS closes outbound port 25, and the application has no relay: until AWS lifts that, mail is received but none is sent. " +
    'Ask for it in the form "Request to remove email sending limitations", with this server\'s address and its reverse name; then set servers[].aws.outbound25 to open.';

/** Images by SSM parameter: their publishers keep them current. `ARCH` stands for arm64 or amd64. */
const IMAGES: Record<AwsSettings["image"], string> = {
    // https://wiki.debian.org/Cloud/AmazonEC2Image
    "debian-12": "/aws/service/debian/release/12/latest/ARCH",
    "debian-13": "/aws/service/debian/release/13/latest/ARCH",
    // https://documentation.ubuntu.com/aws/aws-how-to/instances/find-ubuntu-images/
    "ubuntu-22.04": "/aws/service/canonical/ubuntu/server/22.04/stable/current/ARCH/hvm/ebs-gp2/ami-id",
    "ubuntu-24.04": "/aws/service/canonical/ubuntu/server/24.04/stable/current/ARCH/hvm/ebs-gp3/ami-id",
};

/** The parameter that holds the newest image of a system for a type of instance. */
export const imageParameter = (image: AwsSettings["image"], instanceType: string): string =>
    IMAGES[image].replace("ARCH", architectureOf(instanceType));

/** Graviton types have a g among the letters after their generation: t4g, m7gd, c8gn. */
const architectureOf = (instanceType: string): "arm64" | "amd64" => (/^([a-z]+\d+g[a-z]*|a1)[.-]/.test(instanceType) ? "arm64" : "amd64");

interface InstanceParts extends AwsSettings {
    subnetId: pulumi.Input<string>;
    securityGroup: aws.ec2.SecurityGroup;
    hostKey: tls.PrivateKey;
}

function createInstance(name: string, args: InstanceParts, opts: pulumi.CustomResourceOptions): aws.ec2.Instance {
    const newest = () =>
        // Not `value`, which the provider marks as secret.
        aws.ssm.getParameterOutput({ name: imageParameter(args.image, args.instanceType) }, opts).insecureValue;
    return new aws.ec2.Instance(
        `${name}-instance`,
        {
            ami: args.ami ?? newest(),
            instanceType: args.instanceType,
            subnetId: args.subnetId,
            vpcSecurityGroupIds: [args.securityGroup.id],
            userData: userData(args.authorizedKeys, args.hostKey),
            // Without IMDSv2 a proxied request is enough to get the instance's credentials. One hop: not from a container's network.
            metadataOptions: { httpEndpoint: "enabled", httpTokens: "required", httpPutResponseHopLimit: 1 },
            rootBlockDevice: { volumeType: "gp3", volumeSize: args.rootGb, encrypted: true, tags: { Name: name } },
            tags: { Name: name },
        },
        {
            ...opts,
            // A newer image must not replace a mail server; and what cloud-init did at the first boot it does not do again.
            ignoreChanges: [...(args.ami === undefined ? ["ami"] : []), "userData"],
            deleteBeforeReplace: false, // the volume's attachment stops the old one in time
            replacementTrigger: args.image, // another system is another instance; with it, the newest image of that system is taken
        },
    );
}

/** What cloud-init does at the first boot: who may log in, and which key the server shows, so that it is known from its first minute. Secret. */
function userData(authorizedKeys: string[], hostKey: tls.PrivateKey): pulumi.Output<string> {
    const config = pulumi.jsonStringify({
        ssh_authorized_keys: authorizedKeys,
        ssh_keys: { ed25519_private: hostKey.privateKeyOpenssh, ed25519_public: hostKey.publicKeyOpenssh },
    });
    return pulumi.secret(pulumi.interpolate`#cloud-config\n${config}\n`); // JSON is YAML
}
