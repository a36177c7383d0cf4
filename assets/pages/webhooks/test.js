// A test delivery and its result. Tests do not affect health or statistics.
import { html, useId, useState } from "../../ui.js";
import { post } from "../../api.js";
import { duration } from "../../format.js";
import { href } from "../../router.js";
import { may } from "../../state.js";
import { Icon } from "../../components/icon.js";
import { Card } from "../../components/page.js";
import { Note } from "../../components/states.js";
import { announce } from "../../components/toast.js";
import { SubjectChoice } from "./preview.js";
import { subjectOf } from "./subjects.js";

const SAMPLE = ["", "Test event"];

/** With `subjects`, a shaped webhook is tested with an event or a sample. `receiver` is the name of its program. */
export function TestCard({ id, types, onTested, subjects, receiver }) {
  const field = useId();
  const [type, setType] = useState("");
  const [chosen, setChosen] = useState(null);
  const [state, set] = useState({ busy: false, result: null, error: null });
  const choosing = subjects && may("admin");
  const choice = choosing ? (chosen ?? subjects.best) : "";
  const run = async (e) => {
    e.preventDefault();
    if (state.busy) return;
    set((s) => ({ ...s, busy: true }));
    try {
      const body = choice ? subjectOf(choice) : type.trim() ? { event_type: type.trim() } : {};
      const { data } = await post(`v1/webhooks/${encodeURIComponent(id)}/test`, body);
      set({ busy: false, result: data.attributes, error: null });
      announce(data.attributes.delivered ? "Test delivered." : "Test failed.");
      onTested?.();
    } catch (error) {
      set({ busy: false, result: null, error });
    }
  };
  const r = state.result;
  return html`<${Card} title="Test"><form class="stack" onSubmit=${run}>
    <p class="muted">${subjects ? `Sends a request to ${receiver ?? "the receiver"} now. Tests don’t affect health or statistics.` : "Sends a signed test event now. Tests don’t affect health or statistics."}</p>
    <div class="inline-form">${
      choosing
        ? html`<${SubjectChoice} label="With" value=${choice} subjects=${subjects} own=${SAMPLE} onChange=${setChosen} />`
        : html`<label class="sr-only" for=${field}>Event type of the test</label>
      <input id=${field} list="${field}-l" placeholder="webhook.test" value=${type} maxlength="128" spellcheck="false" autocapitalize="none" autocomplete="off" onInput=${(e) => setType(e.target.value)} />
      <datalist id="${field}-l">${(types ?? []).map((t) => html`<option value=${t.attributes.event_type}></option>`)}</datalist>`
    }
      <button type="submit" class="button ${receiver ? "primary" : ""}" disabled=${state.busy} aria-busy=${state.busy}><${Icon} name="play" size=${12} />${state.busy ? "Sending…" : receiver ? "Send a test" : "Send test"}</button></div>
    ${state.error && html`<${Note} tone="bad">${state.error.message}<//>`}
    ${
      r &&
      html`<${Note} tone=${r.delivered ? "ok" : "bad"}><strong>${r.delivered ? "Test delivered" : "Test failed"}</strong>${r.http_status ? html`: ${receiver ?? "the receiver"} responded with <span class="num">${r.http_status}</span>` : ""}${r.response_time_ms !== null ? html` ${r.http_status ? "in" : "after"} <span class="num">${duration(r.response_time_ms)}</span>` : ""}.
      ${r.error && html`<br />${r.error}`} <a href=${href("webhook-deliveries", { endpoint_id: id, trigger: "test" })}>View delivery</a><//>`
    }
  </form><//>`;
}
