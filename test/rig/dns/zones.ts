import * as fs from "node:fs";
import * as path from "node:path";

import { run } from "../images/run";
import { zoneConf, zoneText } from "./config";

// Each load has a folder and so file names of its own: the server takes a zone whose file has another name as a new one, with neither
// the journal nor the records of the old.
const folderOf = (dir: string, serial: number) => path.join(dir, `zones-${serial}`);
const serialsIn = (dir: string) => fs.readdirSync(dir).flatMap((name) => /^zones-(\d+)$/.exec(name)?.slice(1).map(Number) ?? []);

/** A serial number for the next load: the time, unless there are more loads than seconds. */
export const nextSerial = (dir: string): number => Math.max(Math.floor(Date.now() / 1000), ...serialsIn(dir).map((serial) => serial + 1));

/** Writes a master file for each zone. Answers the zones of named.conf. */
export function writeZones(dir: string, zones: Record<string, string>, serial: number): string {
    fs.mkdirSync(folderOf(dir, serial));
    return Object.entries(zones)
        .map(([zone, records], number) => {
            const file = path.join(folderOf(dir, serial), `${number}.zone`);
            fs.writeFileSync(file, zoneText(zone, records, serial));
            return zoneConf(zone, file);
        })
        .join("");
}

/** Removes what earlier loads left. */
export function keepZones(dir: string, serial: number): void {
    for (const other of serialsIn(dir)) if (other !== serial) fs.rmSync(folderOf(dir, other), { recursive: true });
}

/** What makes named-checkzone refuse a zone; names of other zones are not looked up. */
const strict = ["-i", "local", ...["-k", "-m", "-M", "-n", "-r", "-S"].flatMap((check) => [check, "fail"])];

/** Throws what named-checkzone has to say about the zones; it lets much pass with a warning that is a mistake all the same. */
export async function checkZones(zones: Record<string, string>, scratch: string): Promise<void> {
    fs.mkdirSync(scratch, { recursive: true });
    try {
        for (const [zone, records] of Object.entries(zones)) {
            const file = path.join(scratch, "zone");
            fs.writeFileSync(file, zoneText(zone, records, 1));
            const said = await run("named-checkzone", [...strict, zone, file]).catch((error: Error) => error.message);
            const complaints = said.split("\n").filter((line) => line && !/^(OK|zone \S+: loaded serial 1)$/.test(line));
            if (complaints.length > 0)
                throw new Error(`The zone ${zone} is not clean:\n${complaints.join("\n")}\n\n${fs.readFileSync(file, "utf8")}`);
        }
    } finally {
        fs.rmSync(scratch, { recursive: true });
    }
}
