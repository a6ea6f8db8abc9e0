import * as pulumi from "@pulumi/pulumi";
import { Settings } from "../settings/settings";
import { EXCHANGER, under } from "./catalogue";
import { Secrets, activeSelector } from "./secrets";

type Values = Record<string, pulumi.Input<string>>;

/** Where every container of the application finds its keys; the files are in certificates/. */
export const KEY_DIRECTORY = "/app/ssl";
/** Name of the mailbox directory under /mnt. The application stores it with each alias: it can never change. */
export const STORAGE = "sqlite_storage";
export const MONGODB_USER = "forwardemail";

/** A URL of the deployment as a browser types it. */
export function publicUrl(settings: Settings, label: string): string {
    const port = 443 + settings.network.portOffset;
    return `https://${under(settings.host, label)}${port === 443 ? "" : `:${port}`}`;
}

/**
 * The process environment of every application container. It wins over the image's `.env.defaults` and over `/app/.env`
 * (@ladjs/env). Upstream's setup.sh writes the same variables, but for those that a bridge network changes.
 */
export function applicationEnvironment(settings: Settings, secrets: Secrets): Values {
    return { ...settings.environment, ...owned(settings, secrets) };
}

/** Names that the program sets itself and that `environment:` may therefore not set. */
export function ownedNames(): string[] {
    const any = {
        host: "host",
        network: { portOffset: 0 },
        certificates: { issuer: "self-signed" },
        dkim: { default: "active" },
    } as unknown as Settings;
    return Object.keys(owned(any, new Proxy({}, { get: () => pulumi.output("") }) as Secrets));
}

function owned(settings: Settings, secrets: Secrets): Values {
    return { ...identity(settings), ...ports(), ...keyFiles(settings), ...peers(settings.host, secrets), ...secretValues(secrets) };
}

function identity(settings: Settings): Values {
    const { host } = settings;
    return {
        NODE_ENV: "production",
        SELF_HOSTED: "true",
        HTTP_PROTOCOL: "https",
        DOMAIN: host,
        APP_NAME: host,
        WEBSITE_URL: host,
        WEB_HOST: host,
        WEB_URL: publicUrl(settings, ""),
        API_HOST: under(host, "api"),
        API_URL: publicUrl(settings, "api"), // upstream leaves https://api.HOST:4000, which no firewall opens
        CALDAV_HOST: under(host, "caldav"),
        CALDAV_URL: publicUrl(settings, "caldav"),
        CARDDAV_HOST: under(host, "carddav"),
        CARDDAV_URL: publicUrl(settings, "carddav"),
        MX_HOST: under(host, EXCHANGER),
        MX1_HOST: under(host, EXCHANGER),
        MX2_HOST: under(host, EXCHANGER),
        SMTP_EXCHANGE_DOMAINS: under(host, EXCHANGER),
        SEND_EMAIL: "true",
        PREVIEW_EMAIL: "false",
        AUTH_BASIC_ENABLED: "true",
        AUTH_BASIC_USERNAME: "admin",
        CACHE_RESPONSES: "true",
        TURNSTILE_ENABLED: "false",
        ENABLE_MONITOR_SERVER: "false",
        API_RATELIMIT_WHITELIST: "127.0.0.1,", // the image's default lists two addresses of forwardemail.net
        DKIM_DOMAIN_NAME: host,
        DKIM_KEY_SELECTOR: activeSelector(settings.dkim),
    };
}

function ports(): Values {
    return {
        WEB_PORT: "3000",
        API_PORT: "4000",
        CALDAV_PORT: "5000",
        CARDDAV_PORT: "6000",
        SQLITE_PORT: "3456",
        MX_PORT: "25",
        SMTP_PORT: "465",
        IMAP_PORT: "993",
        POP3_PORT: "995",
    };
}

function keyFiles({ certificates }: Settings): Values {
    const files: Values = { DKIM_PRIVATE_KEY_PATH: `${KEY_DIRECTORY}/dkim.key` };
    // The application submits its own mail to smtp.HOST and verifies the certificate; nobody else knows our authority.
    if (certificates.issuer === "self-signed") files.NODE_EXTRA_CA_CERTS = `${KEY_DIRECTORY}/chain.pem`;
    if (certificates.issuer === "acme") files.NODE_EXTRA_CA_CERTS = `${KEY_DIRECTORY}/trusted.pem`;
    for (const server of ["WEB", "API", "CALDAV", "CARDDAV"]) {
        files[`${server}_SSL_KEY_PATH`] = `${KEY_DIRECTORY}/privkey.pem`;
        files[`${server}_SSL_CERT_PATH`] = `${KEY_DIRECTORY}/fullchain.pem`;
        files[`${server}_SSL_CA_PATH`] = `${KEY_DIRECTORY}/chain.pem`;
    }
    return files;
}

/** Where the services find each other: names of the bridge network. */
function peers(host: string, secrets: Secrets): Values {
    const values: Values = {
        REDIS_HOST: "redis",
        REDIS_PORT: "6379",
        REDIS_PASSWORD: secrets.redisPassword,
        SQLITE_HOST: under(host, "sqlite"),
        SQLITE_STORAGE_PATH: STORAGE,
        SQLITE_TMPDIR: `/mnt/${STORAGE}/tmp`, // beside the mailboxes: a large one must not fill Docker's own disk
        SMTP_HOST: under(host, "smtp"), // the certificate of 465 is verified against it
        IMAP_HOST: under(host, "imap"),
        POP3_HOST: under(host, "pop3"),
    };
    // The templates of .env.defaults would resolve these to REDIS_HOST too; said here because {{X}} is HTML-escaped there.
    for (const prefix of ["WEB", "API", "BREE", "MANDARIN", "IMAP", "POP3", "CALDAV", "CARDDAV", "MX", "SMTP", "SQLITE"]) {
        values[`${prefix}_REDIS_HOST`] = "redis";
        values[`${prefix}_REDIS_PORT`] = "6379";
        values[`${prefix}_REDIS_PASSWORD`] = secrets.redisPassword;
    }
    // Newer images read LOGS_URI, older ones the *_MONGO_URI names; an unset one would be opened as "undefined".
    const uri = (database: string) =>
        pulumi.interpolate`mongodb://${MONGODB_USER}:${secrets.mongodbPassword}@mongodb:27017/${database}?authSource=admin`;
    values.MONGO_HOST = values.LOGS_HOST = "mongodb";
    values.MONGO_URI = uri("forwardemail_production");
    values.LOGS_URI = uri("forwardemail_logs_production");
    for (const [prefix, database] of [
        ["LOGS", "logs"],
        ["JOURNALS", "journals"],
        ["EMAILS", "emails"],
    ]) {
        values[`${prefix}_MONGO_HOST`] = "mongodb";
        values[`${prefix}_MONGO_URI`] = uri(`forwardemail_${database}_production`);
    }
    return values;
}

function secretValues(secrets: Secrets): Values {
    return {
        HELPER_ENCRYPTION_KEY: secrets.helperEncryptionKey,
        TXT_ENCRYPTION_KEY: secrets.txtEncryptionKey,
        SRS_SECRET: secrets.srsSecret,
        WEBHOOK_SIGNATURE_KEY: secrets.webhookSignatureKey,
        API_SECRETS: pulumi.interpolate`${secrets.apiSecret},`, // the comma makes it the list that the application expects
        SMTP_TRANSPORT_PASS: secrets.smtpTransportPassword,
        AUTH_BASIC_PASSWORD: secrets.adminPassword,
    };
}
