import { stringify } from "yaml";
import { CATALOGUE, ServiceName, servicesOf, under } from "../services/catalogue";
import { PEER_PORTS } from "../services/health";
import { Settings } from "../settings/settings";
import { METRICS_DIRECTORY } from "./programs";

/** What blackbox exporter asks of a service, and by which of its modules. */
export interface ProbeTarget {
    service: ServiceName;
    module: string;
    target: string;
}

/** Name in {@link METRICS_DIRECTORY} of what the probes trust, where that is not the public authorities. */
export const AUTHORITY = "authority.pem";

/** One probe a service, by the name that its clients use; inside the network, where Docker leads each name to its container. */
export function probeTargets({ host, profile }: Pick<Settings, "host" | "profile">): ProbeTarget[] {
    return servicesOf(profile).map((service) => ({ service, ...targetOf(service, host) }));
}

function targetOf(service: ServiceName, host: string): Omit<ProbeTarget, "service"> {
    const {
        probe,
        publicNames: [label],
    } = CATALOGUE[service];
    switch (probe.kind) {
        case "https":
            return { module: "https", target: `https://${under(host, label)}${probe.path}` };
        case "greeting":
            return { module: probe.scheme, target: `${under(host, label)}:${probe.port}` };
        case "redirect":
            return { module: "redirect", target: `http://${host}/` };
        case "websocket":
            return { module: "tls", target: `${service}:${probe.port}` };
        case "mongodb":
        case "redis":
            return { module: "tcp", target: `${service}:${PEER_PORTS[probe.kind]}` };
        case "worker":
            return { module: service, target: DOCKER_DNS };
    }
}

/** Docker's name server, in every container of a network. */
const DOCKER_DNS = "127.0.0.11";

/** Any answer but a 5xx, as in the health checks; blackbox exporter takes no ranges. */
const BELOW_500 = [200, 204, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 426, 429];

/** Configuration of blackbox exporter. `privately`: certificates come from the authority in {@link AUTHORITY}. */
export function blackboxConfig({ profile }: Pick<Settings, "profile">, privately: boolean): string {
    const trust = privately ? { tls_config: { ca_file: `${METRICS_DIRECTORY}/${AUTHORITY}` } } : {};
    const ip4 = { preferred_ip_protocol: "ip4" }; // every network has it
    const http = { ...ip4, follow_redirects: false };
    const talk = (lines: object[], more: object = {}) => ({ prober: "tcp", tcp: { ...ip4, ...more, query_response: lines } });
    const secure = (lines: object[]) => talk(lines, { tls: true, ...trust });
    const modules = {
        https: { prober: "http", http: { ...http, fail_if_not_ssl: true, valid_status_codes: BELOW_500, ...trust } },
        redirect: { prober: "http", http: { ...http, valid_status_codes: [301] } },
        tcp: talk([]),
        tls: talk([], { tls: true, tls_config: { insecure_skip_verify: true } }), // the certificate is for what the public sees
        smtp: talk([...SMTP_STARTTLS, ...SMTP_QUIT], trust),
        smtps: secure([{ expect: "^220 " }, ...SMTP_QUIT]),
        imaps: secure([{ expect: "^\\* OK" }, { send: "a LOGOUT\r" }, { expect: "^\\* BYE" }]),
        pop3s: secure([{ expect: "^\\+OK" }, { send: "QUIT\r" }, { expect: "^\\+OK" }]),
        ...Object.fromEntries(workers(profile).map((service) => [service, runs(service)])),
    };
    return stringify({ modules }, { lineWidth: 0, aliasDuplicateObjects: false });
}

// The exporter ends each line that it sends with a line feed.
const SMTP_QUIT = [{ send: "QUIT\r" }, { expect: "^221 " }];
const SMTP_STARTTLS = [
    { expect: "^220 " },
    { send: "EHLO metrics.invalid\r" },
    { expect: "^250[ -]STARTTLS" },
    { send: "STARTTLS\r" },
    { expect: "^220 " },
    { starttls: true },
];

const workers = (profile: Settings["profile"]) => servicesOf(profile).filter((service) => CATALOGUE[service].probe.kind === "worker");

/** A worker listens nowhere, but Docker's name server knows only containers that run: one that crashes again and again mostly does not. */
function runs(service: ServiceName): object {
    const found = { fail_if_none_matches_regexp: ["\\sA\\s"] };
    return { prober: "dns", dns: { preferred_ip_protocol: "ip4", query_name: service, query_type: "A", validate_answer_rrs: found } };
}
