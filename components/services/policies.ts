import { policyText } from "../dns/mtaSts";
import { policyNames } from "../dns/records";
import { Settings } from "../settings/settings";
import { EXCHANGER, under } from "./catalogue";

// What the router answers itself, over TLS: the MTA-STS policy of each mail domain, and how mail clients set themselves up.

/** Folder of the router's files in its container. */
export const ROUTER_DIRECTORY = "/etc/forwardemail";

/** Port inside the router, where TLS for its own names ends. */
export const POLICY_PORT = 8443;

/** Files that the servers below send. */
export function policyFiles(settings: Settings): Record<string, string> {
    const { domains, mtaSts, autoconfig, host } = settings;
    return {
        ...(mtaSts ? { "mta-sts.txt": policyText(mtaSts, [under(host, EXCHANGER)]) } : {}),
        ...(autoconfig
            ? Object.fromEntries(
                  domains.flatMap((domain) => [
                      [`autoconfig.${domain}.xml`, autoconfigXml(settings, domain)],
                      [`autodiscover.${domain}.xml`, autodiscoverXml(settings)],
                  ]),
              )
            : {}),
    };
}

/** Blocks of nginx's http context; none where there is nothing to answer. */
export function policyServers(settings: Settings): string {
    if (policyNames(settings).length === 0) return "";
    const tls = [
        `listen 127.0.0.1:${POLICY_PORT} ssl;`,
        `ssl_certificate ${ROUTER_DIRECTORY}/fullchain.pem;`,
        `ssl_certificate_key ${ROUTER_DIRECTORY}/privkey.pem;`,
        "ssl_protocols TLSv1.2 TLSv1.3;",
        `root ${ROUTER_DIRECTORY};`,
    ].join("\n        ");
    const server = (name: string, locations: string[]) => `
    server {
        ${tls}
        server_name ${name};
        ${locations.join("\n        ")}
        location / { return 404; }
    }
`;
    const send = (location: string, file: string, type: string) => `location ${location} { default_type ${type}; try_files /${file} =404; }`;
    return settings.domains
        .flatMap((domain) => [
            ...(settings.mtaSts
                ? [server(`mta-sts.${domain}`, [send("= /.well-known/mta-sts.txt", "mta-sts.txt", '"text/plain; charset=utf-8"')])]
                : []),
            ...(settings.autoconfig
                ? [
                      server(`autoconfig.${domain}`, [
                          send("= /mail/config-v1.1.xml", `autoconfig.${domain}.xml`, "text/xml"),
                          send("= /.well-known/autoconfig/mail/config-v1.1.xml", `autoconfig.${domain}.xml`, "text/xml"),
                      ]),
                      // Outlook asks with POST, which nginx refuses for a file, and in either case of letters.
                      server(`autodiscover.${domain}`, [
                          `error_page 405 =200 /autodiscover.${domain}.xml;`,
                          send("~* ^/autodiscover/autodiscover\\.xml$", `autodiscover.${domain}.xml`, "text/xml"),
                          `location = /autodiscover.${domain}.xml { internal; default_type text/xml; }`,
                      ]),
                  ]
                : []),
        ])
        .join("");
}

const port = ({ network }: Settings, number: number) => number + network.portOffset;

/** https://wiki.mozilla.org/Thunderbird:Autoconfiguration:ConfigFileFormat */
function autoconfigXml(settings: Settings, domain: string): string {
    const server = (tag: string, type: string, label: string, number: number) => `        <${tag} type="${type}">
            <hostname>${under(settings.host, label)}</hostname>
            <port>${port(settings, number)}</port>
            <socketType>SSL</socketType>
            <username>%EMAILADDRESS%</username>
            <authentication>password-cleartext</authentication>
        </${tag}>`;
    return `<?xml version="1.0" encoding="UTF-8"?>
<clientConfig version="1.1">
    <emailProvider id="${domain}">
        <domain>${domain}</domain>
        <displayName>${domain}</displayName>
        <displayShortName>${domain}</displayShortName>
${server("incomingServer", "imap", "imap", 993)}
${server("incomingServer", "pop3", "pop3", 995)}
${server("outgoingServer", "smtp", "smtp", 465)}
    </emailProvider>
</clientConfig>
`;
}

/** [MS-OXDSCLI]; without a login name Outlook takes the mail address, which is the one that the application wants. */
function autodiscoverXml(settings: Settings): string {
    const protocol = (type: string, label: string, number: number) => `            <Protocol>
                <Type>${type}</Type>
                <Server>${under(settings.host, label)}</Server>
                <Port>${port(settings, number)}</Port>
                <DomainRequired>off</DomainRequired>
                <SPA>off</SPA>
                <SSL>on</SSL>
                <AuthRequired>on</AuthRequired>
            </Protocol>`;
    return `<?xml version="1.0" encoding="utf-8"?>
<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006">
    <Response xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a">
        <Account>
            <AccountType>email</AccountType>
            <Action>settings</Action>
${protocol("IMAP", "imap", 993)}
${protocol("POP3", "pop3", 995)}
${protocol("SMTP", "smtp", 465)}
        </Account>
    </Response>
</Autodiscover>
`;
}
