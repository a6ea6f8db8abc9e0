import { z } from "zod";

/** Host, optional port, then path segments (distribution's reference grammar), without tag or digest. The registry must be told. */
const REPOSITORY = /^(localhost|[a-z0-9-]+(\.[a-z0-9-]+)+|[a-z0-9-]+(?=:))(:\d{1,5})?(\/[a-z0-9]+([._-]+[a-z0-9]+)*)+$/;
const REPOSITORY_FORM = "a repository with its registry and without a tag, such as registry.example.com/me/forwardemail-selfhosted";

const build = z.strictObject(
    {
        context: z
            .string("a path")
            .min(1, "a path")
            .describe("Git checkout of the application's source, such as ../forwardemail.net. What is committed there is built."),
        repository: z
            .string(REPOSITORY_FORM)
            .regex(REPOSITORY, REPOSITORY_FORM)
            .describe("Where the image is pushed to, and pulled from by the server."),
        username: z
            .string("a user name")
            .min(1, "a user name")
            .optional()
            .describe("User of the registry, with the secret registryPassword. Default, what docker login has left on the machine that builds."),
        platforms: z
            .array(z.enum(["linux/amd64", "linux/arm64"], "linux/amd64 or linux/arm64"), "a list of platforms")
            .default([])
            .describe("Platforms of the image, built by buildx. Default, that of the Docker that builds."),
        args: z
            .record(
                z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "a name of letters, digits and underscores"),
                z.string("text in quotes").regex(/^[^\n]*$/, "text of one line"),
                "a map from argument to text",
            )
            .default({})
            .describe("Arguments of image/Dockerfile, such as BUILD_BASE and RUN_BASE of a mirror. No secret: they stay in the image's history."),
    },
    "a map with context, repository, username, platforms, args",
);

/** Where the application's image comes from, if not from the lock file. */
export const image = z
    .strictObject({ build: build.optional().describe("Builds the image from source, and runs what it has built.") }, "a map with build")
    .default({});
