import { Api, Refused, meaningOf } from "./api";
import type { Seen } from "./application";
import { mayDomainSend } from "./dnsSteps";
import type { Guided } from "./guide";
import { Step, pageOf } from "./place";
import { aliasOf, canBeOwn, missingRoles, ownAlias, systemHasPassword } from "./steps";

/** Does what can be done of a step over the application's API. What is refused is said in the application's words; the rest is by hand. */
export async function perform(step: Step, seen: Seen, api: Api, guided: Guided): Promise<void> {
    const { terminal } = guided;
    try {
        for (const line of await WORK[step.kind](step, seen, api, guided)) terminal.say(`  ${line}`);
    } catch (error) {
        terminal.say(`  ${meaningOf(error)}`);
    }
}

type Work = (step: Step, seen: Seen, api: Api, guided: Guided) => Promise<string[]>;

const WORK: Record<Step["kind"], Work> = {
    admin: async () => [],
    records: async () => [],
    // As upstream's own wizard asks for it (routes/web/setup.js), but for its catch-all: what is written to any name at all is mostly spam.
    domain: async ({ domain }, _, api) => {
        await api.call("POST", "/v1/domains", { domain, plan: "team", catchall: false });
        return [`${domain} is added.`];
    },
    verified: async ({ domain }, _, api) => said(await api.call("GET", `/v1/domains/${domain}/verify-records`)),
    sending: async ({ domain }, seen, api) => (mayDomainSend(domain!, seen) ? said(await api.call("GET", `/v1/domains/${domain}/verify-smtp`)) : []),
    mailbox,
    system,
    roles,
};

const said = (answer: unknown) => (typeof answer === "string" ? [answer] : []);
const passwordOf = (name: string, domain: string) => `/v1/domains/${domain}/aliases/${encodeURIComponent(name)}/generate-password`;

async function mailbox(step: Step, seen: Seen, api: Api, { place, terminal }: Guided): Promise<string[]> {
    const domain = step.domain!;
    const ask = async () => (await terminal.ask(`  Your own address, the part before @${domain}: `)).toLowerCase();
    let name = await ask();
    while (name && !canBeOwn(name)) {
        terminal.say(`  ${name}@${domain} is for a role, not somebody's own: take another, such as your name.`);
        name = await ask();
    }
    if (!name) return [];
    const stored = place.settings.profile === "full";
    if (!aliasOf(seen, name, domain)) {
        // Over the API every alias has a recipient: without one, the administrator's address, and never the alias itself.
        if (seen.admin?.email === `${name}@${domain}`)
            return [`This address is the administrator's too, and over the API it would forward to itself: make it in the web interface.`];
        await api.call("POST", `/v1/domains/${domain}/aliases`, { name, ...(stored ? { has_imap: true } : {}) });
        const copies = stored
            ? `: a copy of its mail goes to ${seen.admin?.email}, until you take that out at`
            : `, forwarded to ${seen.admin?.email}:`;
        terminal.say(`  ${name}@${domain} is made${copies} ${pageOf(place, domain, "/aliases")}`);
    }
    if (!stored || !(await terminal.confirm("  Generate its password now, and show it here this once? [y/N] "))) return [];
    const { username, password } = (await api.call("POST", passwordOf(name, domain), {})) as { username: string; password: string };
    return [`User name ${username}, password ${password}`, "It is shown nowhere again."];
}

/** The deployment has a password for its own mail from the beginning: the alias gets that one, and no `up` is needed. */
async function system({ domain }: Step, seen: Seen, api: Api, guided: Guided): Promise<string[]> {
    const host = domain!;
    const { place, terminal } = guided;
    if (!aliasOf(seen, "support", host)) {
        const own = ownAlias(seen, place)!; // the step before
        const recipients = [`${own.name}@${own.domain}`];
        await api.call("POST", `/v1/domains/${host}/aliases`, { name: "support", recipients });
        terminal.say(`  support@${host} is made; answers go to ${recipients[0]}.`);
    }
    if (place.settings.profile !== "full") {
        // A password of an alias is the key of a mailbox, and there are none here. Submission takes one of the domain as well.
        await api.call("POST", `/v1/domains/${host}/catch-all-passwords`, {
            new_password: await guided.systemPassword(),
            description: "system mail",
        });
        return ["The domain takes the deployment's password for it."];
    }
    const password = systemHasPassword(seen, host)
        ? await terminal.askHidden("  support has a password, of another making. Which (empty: by hand)? ")
        : "";
    if (!password && systemHasPassword(seen, host)) return [];
    await api.call("POST", passwordOf("support", host), { new_password: await guided.systemPassword(), ...(password ? { password } : {}) });
    return ["It has the password that the deployment knows."];
}

async function roles(_: Step, seen: Seen, api: Api, { place, terminal }: Guided): Promise<string[]> {
    const own = ownAlias(seen, place)!;
    const to = `${own.name}@${own.domain}`;
    for (const { name, domain } of missingRoles(seen, place)) {
        try {
            await api.call("POST", `/v1/domains/${domain}/aliases`, { name, recipients: [to] });
            terminal.say(`  ${name}@${domain} goes to ${to}.`);
        } catch (error) {
            if (!(error instanceof Refused)) throw error;
            terminal.say(`  ${name}@${domain}: ${meaningOf(error)}`); // such as of one that is there, and off; the others need not wait
        }
    }
    return [];
}
