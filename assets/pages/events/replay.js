// An event delivered once more: to all webhooks that want it, or to one.
import { html } from "../../ui.js";
import { post } from "../../api.js";
import { Dialog } from "../../components/dialog.js";
import { Field, Form, Submit, useForm } from "../../components/form.js";

/** `onStarted` gets the job. `to` is the webhook that is offered first. */
export function Replay({ id, type, webhooks, to = "", onClose, onStarted }) {
  const form = useForm({
    initial: { webhook_id: to },
    submit: async ({ webhook_id: one }) => {
      onStarted((await post(`v1/events/${encodeURIComponent(id)}/replay`, one ? { webhook_id: one } : {})).data);
    },
  });
  const options = [
    ["", "Every webhook that wants it"],
    ...(webhooks ?? [])
      .filter((w) => w.attributes.status !== "disabled")
      .map((w) => [w.id, w.attributes.name || w.attributes.url]),
  ];
  return html`<${Dialog} title="Replay this event?" onClose=${onClose}>
    <${Form} form=${form} footer=${html`<button type="button" class="button" onClick=${onClose}>Cancel</button><${Submit} form=${form}>Replay<//>`}>
      <p>A new delivery of <code class="anywhere">${type}</code> is made, with the whole retry schedule. Receivers see the same <code>webhook-id</code> again, and one that remembers ids will ignore it.</p>
      <${Field} form=${form} name="webhook_id" label="To" as="select" options=${options} />
    <//><//>`;
}
