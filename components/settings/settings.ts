import * as pulumi from "@pulumi/pulumi";
import type { BucketKey } from "../backups/bucket";
import { Login, SshConnection } from "../server/connection";
import type { ApplicationDomain } from "../dns/records";
import type { MtaSts } from "../dns/mtaSts";
import type { Config } from "./schema";
import { ImageName, Profile, ServiceName } from "../services/catalogue";
import { SecretName } from "../services/secrets";

/** Everything that decides a deployment, checked and with its defaults. Made by load.ts, read by everything else. */
export interface Settings {
    /** Prefix of every name on the Docker host: `forwardemail-dev`. Several stacks can share one host. */
    name: string;
    /** Where the deployment lives. Its services are `smtp.HOST`, `mx.HOST` … */
    host: string;
    /** Mail domains it serves. */
    domains: string[];
    profile: Profile;
    images: Record<ImageName, Image>;
    /** Builds the application's image; unset, it is that of the lock file. */
    build?: BuildSettings;
    servers: ServerSettings[];
    network: NetworkSettings;
    certificates: CertificateSettings;
    /** Unset where nobody outside is to find the deployment. */
    dns?: DnsSettings;
    /** Policy of the mail domains for TLS between servers; unset, there is none. */
    mtaSts?: MtaSts;
    /** Whether the router tells mail clients their servers. */
    autoconfig: boolean;
    /** Selectors of the key that signs what the deployment itself sends. */
    dkim: Record<string, SelectorState>;
    /** What the application wants published for its domains. */
    applicationDomains: Record<string, ApplicationDomain>;
    /** Of hosts that are set up. */
    firewall: {
        /** Networks in CIDR form. */ sshFrom: string[];
        /** Ports of others: `8080`, `51820/udp`. */ allow: Array<number | string>;
        bans: Config["firewall"]["bans"];
    };
    data: { directory?: string; /** Disk for the directory, on the host. */ device?: string; adopt: boolean };
    /** Memory limit of each service in MiB. */
    memoryMb: Record<ServiceName, number>;
    /** Extra environment of the application; secret where the stack file holds any of it encrypted. */
    environment: Record<string, pulumi.Input<string>>;
    /** Limit of open files in each container. */
    openFiles: number;
    /** How long a service may take to become healthy, in seconds. */
    startTimeout: number;
    /** Secrets given in the config instead of generated. */
    secrets: Partial<Record<SecretName, pulumi.Output<string>>>;
    /** Key of the selector `default`, given instead of generated. */
    dkimKey?: pulumi.Output<string>;
    /** Is told when a certificate cannot be renewed, or a backup is overdue: a URL that takes a POST. */
    alertWebhook?: pulumi.Output<string>;
    /** Secrets that a restore brought back: used where the config gives no other. */
    recovered?: pulumi.Output<Record<string, string>>;
    /** Where sets go, and how often; unset, there are no backups. */
    backups?: BackupSettings;
    /** Prometheus and its exporters; unset, there are none. */
    metrics?: MetricsSettings;
    /** Private key for servers that are reached over SSH; without one, ssh uses the operator's agent and files. */
    sshKey?: pulumi.Output<string>;
}

/** Where the sets are: in a bucket that is given, or in one that the program makes. */
export type BackupStore =
    | {
          provider: "s3";
          endpoint: string;
          name: string;
          region?: string;
          /** The server's. */ writer: BucketKey;
          /** Of whoever prunes. */ pruner: BucketKey;
      }
    | { provider: "aws"; region: string; keepVersionsDays: number; objectLockDays?: number }
    | { provider: "r2"; accountId: string; lockDays?: number; token: pulumi.Output<string> };

/** Encrypted sets of everything in a bucket. */
export interface BackupSettings {
    store: BackupStore;
    pathStyle: boolean;
    /** Folder of this deployment in the bucket. */
    prefix: string;
    /** Given instead of generated. Without it no set can be read. */
    passphrase?: pulumi.Output<string>;
    /** Hours between two sets. */
    hours: number;
    /** How old the newest set may be, in hours. */
    rpoHours: number;
    /** How long one an hour, a day, a week, a month is kept, as restic writes it. */
    keep: Record<"hourly" | "daily" | "weekly" | "monthly", string>;
    /** Limit of the upload in KiB a second. */
    uploadKiB?: number;
    cpus: number;
    /** How often the server tries a restore by itself. */
    drill: "never" | "weekly" | "monthly";
    /** Alias of the operator's, whose mailbox a drill reads. */
    canary?: { address: string; password: pulumi.Output<string> };
    /** Set that an empty deployment begins with. */
    restoreFrom?: string;
}

