// Dialogs of a webhook: rotating its secret, and resending missed events.
import { html, useState } from "../../ui.js";
import { post } from "../../api.js";
import { local, plural, utc } from "../../format.js";
import { timeMode } from "../../state.js";
import { Dialog } from "../../components/dialog.js";
import { Field, Form, Submit, useForm } from "../../components/form.js";
import { SecretOnce, useOnce } from "../../components/secret.js";
import { Note } from "../../components/states.js";

const path = (id) => `v1/webhooks/${encodeURIComponent(id)}`;

const OVERLAPS = [
  ["24h", "24 hours"],
  ["0s", "None: the old secret stops working now"],
  ["1h", "1 hour"],
  ["3d", "3 days"],
  ["7d", "7 days"],
];

/** Rotation. The new secret replaces the form. */
export function Rotate({ webhook, onClose }) {
  const [secret, setSecret] = useState(null);
  const once = useOnce("signing secret");
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
    return html`<${Dialog} title="New signing secret" onClose=${onClose} sure=${once.sure} footer=${html`<button type="button" class="button primary" onClick=${onClose}>Done</button>`}>
      <${SecretOnce} once=${once} items=${[["Signing secret", secret.value]]}>Give it to the receiver. It is shown only once.<//>
      <p class="muted">${secret.overlap === "0s" ? "The old secret no longer signs." : `For ${words}, webhook-signature has a signature by each secret, so the receiver can switch at any time.`}</p><//>`;
  }
  return html`<${Dialog} title="Rotate the signing secret" onClose=${onClose}>
    <${Form} form=${form} footer=${html`<button type="button" class="button" onClick=${onClose}>Cancel</button><${Submit} form=${form}>Create a new secret<//>`}>
      <p>Creates a new secret. During the overlap, requests are signed with both, and the receiver can verify either signature.</p>
      <${Field} form=${form} name="overlap" label="Overlap" as="select" options=${OVERLAPS} hint="The plain HMAC headers hold only the signature by the newest secret." />
    <//><//>`;
}

const WINDOWS = [
  ["3600000", "The last hour"],
  ["86400000", "The last 24 hours"],
  ["604800000", "The last 7 days"],
  ["2592000000", "The last 30 days"],
  ["own", "Since a date"],
];

/** Recovery in two steps: a preview, then the work. `onStarted` gets the job. */
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
    return html`<${Dialog} title="Resend missed events" onClose=${onClose} footer=${html`<button type="button" class="button" onClick=${onClose}>Cancel</button><button type="button" class="button primary" onClick=${onEnable}>Enable ${name}</button>`}>
      <p>This webhook is disabled. Enable it first, then resend the events that it missed.</p><//>`;
  }
  return html`<${Dialog} title="Resend missed events" onClose=${onClose}>
    <${Form} form=${form} footer=${html`<button type="button" class="button" onClick=${onClose}>Cancel</button><${Submit} form=${form}>${!found ? "Preview" : found.matched ? `Resend ${plural(found.matched, "event")}` : "Preview again"}<//>`}>
      <p>Resends every event from this period that ${name} should have received but did not. Delivered and pending events are skipped.</p>
      <${Field} form=${{ ...form, set: again }} name="window" label="Period" as="select" options=${WINDOWS} />
      ${form.values.window === "own" && html`<${Field} form=${{ ...form, set: again }} name="since" label="Since (${zone})" type="datetime-local" />`}
      ${found && html`<${Note} tone=${found.matched ? "info" : "ok"}>${found.matched ? html`<strong class="num">${plural(found.matched, "event")}</strong> to resend. New events take priority.` : "No missed events in this period."}<//>`}
    <//><//>`;
}

function momentOf(text) {
  const at = new Date(timeMode.value === "utc" ? `${text}Z` : text);
  if (Number.isNaN(at.getTime())) throw new Error("Enter a date and time.");
  return at.toISOString();
}
