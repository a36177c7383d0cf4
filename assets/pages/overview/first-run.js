// The first minute: one click creates a receiver, posts an event and shows its delivery with a verified signature.
import { cx, html, useRef, useState } from "../../ui.js";
import { get, post } from "../../api.js";
import { duration } from "../../format.js";
import { href } from "../../router.js";
import { may } from "../../state.js";
import { Icon } from "../../components/icon.js";
import { JsonView } from "../../components/json.js";
import { Card } from "../../components/page.js";
import { Note } from "../../components/states.js";
import { announce } from "../../components/toast.js";

const EVENT = { event_type: "postrider.hello", payload: { message: "Hello from Postrider", first: true } };
const pause = (ms) =>
  new Promise((done) => {
    setTimeout(done, ms);
  });

export function FirstRun({ webhooks, onBegin, onDone }) {
  const [step, setStep] = useState(0);
  const [error, setError] = useState(null);
  const [row, setRow] = useState(null);
  const busy = useRef(false);
  const run = async () => {
    if (busy.current) return;
    busy.current = true;
    setError(null);
    onBegin();
    try {
      setStep(1);
      const { id } = await post("admin/api/echo");
      setStep(2);
      const event = (await post("v1/events", EVENT)).data;
      setStep(3);
      setRow(await arrival(id, event.id));
      setStep(4);
      announce("Delivered, and the signature was verified.");
    } catch (problem) {
      setError(problem);
    }
    busy.current = false;
  };
  const some = webhooks && webhooks.active + webhooks.paused + webhooks.disabled > 0;
  return html`<${Card} title="Welcome: see a first delivery" className="first-run">
    <p>
      Postrider sends the events that you post to the webhooks that subscribe to them, signs each request, retries
      failed deliveries and logs every attempt.
      ${may("admin") ? " Try it with the built-in receiver; nothing leaves this server." : " This app has no deliveries yet. An admin can create the first webhook."}
    </p>
    ${
      may("admin") &&
      html`<ol class="steps">
        <${Step}
          at=${1}
          step=${step}
          error=${error}
          title="Create the echo receiver"
          text="A webhook whose receiver runs inside this server and verifies the signature."
        />
        <${Step}
          at=${2}
          step=${step}
          error=${error}
          title="Post an event"
          text=${html`<code>${EVENT.event_type}</code> with a small JSON payload.`}
        />
        <${Step}
          at=${3}
          step=${step}
          error=${error}
          title="See it delivered"
          text=${row ? html`Response ${row.attributes.response_status} in ${duration(row.attributes.response_time_ms)}.` : "The attempt, its headers and the response are in the log."}
        />
      </ol>`
    }
    ${error && html`<${Note} tone="bad">${error.message}<//>`}
    ${
      row &&
      html`<${Note} tone=${row.attributes.status === "delivered" ? "ok" : "bad"}
          >${row.attributes.status === "delivered" ? html`<strong>Delivered.</strong> The receiver verified the signature and responded:` : html`<strong>Delivery failed.</strong> ${row.attributes.error_message}`}<//
        >
        <${JsonView} text=${row.attributes.response_body} label="Response" />`
    }
    <div class="page-actions">
      ${may("admin") && (step < 4 || error) && html`<button type="button" class="button primary" disabled=${step > 0 && step < 4 && !error} onClick=${run}>${error ? "Try again" : "Send a first event"}</button>`}
      ${row && html`<a class="button primary" href=${href(`webhook-deliveries/${row.id}`)}>View delivery</a>`}
      ${may("admin") && html`<a class="button" href=${href("webhooks/new")}>Create ${some || row ? "a" : "your own"} webhook</a>`}
      ${row && html`<a class="button" href=${href("keys")}>Create an API key</a>`}
      ${row && html`<button type="button" class="button quiet" onClick=${onDone}>Go to the overview</button>`}
    </div><//
  >`;
}

/** Waits until the event’s attempt has finished, which takes milliseconds. */
async function arrival(webhook, event) {
  for (let tries = 0; tries < 40; tries += 1) {
    const { data } = await get("v1/webhooks/deliveries", { endpoint_id: webhook, per_page: 10 });
    const row = data.find((r) => r.attributes.event_id === event && r.attributes.status !== "pending");
    if (row) return row;
    await pause(250);
  }
  throw new Error(
    "The event was accepted, but no attempt finished within ten seconds. See the delivery log.",
  );
}

function Step({ at, step, error, title, text }) {
  const state = step > at ? "done" : step === at ? (error ? "failed" : "doing") : "";
  return html`<li class=${cx("step", state)} aria-current=${state === "doing" ? "step" : undefined}>
    <span class="step-mark">${state === "done" ? html`<${Icon} name="check" label="Done" size=${14} />` : at}</span>
    <div>
      <strong>${title}</strong>
      <p class="muted">${text}</p>
    </div>
  </li>`;
}
