// An event posted by hand. The payload goes out byte for byte as it is written.
import { html, useId } from "../../ui.js";
import { ApiError, post } from "../../api.js";
import { plural } from "../../format.js";
import { go, href } from "../../router.js";
import { Dialog } from "../../components/dialog.js";
import { Field, Form, Submit, useForm } from "../../components/form.js";
import { toast } from "../../components/toast.js";

/** `initial` may carry the type and payload of another event. */
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
          ? `${data.attributes.event_type} goes to ${plural(n, "webhook")}.`
          : `${data.attributes.event_type} was taken, but no webhook wants it.`,
        { action: { label: "Look at it", href: href(`events/${data.id}`) } },
      );
      onClose();
      if (onSent) onSent(data);
      else go(`events/${data.id}`);
    },
  });
  return html`<${Dialog} wide title="Send an event" onClose=${onClose}>
    <${Form} form=${form} footer=${html`<button type="button" class="button" onClick=${onClose}>Cancel</button><${Submit} form=${form}>Send<//>`}>
      <${Field} form=${form} name="event_type" label="Event type" placeholder="license.assigned" list=${list} maxlength="128" required spellcheck="false" autocapitalize="none" autocomplete="off" hint="It goes to every webhook that wants this type." />
      <datalist id=${list}>${(types ?? []).map((t) => html`<option value=${t.attributes.event_type}></option>`)}</datalist>
      <${Field} form=${form} name="payload" label="Payload" as="textarea" className="code" rows="10" spellcheck="false" hint="Any JSON value. It is stored and sent exactly as it stands here." />
      <div class="two"><${Field} form=${form} name="resource_id" label="Resource" optional maxlength="255" spellcheck="false" autocomplete="off" hint="What the event is about." />
        <${Field} form=${form} name="idempotency_key" label="Idempotency key" optional maxlength="255" spellcheck="false" autocomplete="off" hint="Sent twice within 24 hours, it counts once." /></div>
    <//><//>`;
}

/** The body is put together as text, so what is wrong with the payload is said here. */
function check({ event_type: type, payload }) {
  const wrong = [];
  if (!type.trim())
    wrong.push({ detail: "Enter a type such as license.assigned.", source: { pointer: "/event_type" } });
  try {
    JSON.parse(payload);
  } catch (e) {
    wrong.push({
      detail: payload.trim() ? `Is not JSON: ${e.message}.` : "Enter a JSON value, {} at least.",
      source: { pointer: "/payload" },
    });
  }
  if (wrong.length) throw new ApiError(422, wrong);
}
