import { deploy } from "./components/deploy";
import { loadSettings } from "./components/settings/load";

// Settings are checked before anything is declared; components/deploy.ts is the place to read on.
export = deploy(loadSettings(__dirname));
