import { Settings } from "../settings/settings";
import { policyNames } from "../dns/records";
import { certificateNames } from "../settings/dns";
import { CATALOGUE, ServiceName, under } from "./catalogue";
import { POLICY_PORT, ROUTER_DIRECTORY, policyServers } from "./policies";

/** Where a routed service answers now: the container that has shown that it is healthy. */
export type Routes = Partial<Record<ServiceName, string>>;

/**
 * nginx.conf of the router: passes TLS on 443 through by the name the client asks for (SNI), answers itself at the names of policies.ts, and
 * sends port 80 to https.
 * `routes` holds container names, which Docker's DNS resolves for each connection: a container that restarts with another
 * address stays reachable, and one that is being replaced gets no connection before it is healthy.
 */
export function routerConfig(settings: Settings, routes: Routes): string {
    const listen = (port: number) => [`listen ${port};`, ...(settings.network.ipv6 ? [`listen [::]:${port};`] : [])].join(" ");
    const port = 443 + settings.network.portOffset;
    // An authority follows redirects, but only a certificate that is valid already would let it.
    const challenges =
        settings.certificates.issuer === "acme"
            ? `location ^~ /.well-known/acme-challenge/ { root ${ROUTER_DIRECTORY}/acme; default_type text/plain; }\n        `
            : "";
    const suffix = port === 443 ? "" : `:${port}`;
    return `# Written by the program; changed by reload, never by hand.
worker_processes auto;
worker_rlimit_nofile 16384;
pid /tmp/nginx.pid;
error_log stderr warn;
include /etc/nginx/modules-enabled/*.conf;

events {
    worker_connections 4096;
}

stream {
    resolver 127.0.0.11 valid=1s ipv6=off;
    resolver_timeout 5s;
    map_hash_bucket_size 128;

    map $ssl_preread_server_name $backend {
${[...backends(settings.host, routes), ...policyNames(settings).map((name) => [name, `127.0.0.1:${POLICY_PORT}`])]
    .map(([name, address]) => `        ${name} ${address};`)
    .join("\n")}
    }

    server {
        ${listen(443)}
        ssl_preread on;
        proxy_pass $backend;
        proxy_connect_timeout 2s;
        proxy_timeout 10m;
        tcp_nodelay on;
    }
}

http {
    access_log off;
    server_tokens off;
    server_names_hash_bucket_size 128;
    client_body_temp_path /tmp/client;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;

    server {
        ${listen(80)}
        server_name ${certificateNames(settings).join(" ")};
        ${challenges}location / { return 301 https://$host${suffix}$request_uri; }
    }
    server {
        ${listen(80).replaceAll(";", " default_server;")}
        ${challenges}location / { return 301 https://${settings.host}${suffix}$request_uri; }
    }
${policyServers(settings)}}
`;
}

function backends(host: string, routes: Routes): Array<[string, string]> {
    return (Object.keys(routes) as ServiceName[]).map((service) => {
        const [label] = CATALOGUE[service].publicNames;
        return [label === "" ? "default" : under(host, label), `${routes[service]}:${CATALOGUE[service].routed}`];
    });
}

/**
 * Shell lines that refuse to route to one of $CONTAINERS that is not healthy. Pulumi waits for health when it makes a container, but a
 * `pulumi refresh` forgets that the wait failed, and the next `up` would take the container for a good one.
 */
export const REFUSE_UNHEALTHY = `for container in $CONTAINERS; do
    health=$(docker inspect -f '{{.State.Health.Status}}' "$container")
    [ "$health" = healthy ] || { echo "$container is $health: the router keeps its routes. Fix: npm run up, which replaces it" >&2; exit 1; }
done`;

/** Shell lines that make a running router take new files: the old workers finish their connections. */
export function reload(container: string): string {
    return `if [ "$(docker inspect -f '{{.State.Running}}' '${container}' 2>/dev/null)" = true ]; then
    docker exec '${container}' nginx -t -q -c ${ROUTER_DIRECTORY}/nginx.conf
    docker exec '${container}' nginx -c ${ROUTER_DIRECTORY}/nginx.conf -s reload
fi`;
}
