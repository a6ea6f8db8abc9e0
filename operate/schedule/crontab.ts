import { Host, Job, Scheduler, nightOf } from "./job";

/** Lines of this user's crontab, where there is no systemd. */
export function cron(host: Host, now: () => Date = () => new Date()): Scheduler {
    const read = () => {
        const { status, stdout, stderr } = host.run("crontab", ["-l"]);
        if (status === undefined)
            throw new Error(
                "There is neither systemd nor a crontab here. Fix: install cron; or have your scheduler run: npm run schedule -- run --stack NAME",
            );
        if (status !== 0 && !/no crontab/i.test(stderr)) throw new Error(`crontab -l failed: ${stderr.trim()}. Fix: mend that, and run this again.`);
        return status === 0 ? stdout : "";
    };
    const write = (text: string) => {
        const { status, stderr } = text === "" ? host.run("crontab", ["-r"]) : host.run("crontab", ["-"], text);
        if (status !== 0) throw new Error(`The crontab was not taken: ${stderr.trim()}. Fix: mend that, and run this again.`);
    };
    return {
        kind: "lines in this user's crontab",
        install(job) {
            if (job.timeZone)
                throw new Error(
                    `--time-zone: got ${job.timeZone}, but there is no systemd here, and cron knows the machine's own time alone. Fix: leave it out, and give --at in that.`,
                );
            if (job.user !== host.user)
                throw new Error(`${job.checkout} belongs to user ${job.user}, whose crontab this is not. Fix: run this as that user.`);
            const before = read();
            const after = withBlock(before, job.name, linesOf(job));
            if (after !== before) write(after);
            return after !== before;
        },
        remove(name) {
            const before = read();
            const after = withBlock(before, name, undefined);
            if (after !== before) write(after);
            return after !== before;
        },
        find(name) {
            const block = split(read(), name)?.block;
            const [, minute, hour, checkout] = /^(\d+) (\d+) \* \* \* cd '([^']*)'/m.exec(block ?? "") ?? [];
            if (checkout === undefined) return undefined;
            const at = `${hour.padStart(2, "0")}:${minute.padStart(2, "0")}`;
            return { checkout, when: `every night at ${at}`, next: next(at, now()), log: `what syslog keeps of ${name}` };
        },
        hints: () => (host.isMac ? ["A Mac that sleeps misses its night: cron does not make up for it, launchd (not set up by this) would."] : []),
    };
}

const begin = (name: string) => `# BEGIN ${name}: npm run schedule -- remove takes these lines away`;
const end = (name: string) => `# END ${name}`;

/** Without a logger, cron mails what a night says. Paths have no quotes and no %, which cron takes for a line's end (mustBePlain). */
function linesOf(job: Job): string {
    const [hour, minute] = job.at.split(":").map(Number);
    const environment = job.environment ? ` --environment '${job.environment}'` : "";
    const run = `PATH='${job.path}' /bin/sh operate/run.sh ${nightOf(job).join(" ")}${environment}`;
    return `${minute} ${hour} * * * cd '${job.checkout}' && ${run} 2>&1 | logger -t ${job.name}`;
}

/** The text of a crontab with these lines between their marks, or without any. What others have in it stays to the letter. */
export function withBlock(text: string, name: string, lines: string | undefined): string {
    const { before, after } = split(text, name) ?? { before: text === "" || text.endsWith("\n") ? text : `${text}\n`, after: "" };
    return lines === undefined ? (split(text, name) ? before + after : text) : `${before}${begin(name)}\n${lines}\n${end(name)}\n${after}`;
}

function split(text: string, name: string): { before: string; block: string; after: string } | undefined {
    const lines = text.split("\n");
    const [from, to] = [begin(name), end(name)].map((mark) => lines.indexOf(mark));
    if (from < 0 && to < 0) return undefined;
    if (from < 0 || to < from)
        throw new Error(`The crontab has one of the two marks of ${name} alone. Fix: take its lines out by hand (crontab -e), and run this again.`);
    const join = (part: string[]) => part.map((line) => `${line}\n`).join("");
    return { before: join(lines.slice(0, from)), block: join(lines.slice(from, to + 1)), after: lines.slice(to + 1).join("\n") };
}

function next(at: string, now: Date): string {
    const [hour, minute] = at.split(":").map(Number);
    const time = new Date(now);
    time.setHours(hour, minute, 0, 0);
    if (time <= now) time.setDate(time.getDate() + 1);
    return time.toString().replace(/ \(.*/, "");
}
