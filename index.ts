import { deploy } from "./components/deploy";
import { writeKeys } from "./components/server/keyFiles";
import { loadSettings } from "./components/settings/load";

// Settings are checked before anything is declared; components/deploy.ts is the place to read on.
export = async () => {
    const settings = loadSettings(__dirname);
    const { servers, sshKey } = settings;
    writeKeys(servers, sshKey && (await new Promise<string>((resolve) => sshKey.apply(resolve))));
    return deploy(settings);
};
