import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import * as path from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { Problem } from "../errors";
import { DOCKER_SOCKET } from "../server/connection";
import { RawConfig } from "./parse";
import { Config } from "./schema";
import { BuildSettings } from "./settings";

const DOCKERFILE = path.join(__dirname, "../../image/Dockerfile");
/** What image/Dockerfile needs of a checkout. */
const SOURCE = [".git", "package.json", "pnpm-lock.yaml", ".env.schema"];
/** What is committed, whatever the commit says of itself. */
const TREE = ["rev-parse", "HEAD^{tree}"];
const RELEASE = /^\d+\.\d+\.\d+(-[\w.]+)?$/;

/**
 * Whether an image can be built. Looks into the checkout.
 * @param mayLack a plan that nobody runs, or a look at what runs, need not have the checkout.
 */
export function checkBuild(config: Config, raw: RawConfig, directory: string, mayLack = false): Problem[] {
    const { build } = config.image;
    const problems: Problem[] = [];
    const report = (key: string, message: string, fix: string) => problems.push({ key, message, fix });
    if (!build) {
        if (raw.registryPassword) report("registryPassword", "is given, but no image is built", "set image.build, or remove it");
        return problems;
    }
    if (config.version !== "latest")
        report(
            "version",
            `got ${config.version} together with image.build, wanted latest: what is checked out is what runs`,
            checkOut(config.version),
        );
    if (build.username && !raw.registryPassword)
        report("registryPassword", "is missing, wanted the password of image.build.username", "pulumi config set --secret registryPassword");
    if (!build.username && raw.registryPassword)
        report("image.build.username", "is missing, wanted the user whose password is registryPassword", "set it, or remove the password");
    const context = path.resolve(directory, build.context);
    if (!(mayLack && !existsSync(context))) problems.push(...checkSource(context).map((one) => ({ key: "image.build.context", ...one })));
    return problems;
}

const checkOut = (version: string) => `git checkout ${version} in image.build.context, and remove version`;

function checkSource(context: string): Array<Omit<Problem, "key">> {
    const fix = "name a git checkout of the application: git clone https://github.com/forwardemail/forwardemail.net";
    if (!existsSync(context)) return [{ message: `${context} does not exist`, fix }];
    const missing = SOURCE.filter((file) => !existsSync(path.join(context, file)));
    if (missing.length > 0) return [{ message: `${context} has no ${missing.join(", ")}, wanted a git checkout of the application`, fix }];
    const version = releaseOf(context);
    if (!RELEASE.test(version)) return [{ message: `${context}/package.json has the version "${version}", wanted one such as 2.15.0`, fix }];
    const { said } = git(context, ...TREE);
    if (said) return [{ message: `git cannot read ${context} (${said})`, fix }];
    if (git(context, "status", "--porcelain", "--untracked-files=no").text)
        return [
            { message: `${context} has changes that are not committed, and only what is committed is built`, fix: "commit them, or take them back" },
        ];
    return [];
}

/** What to build; see {@link checkBuild} for what must be right before. */
export function buildOf(config: Config, raw: RawConfig, directory: string): BuildSettings | undefined {
    const { build } = config.image;
    if (!build) return undefined;
    const { repository, platforms, args, username } = build;
    const context = path.resolve(directory, build.context);
    const dockerfile = readFileSync(DOCKERFILE, "utf8");
    const tree = existsSync(context) ? git(context, ...TREE).text : "";
    const hash = createHash("sha256")
        .update(JSON.stringify([tree, dockerfile, args, platforms]))
        .digest("hex");
    const [server] = config.servers;
    return {
        ...{ context, tree, dockerfile, repository, platforms, args },
        tag: tree ? `v${releaseOf(context)}-${hash.slice(0, 12)}` : "not-checked-out",
        login: username ? { address: repository.split("/")[0], username, password: pulumi.secret(raw.registryPassword) } : undefined,
        dockerHost: server.kind === "local" ? (server.dockerHost ?? `unix://${DOCKER_SOCKET}`) : undefined,
    };
}

function releaseOf(context: string): string {
    try {
        return String((JSON.parse(readFileSync(path.join(context, "package.json"), "utf8")) as { version?: unknown }).version);
    } catch {
        return ""; // not JSON
    }
}

/** Output of git in a checkout; `said` is its error. */
function git(context: string, ...args: string[]): { text: string; said?: string } {
    const { status, stdout, stderr, error } = spawnSync("git", ["-C", context, ...args], { encoding: "utf8" });
    return status === 0 ? { text: stdout.trim() } : { text: "", said: error?.message ?? stderr.trim().split("\n")[0] };
}
