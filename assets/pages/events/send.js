// Posts an event by hand. The payload is sent byte for byte as it was typed.
import { html, useId } from "../../ui.js";
import { ApiError, post } from "../../api.js";
import { plural } from "../../format.js";
import { go, href } from "../../router.js";
import { Dialog } from "../../components/dialog.js";
import { Field, Form, Submit, useForm } from "../../components/form.js";
import { toast } from "../../components/toast.js";

/** `initial` may hold the type and payload of another event. */
export default function Send({ types, initial, onClose, onSent }) {
  const list = useId();
  const form = useForm({
    initial: { event_type: "", payload: "{\n  \n}", resource_id: "", idempotency_key: "", ...initial },
    submit: async (values) => {
      check(values);
      const fields = Object.entries({
        event_type: values.event_type.trim(),
        resource_id: values.resource_id.trim(),
        idempotency_key: values.idempotency_key.trim(),
      }).filter(([name, v]) => v || name === "event_type");
      // Not JSON.stringify: the payload is text already, and stays as it is.
      const body = `{${[...fields.map(([name, v]) => `${JSON.stringify(name)}:${JSON.stringify(v)}`), `"payload":${values.payload}`].join(",")}}`;
      const { data } = await post("v1/events", body);
      const n = data.attributes.deliveries;
      toast(
        n
          ? `${data.attributes.event_type} was posted: ${plural(n, "delivery", "deliveries")}.`
          : `${data.attributes.event_type} was accepted, but no webhook subscribes to it.`,
        { action: { label: "View event", href: href(`events/${data.id}`) } },
      );
      onClose();
      if (onSent) onSent(data);
      else go(`events/${data.id}`);
    },
  });
  return html`<${Dialog} wide title="Send an event" onClose=${onClose}>
    <${Form} form=${form} footer=${html`<button type="button" class="button" onClick=${onClose}>Cancel</button><${Submit} form=${form}>Send<//>`}>
      <${Field} form=${form} name="event_type" label="Event type" placeholder="license.assigned" list=${list} maxlength="128" required spellcheck="false" autocapitalize="none" autocomplete="off" hint="Sent to every webhook that subscribes to this type." />
      <datalist id=${list}>${(types ?? []).map((t) => html`<option value=${t.attributes.event_type}></option>`)}</datalist>
      <${Field} form=${form} name="payload" label="Payload" as="textarea" className="code" rows="10" spellcheck="false" hint="Any JSON value. Stored and sent exactly as typed." />
      <div class="two"><${Field} form=${form} name="resource_id" label="Resource" optional maxlength="255" spellcheck="false" autocomplete="off" hint="The object that the event is about." />
        <${Field} form=${form} name="idempotency_key" label="Idempotency key" optional maxlength="255" spellcheck="false" autocomplete="off" hint="Posting the same key again within 24 hours creates no second event." /></div>
    <//><//>`;
}

/** The body is assembled as text, so problems with the payload are found here. */
function check({ event_type: type, payload }) {
  const wrong = [];
  if (!type.trim())
    wrong.push({ detail: "Enter an event type, such as license.assigned.", source: { pointer: "/event_type" } });
  try {
    JSON.parse(payload);
  } catch (e) {
    wrong.push({
      detail: payload.trim() ? `Not valid JSON: ${e.message}.` : "Enter a JSON value, such as {}.",
      source: { pointer: "/payload" },
    });
  }
  if (wrong.length) throw new ApiError(422, wrong);
}
