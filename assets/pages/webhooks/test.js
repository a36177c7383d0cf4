// A test delivery, with its result in place. It counts neither for nor against the webhook.
import { html, useId, useState } from "../../ui.js";
import { post } from "../../api.js";
import { duration } from "../../format.js";
import { href } from "../../router.js";
import { Icon } from "../../components/icon.js";
import { Card } from "../../components/page.js";
import { Note } from "../../components/states.js";
import { announce } from "../../components/toast.js";

export function TestCard({ id, types, onTested }) {
  const field = useId();
  const [type, setType] = useState("");
  const [state, set] = useState({ busy: false, result: null, error: null });
  const run = async (e) => {
    e.preventDefault();
    if (state.busy) return;
    set((s) => ({ ...s, busy: true }));
    try {
      const { data } = await post(
        `v1/webhooks/${encodeURIComponent(id)}/test`,
        type.trim() ? { event_type: type.trim() } : {},
      );
      set({ busy: false, result: data.attributes, error: null });
      announce(data.attributes.delivered ? "The test was delivered." : "The test was not delivered.");
      onTested?.();
    } catch (error) {
      set({ busy: false, result: null, error });
    }
  };
  const r = state.result;
  return html`<${Card} title="Test"><form class="stack" onSubmit=${run}>
    <p class="muted">Sends a made-up event now, signed like any other. It counts nowhere.</p>
    <div class="inline-form"><label class="sr-only" for=${field}>Event type of the test</label>
      <input id=${field} list="${field}-l" placeholder="webhook.test" value=${type} maxlength="128" spellcheck="false" autocapitalize="none" autocomplete="off" onInput=${(e) => setType(e.target.value)} />
      <datalist id="${field}-l">${(types ?? []).map((t) => html`<option value=${t.attributes.event_type}></option>`)}</datalist>
      <button type="submit" class="button" disabled=${state.busy} aria-busy=${state.busy}><${Icon} name="play" size=${12} />${state.busy ? "Sending…" : "Send test"}</button></div>
    ${state.error && html`<${Note} tone="bad">${state.error.message}<//>`}
    ${
      r &&
      html`<${Note} tone=${r.delivered ? "ok" : "bad"}><strong>${r.delivered ? "Delivered" : "Not delivered"}</strong>${r.http_status ? html`, answered with <span class="num">${r.http_status}</span>` : ""}${r.response_time_ms !== null ? html` in <span class="num">${duration(r.response_time_ms)}</span>` : ""}.
      ${r.error && html`<br />${r.error}`} <a href=${href("webhook-deliveries", { endpoint_id: id, trigger: "test" })}>Look at it</a><//>`
    }
  </form><//>`;
}
