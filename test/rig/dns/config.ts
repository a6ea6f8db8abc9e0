/** The key of dynamic updates (RFC 8945), with its secret in base64. */
export interface Tsig {
    name: string;
    algorithm: "hmac-sha256";
    secret: string;
}

export interface Addresses {
    address4: string;
    address6: string;
}

/** Names of the internet's own servers. */
export const OWN_ZONE = "ca.test";
const NAME_SERVER = `ns.${OWN_ZONE}`;

const keyText = ({ name, algorithm, secret }: Tsig) => `key "${name}" { algorithm ${algorithm}; secret "${secret}"; };\n`;

/** named.conf: an authoritative server that neither asks others nor answers for what it has not. */
export function serverConf(files: { dir: string; conf: string; zones: string }, { address4, address6 }: Addresses, key: Tsig): string {
    return `${keyText(key)}
controls { inet 127.0.0.1 port 953 allow { 127.0.0.1; } keys { "${key.name}"; }; };
options {
    directory "${files.dir}";
    pid-file "${files.conf}.pid";
    session-keyfile "${files.conf}.session";
    listen-on { ${address4}; };
    listen-on-v6 { ${address6}; };
    recursion no;
    empty-zones-enable no;
    dnssec-validation no;
    notify no;
    allow-query { any; };
    allow-transfer { key "${key.name}"; };
    allow-update { key "${key.name}"; };
};
include "${files.zones}";
`;
}

export const rndcConf = (key: Tsig): string => `${keyText(key)}options { default-key "${key.name}"; default-server 127.0.0.1; default-port 953; };\n`;

/** A zone of named.conf. */
export const zoneConf = (zone: string, file: string): string => `zone "${zone}" { type primary; file "${file}"; };\n`;

/** A zone's master file (RFC 1035 §5). That a name does not exist is remembered for 1 s (RFC 2308 §5). */
export function zoneText(zone: string, records: string, serial: number): string {
    const soa = `${NAME_SERVER}. hostmaster.${OWN_ZONE}. ${serial} 3600 600 86400 1`;
    return `$ORIGIN ${zone}.\n$TTL 60\n${zone}. 1 IN SOA ${soa}\n${zone}. IN NS ${NAME_SERVER}.\n${records}\n`;
}

export const ownRecords = ({ address4, address6 }: Addresses): string =>
    [`${OWN_ZONE}.`, `${NAME_SERVER}.`].map((name) => `${name} IN A ${address4}\n${name} IN AAAA ${address6}\n`).join("");
