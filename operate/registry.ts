const MANIFESTS = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
].join(", ");

/**
 * The digest that a tag stands for now, of the index over all platforms where there is one (OCI distribution spec 1.1,
 * "Pulling manifests"). Asks anonymously.
 * @throws Error that names the image and what the registry said.
 */
export async function resolveDigest(repository: string, tag: string): Promise<string> {
    const host = hostOf(repository);
    const path = repository.split("/").slice(1).join("/");
    const scheme = /^(127\.|localhost)/.test(host) ? "http" : "https"; // as Docker does: a registry on loopback has no certificate
    const url = `${scheme}://${host}/v2/${path}/manifests/${tag}`;
    const ask = (headers: Record<string, string>) =>
        fetch(url, { method: "HEAD", headers: { accept: MANIFESTS, ...headers }, signal: AbortSignal.timeout(20_000) });
    let answer = await ask({}).catch((error: Error) => {
        throw new Error(`${repository}:${tag}: ${host} cannot be reached (${(error.cause as Error | undefined)?.message ?? error.message})`);
    });
    const challenge = answer.headers.get("www-authenticate");
    if (answer.status === 401 && challenge) answer = await ask({ authorization: `Bearer ${await anonymousToken(challenge)}` });
    const digest = answer.headers.get("docker-content-digest");
    if (answer.ok && digest && /^sha256:[0-9a-f]{64}$/.test(digest)) return digest;
    throw new Error(
        `${repository}:${tag}: ${answer.status === 404 ? "the registry does not know this tag" : `the registry answered ${answer.status}`}`,
    );
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
