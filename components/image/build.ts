import * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { BuildSettings, Settings } from "../settings/settings";

/** The image that the application's services run, by digest: of the lock file, or built from a checkout. */
export function applicationImage({ name, images, build }: Settings): pulumi.Input<string> {
    return build ? buildImage(`${name}-image`, build) : images.forwardemail.reference;
}

/**
 * Builds the application's image where its source, its Dockerfile or its arguments have changed, and pushes it. Answers
 * `REPOSITORY:TAG@sha256:…`. A preview builds nothing.
 *
 * A command, not `docker.Image` (one platform only) or `docker.RemoteImage` with `build`: that one looks for the image on each refresh, so
 * that a clean-up of the builder's disk would end in another build, another digest, and a restart of every service.
 */
function buildImage(name: string, build: BuildSettings): pulumi.Output<string> {
    const { context, dockerfile, tree, repository, tag, platforms, args, login, dockerHost } = build;
    const built = new command.local.Command(name, {
        create: BUILD,
        environment: {
            CONTEXT: context,
            DOCKERFILE: dockerfile,
            TREE: tree,
            IMAGE: `${repository}:${tag}`,
            PLATFORMS: platforms.join(","),
            ARGUMENTS: Object.entries(args)
                .map(([key, value]) => `${key}=${value}\n`)
                .join(""),
            REGISTRY: login?.address ?? "",
            LOGIN: login?.username ?? "",
            ...(dockerHost ? { DOCKER_HOST: dockerHost } : {}),
        },
        stdin: login?.password,
        logging: command.local.Logging.Stderr, // the build's progress; the password is never in it
        addPreviousOutputInEnv: false,
    });
    return built.stdout;
}

/**
 * Builds TREE of the checkout CONTEXT, which has only what is committed: no .env, no key that lies about. The tag of IMAGE says what it is
 * made of, so that one that the registry has is not built again: after a lost state, or from another machine. Prints IMAGE with its digest.
 */
export const BUILD = `set -eu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
digest_in() { sed -n 's/.*[Dd]igest: \\(sha256:[0-9a-f]\\{64\\}\\).*/\\1/p' "$1" | tail -n 1; }
refuse() {
    echo "$IMAGE $1" >&2
    exit 1
}

if [ -n "$LOGIN" ]; then
    # A log-in of its own, so that the operator's stays as it is. Of what else that folder says, buildx stays in force.
    old=\${DOCKER_CONFIG:-\${HOME:-/root}/.docker}
    DOCKER_HOST=\${DOCKER_HOST:-$(docker context inspect --format '{{.Endpoints.docker.Host}}')}
    DOCKER_CONFIG=$scratch/docker BUILDX_CONFIG=\${BUILDX_CONFIG:-$old/buildx}
    export DOCKER_HOST DOCKER_CONFIG BUILDX_CONFIG
    mkdir "$DOCKER_CONFIG"
    [ ! -e "$old/cli-plugins" ] || ln -s "$old/cli-plugins" "$DOCKER_CONFIG/cli-plugins"
    docker login --username "$LOGIN" --password-stdin "$REGISTRY" >"$scratch/login" 2>&1 || {
        grep -v WARNING "$scratch/login" >&2 || true
        refuse "cannot be pushed: $REGISTRY refuses the log-in. Fix: image.build.username, and pulumi config set --secret registryPassword"
    }
fi

if docker pull \${PLATFORMS:+--platform "\${PLATFORMS%%,*}"} "$IMAGE" >"$scratch/pull" 2>&1; then
    printf '%s@%s' "$IMAGE" "$(digest_in "$scratch/pull")"
    exit
fi
# Anything else may pass, and another build under the same tag would replace every container.
grep -qiE 'not found|unknown|not known|does not exist|denied|unauthorized' "$scratch/pull" || {
    cat "$scratch/pull" >&2
    refuse "cannot be asked for at its registry. Fix: see above, and try again"
}

mkdir "$scratch/source"
git -C "$CONTEXT" archive --output "$scratch/source.tar" "$TREE"
tar -xf "$scratch/source.tar" -C "$scratch/source"
printf '%s' "$DOCKERFILE" >"$scratch/Dockerfile"
set -- --pull --file "$scratch/Dockerfile" --tag "$IMAGE" --label "org.opencontainers.image.version=\${IMAGE##*:}"
while IFS= read -r argument; do
    [ -z "$argument" ] || set -- "$@" --build-arg "$argument"
done <<END
$ARGUMENTS
END

if [ -z "$PLATFORMS" ]; then
    docker build "$@" "$scratch/source" >&2
    docker push "$IMAGE" >"$scratch/push" 2>&1 || {
        cat "$scratch/push" >&2
        refuse "is built, but cannot be pushed. Fix: docker login, or image.build.username and the secret registryPassword"
    }
    digest=$(digest_in "$scratch/push")
else
    docker buildx version >/dev/null 2>&1 || refuse "is for $PLATFORMS, which needs buildx. Fix: install docker-buildx-plugin, or leave out image.build.platforms"
    docker buildx build --push --platform "$PLATFORMS" --metadata-file "$scratch/metadata" "$@" "$scratch/source" >&2
    digest=$(sed -n 's/.*"containerimage.digest": *"\\(sha256:[0-9a-f]\\{64\\}\\)".*/\\1/p' "$scratch/metadata")
fi
[ -n "$digest" ] || refuse "was pushed, but its digest was not told"
printf '%s@%s' "$IMAGE" "$digest"`;
