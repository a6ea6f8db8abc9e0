import { ESLint } from "eslint";
import { expect, test } from "vitest";
import { PROJECT } from "../../operate/stackFile";

// The rules ask TypeScript for types: it must know the file, so the text stands in for one that is there.
const complaints = async (body: string) => {
    const eslint = new ESLint({ cwd: PROJECT });
    const code = `import * as docker from "@pulumi/docker";\nimport * as pulumi from "@pulumi/pulumi";\n${body}\n`;
    const [result] = await eslint.lintText(code, { filePath: "index.ts" });
    return result.messages.map(({ message }) => message);
};

test("the linter refuses a resource inside apply, and only there", async () => {
    expect(await complaints('export const x = pulumi.output("a").apply((name) => new docker.Volume(name));')).toEqual([
        "Declare resources outside apply().",
    ]);
    expect(await complaints('export const x = new docker.Volume("a", { name: pulumi.output("a").apply((name) => name) });')).toEqual([]);
});

test("the linter refuses an output that is made into text", async () => {
    const given = "declare const a: pulumi.Output<string>; declare const b: pulumi.Input<string>; declare const c: pulumi.OutputInstance<number>;\n";
    const asText = /default stringification/;
    expect(await complaints(`${given}export const x = \`\${a}\`;`)).toContain("pulumi.Output<T> not permitted in template literals.");
    for (const text of ["`${b}`", "`${c}`", '"x" + a', "String(a)"])
        expect(await complaints(`${given}export const x = ${text};`)).toContainEqual(expect.stringMatching(asText));
    expect(await complaints(`${given}export const x = pulumi.interpolate\`\${a}\${b}\`;`)).not.toContainEqual(expect.stringMatching(asText));
});
