// Delivers an event again: to every subscribed webhook, or to one.
import { html } from "../../ui.js";
import { post } from "../../api.js";
import { Dialog } from "../../components/dialog.js";
import { FieldFrame, Form, Submit, useForm } from "../../components/form.js";
import { WebhookPicker } from "../../components/webhook-picker.js";

const isOn = (webhook) => webhook.attributes.status !== "disabled";

/** `onStarted` gets the job. `to` is the webhook that is offered first, `name` its name. */
export function Replay({ id, type, to = "", name, onClose, onStarted }) {
  const form = useForm({
    initial: { webhook_id: to },
    submit: async ({ webhook_id: one }) => {
      onStarted((await post(`v1/events/${encodeURIComponent(id)}/replay`, one ? { webhook_id: one } : {})).data);
    },
  });
  form.known.current.add("webhook_id");
  const chosen = form.values.webhook_id;
  return html`<${Dialog} title="Replay this event?" onClose=${onClose}>
    <${Form} form=${form} footer=${html`<button type="button" class="button" onClick=${onClose}>Cancel</button><${Submit} form=${form}>Replay<//>`}>
      <p>Creates a new delivery of <code class="anywhere">${type}</code> with the full retry schedule. Receivers see the same <code>webhook-id</code> again; those that detect duplicates ignore it.</p>
      <${FieldFrame} label="To" error=${form.errorOf("webhook_id")}>${(attributes) => html`<${WebhookPicker} ...${attributes} inline any="Every subscribed webhook" value=${chosen} known=${chosen === to ? name : undefined} offers=${isOn} onChange=${(v) => form.set("webhook_id", v)} />`}<//>
    <//><//>`;
}
