// Dialogs of a webhook: another secret, and what was missed sent again.
import { html, useState } from "../../ui.js";
import { post } from "../../api.js";
import { local, plural, utc } from "../../format.js";
import { timeMode } from "../../state.js";
import { Dialog } from "../../components/dialog.js";
import { Field, Form, Submit, useForm } from "../../components/form.js";
import { SecretOnce } from "../../components/secret.js";
import { Note } from "../../components/states.js";

const path = (id) => `v1/webhooks/${encodeURIComponent(id)}`;

const OVERLAPS = [
  ["24h", "24 hours"],
  ["0s", "None: the old secret ends now"],
  ["1h", "1 hour"],
  ["3d", "3 days"],
  ["7d", "7 days"],
];

/** Rotation; the new secret is shown in place of the form. */
export function Rotate({ webhook, onClose }) {
  const [secret, setSecret] = useState(null);
  const form = useForm({
    initial: { overlap: "24h" },
    submit: async ({ overlap }) => {
      setSecret({
        value: (await post(`${path(webhook.id)}/rotate-secret`, { overlap })).data.attributes.signing_secret,
        overlap,
      });
    },
  });
  if (secret) {
    const words = OVERLAPS.find(([v]) => v === secret.overlap)[1];
    return html`<${Dialog} title="The new signing secret" onClose=${onClose} footer=${html`<button type="button" class="button primary" onClick=${onClose}>Done</button>`}>
      <${SecretOnce} items=${[["Signing secret", secret.value]]}>Give it to the receiver. It is shown this once.<//>
      <p class="muted">${secret.overlap === "0s" ? "The old secret does not sign any more." : `For ${words}, webhook-signature carries a signature of both secrets, so the receiver can change over meanwhile.`}</p><//>`;
  }
  return html`<${Dialog} title="Rotate the signing secret" onClose=${onClose}>
    <${Form} form=${form} footer=${html`<button type="button" class="button" onClick=${onClose}>Cancel</button><${Submit} form=${form}>Make a new secret<//>`}>
      <p>Makes a new secret. While both overlap, requests are signed with the new one and the old one, and the receiver may check either.</p>
      <${Field} form=${form} name="overlap" label="Overlap" as="select" options=${OVERLAPS} hint="The plain HMAC headers carry the newest secret's signature only." />
    <//><//>`;
}

const WINDOWS = [
  ["3600000", "The last hour"],
  ["86400000", "The last 24 hours"],
  ["604800000", "The last 7 days"],
  ["2592000000", "The last 30 days"],
  ["own", "Since …"],
];

/** Recovery in two steps: a count first, then the work. `onStarted` gets the job. */
export function Recover({ webhook, onClose, onStarted, onEnable }) {
  const { status, name } = webhook.attributes;
  const [found, setFound] = useState(null);
  const zone = timeMode.value === "utc" ? "UTC" : "local time";
  const form = useForm({
    initial: {
      window: "86400000",
      since: (timeMode.value === "utc" ? utc : local)(Date.now() - 86_400_000)
        .slice(0, 16)
        .replace(" ", "T"),
    },
    submit: async ({ window, since }) => {
      const begin = window === "own" ? momentOf(since) : new Date(Date.now() - Number(window)).toISOString();
      const job = (
        await post(`${path(webhook.id)}/recover`, found ? { since: found.since } : { since: begin, dry_run: true })
      ).data;
      if (found) onStarted(job);
      else setFound({ since: begin, matched: job.attributes.matched });
    },
  });
  const again = (name_, value) => {
    form.set(name_, value);
    setFound(null);
  };
  if (status === "disabled") {
    return html`<${Dialog} title="Recover what was missed" onClose=${onClose} footer=${html`<button type="button" class="button" onClick=${onClose}>Cancel</button><button type="button" class="button primary" onClick=${onEnable}>Enable ${name}</button>`}>
      <p>This webhook is disabled. Enable it first; then everything it missed can be sent again.</p><//>`;
  }
  return html`<${Dialog} title="Recover what was missed" onClose=${onClose}>
    <${Form} form=${form} footer=${html`<button type="button" class="button" onClick=${onClose}>Cancel</button><${Submit} form=${form}>${!found ? "Count" : found.matched ? `Send ${plural(found.matched, "delivery", "deliveries")}` : "Count again"}<//>`}>
      <p>Every event of this time that ${name} should have had, and that has not arrived and does not wait, is sent again, by the whole retry schedule. What arrived is left alone.</p>
      <${Field} form=${{ ...form, set: again }} name="window" label="Events of" as="select" options=${WINDOWS} />
      ${form.values.window === "own" && html`<${Field} form=${{ ...form, set: again }} name="since" label="Since (${zone})" type="datetime-local" />`}
      ${found && html`<${Note} tone=${found.matched ? "info" : "ok"}>${found.matched ? html`<strong class="num">${plural(found.matched, "delivery", "deliveries")}</strong> would be made. They go behind fresh events.` : "Nothing was missed in this time."}<//>`}
    <//><//>`;
}

function momentOf(text) {
  const at = new Date(timeMode.value === "utc" ? `${text}Z` : text);
  if (Number.isNaN(at.getTime())) throw new Error("Enter a date and a time.");
  return at.toISOString();
}
