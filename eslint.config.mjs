import eslint from "@eslint/js";
import pulumi from "@pulumi/eslint-plugin";
import tseslint from "typescript-eslint";

export default tseslint.config(
    { ignores: ["node_modules", ".work", "test/rig/{images,source}/**/*.js"] },
    eslint.configs.recommended,
    tseslint.configs.recommended,
    {
        // An Output made into text is "[object Object]" or worse. The plug-in's rule names the fix for the plain case; the other one also sees
        // `+`, String(), Input and OutputInstance (which the plug-in's own rule for it never finds: it looks for an alias, not an interface).
        files: ["**/*.ts"],
        languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
        plugins: { "@pulumi": pulumi },
        rules: {
            "@pulumi/no-output-in-template-literal": "error",
            "@typescript-eslint/no-base-to-string": "error",
        },
    },
    {
        rules: {
            "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
            // A resource inside apply is invisible to preview and its dependencies are lost.
            "no-restricted-syntax": [
                "error",
                {
                    selector:
                        "CallExpression[callee.property.name=/^(apply|then)$/] NewExpression[callee.object.name=/^(docker|command|tls|random|aws|cloudflare)$/]",
                    message: "Declare resources outside apply().",
                },
            ],
        },
    },
);
