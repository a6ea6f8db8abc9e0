import * as pulumi from "@pulumi/pulumi";
import { PulledImage } from "../server/pull";
import { Server } from "../server/server";
import { StoreName } from "./catalogue";
import { Place, createPlace, runAsRoot } from "./files";

export interface StoreArgs {
    server: Server;
    /** Prefix of the volume's name on the Docker host. */
    name: string;
    /** Data directory; unset keeps the data in a named volume. */
    directory?: string;
    /** Image and user that own the data. */
    image: PulledImage;
    user: string;
    /** Fingerprints of the keys that the data is written with, a line each. */
    fingerprints: pulumi.Input<string>;
    /** Accept data that carries no mark, such as an import. */
    adopt: boolean;
    /** What brings data from a backup set, or sees that none have to be brought. */
    restored?: pulumi.Resource;
}

/**
 * Data that must outlive every container. Its volume is protected: removing it takes a deliberate `npm run down -- --delete-data`.
 * The data carries a mark with the deployment's name and the fingerprints of its keys; where the mark is another, nothing starts.
 */
export class Store extends pulumi.ComponentResource {
    public readonly place: Place;
    /** Depend on it before touching the data. */
    public readonly claimed: pulumi.Resource;

    constructor(role: StoreName, args: StoreArgs, opts?: pulumi.ComponentResourceOptions) {
        const name = `${args.name}-${role}`;
        super("forwardemail:services:Store", name, {}, opts);
        this.place = createPlace(role, args, { parent: this, protect: true });
        this.claimed = args.server.run(
            `${name}-claim`,
            {
                script: pulumi.output(args.image.reference).apply(claimScript),
                seesPreviousOutput: true,
                environment: {
                    PLACE: this.place.source,
                    OWNER: args.user,
                    STORE: role,
                    ADOPT: String(args.adopt),
                    MARK: pulumi.interpolate`deployment ${args.name}\n${args.fingerprints}`,
                },
            },
            { parent: this, dependsOn: [args.image.pulled, ...(args.restored ? [args.restored] : [])] },
        );
        this.registerOutputs({ source: this.place.source });
    }
}

const claimScript = (image: string) =>
    `PREVIOUS=\${PULUMI_COMMAND_STDOUT:-}\nexport PREVIOUS\n${runAsRoot(image, CLAIM, ["OWNER", "STORE", "MARK", "ADOPT", "PLACE", "PREVIOUS"])}`;

export const CLAIM = `set -eu
file=/place/.forwardemail
data=$(find /place -mindepth 1 -maxdepth 1 ! -name lost+found ! -name ".forwardemail*")
refuse() { echo "REFUSED: the $STORE data ($1). No service was started and no data was changed. Fix: $2" >&2; exit 3; }
if [ -z "$data" ]; then
    # Empty, or marked by an attempt that another store refused: there is nothing that a key could fit.
    [ -z "$PREVIOUS" ] || [ "$PREVIOUS" = "$PLACE" ] || refuse "it moves from $PREVIOUS to $PLACE, which is empty" \\
        "stop the stack (npm run down), copy $PREVIOUS to $PLACE with its owners, then run npm run up"
    # The mark stays in a store that is empty: where it is gone, what was here is gone.
    [ -z "$PREVIOUS" ] || [ -e "$file" ] || [ "$ADOPT" = true ] || refuse "it was at $PLACE, and now there is nothing" \\
        "bring back its disk, or a backup (npm run restore); to go on without it, set data.adopt to true"
elif [ ! -e "$file" ]; then
    [ "$ADOPT" = true ] || refuse "it holds files but no mark of a deployment" "to take it over with the keys of this stack, set data.adopt to true"
elif [ "$(cat "$file")" != "$MARK" ]; then
    refuse "it was written with other keys, or by another deployment: $(head -n 1 "$file")" \\
        "bring back the state, or give the old keys as config secrets (helperEncryptionKey, txtEncryptionKey); or point the stack at other data"
fi
printf "%s\\n" "$MARK" > "$file.new"
mv -f "$file.new" "$file"
find /place ! -user "$OWNER" -exec chown -h "$OWNER:" {} +
printf %s "$PLACE"`;

/**
 * Refuses mailboxes without their database. The application's clean-up job deletes each mailbox file whose alias it does not
 * find in MongoDB (upstream jobs/cleanup-sqlite.js), and in an empty MongoDB it finds none.
 */
export function checkTogether(
    args: { server: Server; name: string; image: { reference: pulumi.Input<string> }; stores: Record<StoreName, Store> },
    opts: pulumi.CustomResourceOptions,
): pulumi.Resource {
    const { mailboxes, mongodb } = args.stores;
    return args.server.run(
        `${args.name}-together-claim`,
        {
            script: pulumi.interpolate`docker run --rm --network none --user 0:0 --cap-drop ALL --cap-add DAC_READ_SEARCH --security-opt no-new-privileges \\
    -v "$MAILBOXES:/mailboxes:ro" -v "$MONGODB:/mongodb:ro" --entrypoint /bin/sh '${args.image.reference}' -c '${TOGETHER}'`,
            environment: { MAILBOXES: mailboxes.place.source, MONGODB: mongodb.place.source },
        },
        { ...opts, dependsOn: [mailboxes.claimed, mongodb.claimed] },
    );
}

export const TOGETHER = `set -eu
mailbox=$(find /mailboxes -name "*.sqlite" | head -n 1)
database=$(find /mongodb -mindepth 1 -maxdepth 1 ! -name ".*" ! -name lost+found ! -name mongod.lock | head -n 1)
if [ -n "$mailbox" ] && [ -z "$database" ]; then
    echo "REFUSED: there are mailboxes, but the mongodb data that knows their owners is gone. Starting would delete the mailboxes. Fix: bring back the mongodb data (a backup) first" >&2
    exit 3
fi`;