export interface MetricsSettings {
    /** Name of the server that runs it. */
    server: string;
    /** How long history is kept, as Prometheus writes it. */
    retention: string;
    /** Port of Prometheus on the server's loopback. */
    port: number;
    /** URL of the operator's Alertmanager. */
    alertmanager?: string;
}

export interface Image {
    tag: string;
    /** `repository:tag@sha256:…`: the tag is for the reader, the digest decides. One that is built has no digest here; see `applicationImage`. */
    reference: string;
    /** What the lock file has by now instead, of an image that the config holds at a digest. */
    better?: string;
}

/** The application's image, built from its source. */
export interface BuildSettings {
    /** Git checkout of the application, an absolute path. */
    context: string;
    /** Hash of the files that are committed there (a git tree); empty where there is no checkout to plan with. */
    tree: string;
    /** Text of image/Dockerfile. */
    dockerfile: string;
    repository: string;
    /** Says the release, and by a hash everything that the image is made of: another image has another tag. */
    tag: string;
    /** Empty: that of the Docker that builds. */
    platforms: string[];
    args: Record<string, string>;
    /** Of the registry; unset, what `docker login` has left. */
    login?: RegistryLogin;
    /** Docker that builds: a local server's own; unset, the one that this machine's `docker` uses. */
    dockerHost?: string;
}

/** An account of a registry. */
export interface RegistryLogin {
    /** Host of the registry, with its port. */
    address: string;
    username: string;
    password: pulumi.Output<string>;
}

export interface ServerSettings {
    name: string;
    kind: "local" | "ssh" | "aws";
    /** Docker's address: `unix:///…`, or `ssh://…`; on kind aws, on the server. */
    dockerHost: string;
    /** What is known of its connection before there is a server: kinds ssh and aws. */
    login?: Login;
    /** How it is reached: kind ssh. On kind aws the machine tells (awsMachine.ts). */
    ssh?: SshConnection;
    /** The instance to make, on kind aws. */
    aws?: AwsSettings;
    /** Public addresses for DNS; on kind aws the address is known when it is made. */
    ipv4?: string;
    ipv6?: string;
    /** What the host must be able to connect to, `host:port`. */
    reach: string[];
    /** Block lists that are asked about the server's address. */
    blockLists: string[];
    /** Where Docker comes from, on a host that the program sets up. */
    engine?: "distribution" | "docker";
}

/** Keys of `servers[].aws`, with their defaults. */
export type AwsSettings = NonNullable<Config["servers"][number]["aws"]>;

export interface NetworkSettings {
    ipv6: boolean;
    portOffset: number;
    bindAddress: string;
    /** IPv4 subnet of the bridge network in CIDR form. */
    subnet4: string;
    /** IPv6 subnet of the bridge network, a unique local /64 (RFC 4193). */
    subnet6: string;
}

export type CertificateSettings =
    | { issuer: "self-signed" }
    | { issuer: "provided"; /** Certificate and its chain, PEM. */ chain: string; key: pulumi.Output<string> }
    | AcmeSettings;

/** Certificates that the server asks for itself (RFC 8555). */
export interface AcmeSettings {
    issuer: "acme";
    email: string;
    directory: string;
    challenge: Challenge;
    extraNames: string[];
    /** Roots of an authority that is not public, PEM. */
    roots?: string;
    /** Name of the authority in CAA records; unset where it is not known. */
    caaIssuer?: string;
    /** Number of the certificate's key. */
    key: number;
}

export type Challenge =
    | { type: "http-01" }
    | {
          type: "dns-01";
          provider: "cloudflare" | "route53" | "rfc2136";
          /** Plain environment of lego. */ environment: Record<string, string>;
          /** The variable that takes the secret. */ secretVariable: string;
          secret: pulumi.Output<string>;
      };

/** Who keeps the records, and what they say. */
export interface DnsSettings {
    provider: "cloudflare" | "route53" | "zone-file";
    zones: Zone[];
    /** In seconds. */
    ttl: number;
    spf: "softfail" | "fail";
    dmarc: { policy: "none" | "quarantine" | "reject"; reports?: string };
    tlsReports?: string;
    caa: boolean;
    /** Values of others in record sets that we share, by `NAME TYPE`. */
    keep: Record<string, string[]>;
    /** Token of Cloudflare's API. */
    token?: pulumi.Output<string>;
}

export interface Zone {
    name: string;
    /** Given by the provider. */
    id?: string;
    dnssec: boolean;
}

export type SelectorState = "next" | "active" | "retired";
