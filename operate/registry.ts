const INDEXES = ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
const MANIFESTS = [...INDEXES, "application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"].join(", ");

/**
 * The digest that a tag stands for now, of the index over all platforms where there is one (OCI distribution spec 1.1,
 * "Pulling manifests"). Asks anonymously.
 * @throws Error that names the image and what the registry said.
 */
export async function resolveDigest(repository: string, tag: string): Promise<string> {
    const answer = await ask(repository, `manifests/${tag}`, `${repository}:${tag}`, { method: "HEAD" });
    const digest = answer.headers.get("docker-content-digest");
    if (answer.ok && digest && /^sha256:[0-9a-f]{64}$/.test(digest)) return digest;
    throw new Error(
        `${repository}:${tag}: ${answer.status === 404 ? "the registry does not know this tag" : `the registry answered ${answer.status}`}`,
    );
}

/** Every tag of a repository (OCI distribution spec 1.1, "Listing Tags"). */
export async function tagsOf(repository: string): Promise<string[]> {
    const tags: string[] = [];
    for (let page: string | undefined = "tags/list?n=1000"; page;) {
        const answer = await ask(repository, page, repository);
        if (!answer.ok) throw new Error(`${repository}: the registry answered ${answer.status} when it was asked for its tags`);
        tags.push(...(((await answer.json()) as { tags: string[] | null }).tags ?? []));
        page = /<[^>]*\/(tags\/list\?[^>]*)>;\s*rel="?next/.exec(answer.headers.get("link") ?? "")?.[1];
    }
    return tags;
}

/** When an image was built, as its config says (OCI image spec, "created"). */
export async function createdAt(repository: string, tag: string): Promise<Date> {
    const get = async (path: string) => {
        const answer = await ask(repository, path, `${repository}:${tag}`);
        if (!answer.ok) throw new Error(`${repository}:${tag}: the registry answered ${answer.status}`);
        return (await answer.json()) as { manifests?: Array<{ digest: string }>; config?: { digest: string }; created?: string };
    };
    let manifest = await get(`manifests/${tag}`);
    if (manifest.manifests) manifest = await get(`manifests/${manifest.manifests[0].digest}`);
    const { created } = await get(`blobs/${manifest.config?.digest}`);
    const date = new Date(created ?? NaN);
    if (Number.isNaN(date.getTime())) throw new Error(`${repository}:${tag}: the image does not say when it was made`);
    return date;
}

/** Asks without an account; a registry that wants a token tells where there is one for everybody. */
async function ask(repository: string, path: string, what: string, init: { method?: string } = {}): Promise<Response> {
    const host = hostOf(repository);
    const scheme = /^(127\.|localhost)/.test(host) ? "http" : "https"; // as Docker does: a registry on loopback has no certificate
    const url = `${scheme}://${host}/v2/${repository.split("/").slice(1).join("/")}/${path}`;
    const request = (headers: Record<string, string>) =>
        fetch(url, { ...init, headers: { accept: MANIFESTS, ...headers }, signal: AbortSignal.timeout(20_000) });
    const answer = await request({}).catch((error: Error) => {
        throw new Error(`${what}: ${host} cannot be reached (${(error.cause as Error | undefined)?.message ?? error.message})`);
    });
    const challenge = answer.headers.get("www-authenticate");
    return answer.status === 401 && challenge ? request({ authorization: `Bearer ${await anonymousToken(challenge)}` }) : answer;
}

/** Follows a `Bearer realm="…",service="…",scope="…"` challenge (RFC 6750 §3, distribution token authentication). */
async function anonymousToken(challenge: string): Promise<string> {
    const fields = Object.fromEntries([...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, value]) => [key, value]));
    const query = new URLSearchParams(Object.entries(fields).filter(([key]) => key !== "realm"));
    const answer = await fetch(`${fields.realm}?${query}`, { signal: AbortSignal.timeout(20_000) });
    const body = (await answer.json()) as { token?: string; access_token?: string };
    return body.token ?? body.access_token ?? "";
}

/** The host that serves an image: the part before the first slash, but for Docker Hub's other name. */
export function hostOf(reference: string): string {
    const [registry] = reference.split("/");
    return registry === "docker.io" ? "registry-1.docker.io" : registry;
}
