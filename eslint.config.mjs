import eslint from "@eslint/js";
import tseslint from "typescript-eslint";

export default tseslint.config(
    { ignores: ["node_modules", ".work", "test/rig/images/**/*.js"] },
    eslint.configs.recommended,
    tseslint.configs.recommended,
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
