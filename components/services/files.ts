import * as docker from "@pulumi/docker";
import type { types } from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { PulledImage } from "../server/pull";
import { Server } from "../server/server";

/** Where a store or a set of files lives on the Docker host: a named volume, or a folder of the data directory. */
export interface Place {
    /** Name of the volume or path of the folder: what `docker run -v` takes. */
    source: pulumi.Output<string>;
    mount(target: string, readOnly: boolean): types.input.ContainerMount;
}

/** Path of the folder, or name of the volume, that is the place `role` of a deployment. */
export const sourceOf = (role: string, { name, directory }: { name: string; directory?: string }) =>
    directory ? `${directory}/${role}` : `${name}-${role}`;

/** Declares the place `role`; a folder needs no resource, Docker makes it on first use. */
export function createPlace(role: string, args: { name: string; directory?: string }, opts: pulumi.CustomResourceOptions): Place {
    const type = args.directory ? "bind" : "volume";
    const name = sourceOf(role, args);
    // A fixed name: after a lost state the data is found again (and guarded, see store.ts) instead of silently replaced by an empty volume.
    const source = args.directory ? pulumi.output(name) : new docker.Volume(name, { name }, opts).name;
    return { source, mount: (target, readOnly) => ({ type, source, target, readOnly }) };
}

/** Shell function `folder_of`: the folder on the Docker host of a place's source. Makes nothing: it would hide a disk that is to be mounted there. */
export const FOLDER_OF = `folder_of() { case $1 in /*) echo "$1" ;; *) docker volume inspect -f '{{.Mountpoint}}' "$1" ;; esac; }`;
/** The same, and `made_folder`, which makes it where it is not there. */
export const MADE_FOLDER = `${FOLDER_OF}
made_folder() { case $1 in /*) mkdir -p "$1" ;; *) docker volume create "$1" >/dev/null ;; esac; folder_of "$1"; }`;

export interface FileSetArgs {
    server: Server;
    place: Place;
    /** Image whose user will read the files; the user's number is looked up in it. */
    image: PulledImage;
    user: string;
    /** Content by file name; a name that begins with ? is written only where there is none. May be secret. */
    files: Record<string, pulumi.Input<string>>;
    /** Shell lines to run on the host before, such as a check; and after the files are in place, such as a reload. */
    before?: string;
    after?: string;
    /** What these lines read from the environment. */
    environment?: Record<string, pulumi.Input<string>>;
}

/**
 * Files for a container that mounts them read-only: each replaced atomically, mode 0440, owned by the container's user.
 * They go to the host by standard input, so that a key is never on a command line or in an image.
 */
export function writeFiles(name: string, args: FileSetArgs, opts: pulumi.CustomResourceOptions): pulumi.Resource {
    const names = Object.keys(args.files).sort();
    const lines = pulumi
        .all(names.map((file) => args.files[file]))
        .apply((contents) => contents.map((content, at) => `${names[at]} ${Buffer.from(content).toString("base64")}`).join("\n"));
    return args.server.run(
        name,
        {
            script: pulumi
                .output(args.image.reference)
                .apply((reference) => ["set -eu", args.before, runAsRoot(reference, INSTALL), args.after].filter(Boolean).join("\n")),
            environment: { ...args.environment, PLACE: args.place.source, OWNER: args.user },
            stdin: pulumi.interpolate`${lines}\n`,
        },
        { ...opts, dependsOn: [args.image.pulled] },
    );
}

export const INSTALL = `set -eu
umask 077
while read -r file content || [ -n "$file" ]; do # a last line that was cut off is an error of base64, not silence
    case $file in \\?*) file=\${file#?}; if [ -e "/place/$file" ]; then continue; fi ;; esac
    printf %s "$content" | base64 -d > "/place/.$file.new"
    chown "$OWNER:" "/place/.$file.new"
    chmod 0440 "/place/.$file.new"
    mv -f "/place/.$file.new" "/place/$file"
done
chown "$OWNER:" /place
chmod 0750 /place`;

/**
 * A shell line that runs `script` as root in a throw-away container with the place mounted on /place. PLACE, OWNER and
 * whatever else the script reads come from the environment. In the image, because only there the user has a number.
 */
export function runAsRoot(reference: string, script: string, variables: string[] = ["OWNER"]): string {
    const capabilities = ["CHOWN", "DAC_OVERRIDE", "FOWNER"].map((name) => `--cap-add ${name}`).join(" ");
    const environment = variables.map((name) => `-e ${name}`).join(" ");
    return `docker run --rm -i --network none --user 0:0 --cap-drop ALL ${capabilities} --security-opt no-new-privileges ${environment} \\
    -v "$PLACE:/place" --entrypoint /bin/sh '${reference}' -c '${script.replaceAll("'", `'\\''`)}'`;
}
