import { ESLint } from "eslint";
import { expect, test } from "vitest";
import { PROJECT } from "../../operate/stackFile";

const complaints = async (body: string) => {
    const eslint = new ESLint({ cwd: PROJECT });
    const code = `import * as docker from "@pulumi/docker";\nimport * as pulumi from "@pulumi/pulumi";\n${body}\n`;
    const [result] = await eslint.lintText(code, { filePath: "components/example.ts" });
    return result.messages.map(({ message }) => message);
};

test("the linter refuses a resource inside apply, and only there", async () => {
    expect(await complaints('export const x = pulumi.output("a").apply((name) => new docker.Volume(name));')).toEqual([
        "Declare resources outside apply().",
    ]);
    expect(await complaints('export const x = new docker.Volume("a", { name: pulumi.output("a").apply((name) => name) });')).toEqual([]);
});
