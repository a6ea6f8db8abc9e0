import { randomBytes } from "node:crypto";
import { EXCHANGER, CATALOGUE, ServiceName, under } from "../../components/services/catalogue";
import { Check, Deployment, Finding, unknown } from "./check";
import { authentication } from "./authentication";
import { fromElsewhere } from "./mail";
import type { Login, Mail, Mailbox } from "./post";
import { clientFinding } from "./received";
import type { World } from "./world";

/** How long a mail may take, in seconds. Upstream's queue begins a round every five seconds (jobs/send-emails.js). */
const LIMIT = 60;
/** What is still well: several rounds. */
const SLOW = 30;
/** Between two looks, in milliseconds. */
const STEP = 500;
/** Mails of an earlier run that came too late for it, in milliseconds. */
const LEFT_BEHIND = 10 * 60 * 1000;

const PREFIX = "Mail check by npm run verify";

/** Two real mails, to and by the canary of the backups: an alias of the operator's, whose mailbox programs may open. */
export const mailCheck: Check = {
    id: "mail",
    title: "a mail from outside, and one that the deployment sends, arrive within seconds and are signed as DNS says",
    source: "RFC 5321, 9051, 8314; 7208, 6376, 7489 §3.1",
    patience: 120_000,
    async run(deployment, world) {
        const { profile, dns, backups } = deployment.settings;
        if (profile !== "full") return []; // no mailboxes
        const login = backups?.canary && (await world.canary());
        if (login) return exchange(login, deployment, world);
        // A stack that nobody outside is to find gets no mail of others either.
        return dns ? [withoutCanary(deployment.stack)] : [];
    },
};

const withoutCanary = (stack: string): Finding => ({
    status: "warn",
    subject: "backups.canary",
    got: "not set: no mail was sent",
    fix: `make an alias for it, name it in backups.canary, and pulumi config set --secret backupCanaryPassword --stack ${stack}: docs/backups.md`,
});

async function exchange(login: Login, deployment: Deployment, world: World): Promise<Finding[]> {
    const mailbox = await world.post.open(at("imap", deployment), login).catch((error: Error) => error);
    if (mailbox instanceof Error) {
        const fix = "see backups.canary and the secret backupCanaryPassword, and the checks services and tls";
        return [{ status: "fail", subject: `mailbox of ${login.user}`, got: mailbox.message, fix }];
    }
    const started = world.now();
    const id = `${PREFIX} ${started.getTime()}-${randomBytes(4).toString("hex")}`;
    try {
        const ways = deployment.addresses.map((address) => inbound(`${id} in ${address}`, address, login, mailbox, deployment, world));
        return (await Promise.all([...ways, outbound(`${id} out`, login, mailbox, deployment, world)])).flat();
    } finally {
        const isOurs = (subject: string) => subject.startsWith(id) || started.getTime() - Number(/ (\d+)-/.exec(subject)?.[1]) > LEFT_BEHIND;
        await mailbox.remove(PREFIX, isOurs).catch(() => undefined); // the next run does
        await mailbox.close().catch(() => undefined);
    }
}

/** Where the service answers. */
function at(service: ServiceName, { address, settings, outputs }: Deployment) {
    const [label] = CATALOGUE[service].publicNames;
    const port = CATALOGUE[service].publish[0] + settings.network.portOffset;
    return { address, port, servername: under(settings.host, label), ca: outputs.authority as string | undefined };
}

/** Over each address: how MX sees its clients differs between IPv4 and IPv6. */
async function inbound(
    subject: string,
    address: string,
    { user }: Login,
    mailbox: Mailbox,
    deployment: Deployment,
    world: World,
): Promise<Finding[]> {
    const over = address.includes(":") ? " over IPv6" : "";
    const of = `mail to ${user} from outside${over}`;
    const lines = fromElsewhere(user, subject, "A mail that npm run verify sends, and deletes.", world.now());
    const answers = await world.dial.smtp(address, at(EXCHANGER, deployment).port, lines).catch((error: Error) => error);
    if (answers instanceof Error) return [unknown(of, answers.message)]; // whether it answers is for ports and services to tell
    const refusal = answers.find((answer) => !/^[23]/.test(answer)) ?? (answers.length < 6 ? "it hung up" : undefined);
    const fix = `see npm run logs -- mx --stack ${deployment.stack}, and the check domains`;
    if (refusal?.startsWith("5")) return [{ status: "fail", subject: of, got: refusal, fix }];
    // Upstream puts off whoever it does not know, for five minutes (helpers/is-greylisted.js).
    if (refusal) return [unknown(of, `it is put off: ${refusal}`)];
    const { found, finding } = await arrival(subject, of, fix, mailbox, world);
    return [finding, ...(found && !deployment.isHere ? [clientFinding(`client's address at mx${over}`, found.source, world)] : [])];
}

async function outbound(subject: string, login: Login, mailbox: Mailbox, deployment: Deployment, world: World): Promise<Finding[]> {
    const of = `mail by ${login.user}`;
    const fix = `see npm run logs -- smtp_bree --stack ${deployment.stack}; in the web interface, My Account, Emails says why a mail waits`;
    const mail = { subject, text: "A mail that npm run verify sends to its own sender, and deletes." };
    const refused = await world.post.submit(at("smtp", deployment), login, mail).then(
        () => undefined,
        (error: Error) => error,
    );
    if (refused)
        return [{ status: "fail", subject: of, got: `it is not taken: ${refused.message}`, fix: "see the checks domains, services and tls" }];
    const { found, finding } = await arrival(subject, of, fix, mailbox, world);
    return [finding, ...(found ? await authentication(found.source, login.user, deployment, world) : [])];
}

async function arrival(subject: string, of: string, fix: string, mailbox: Mailbox, world: World): Promise<{ found?: Mail; finding: Finding }> {
    const started = world.now().getTime();
    const seconds = () => Math.round((world.now().getTime() - started) / 100) / 10;
    let found = await mailbox.find(subject);
    while (!found && seconds() < LIMIT) {
        await world.sleep(STEP);
        found = await mailbox.find(subject);
    }
    if (!found) return { finding: { status: "fail", subject: of, got: `taken, and not in the mailbox after ${LIMIT} s`, fix } };
    const got = `there after ${seconds()} s`;
    if (found.folder !== "INBOX") return { found, finding: { status: "warn", subject: of, got: `${got}, in ${found.folder}`, fix } };
    return {
        found,
        finding: seconds() > SLOW ? { status: "warn", subject: of, expected: `within ${SLOW} s`, got, fix } : { status: "pass", subject: of, got },
    };
}
