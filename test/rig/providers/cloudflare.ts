import { accountFile, readAccount } from "../cloudflare/account";
import { cloudflareProvider } from "../cloudflare/resource";
import { inFile, rigOf } from "./account";
import { onConfigure } from "./configuration";

// The real provider also takes CLOUDFLARE_API_TOKEN; a program that leans on the environment of whoever runs it is to be found out.
let token: string | undefined;
onConfigure(({ apiToken }) => (token = apiToken));

export default cloudflareProvider({
    withAccount: (use) => accounts(use),
    token: () => token,
});

let accounts: ReturnType<typeof inFile<ReturnType<typeof readAccount>>> = (use) =>
    (accounts = inFile(accountFile(rigOf("cloudflare").dir), readAccount))(use);
