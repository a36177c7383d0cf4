// What the filter does to the newest events, asked while it is typed.
import { html, useEffect, useState } from "../../ui.js";
import { post } from "../../api.js";
import { href } from "../../router.js";
import { Badge } from "../../components/badge.js";
import { Time } from "../../components/time.js";

const PAUSE_MS = 600;

/** `line` null shows nothing. */
export function FilterCheck({ line, events, recent }) {
  const [state, set] = useState({ verdicts: null, error: null });
  const ids = recent.map((e) => e.id).join();
  useEffect(() => {
    if (!line || !recent.length) return set({ verdicts: null, error: null });
    const stop = new AbortController();
    const timer = setTimeout(async () => {
      // The URL is not looked at: only pattern and filter are asked for.
      const webhook = { url: "https://example.com/", events, filter: line };
      const ask = async (e) => [e.id, (await post("v1/webhooks/preview", { webhook, event: { event_id: e.id } }, { signal: stop.signal })).data.attributes.wanted];
      try {
        set({ verdicts: new Map(await Promise.all(recent.map(ask))), error: null });
      } catch (error) {
        if (!stop.signal.aborted) set({ verdicts: null, error });
      }
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [line, events.join(), ids]);
  if (!line) return null;
  if (!recent.length) return html`<p class="field-hint">No event of these types yet to check the filter with.</p>`;
  if (state.error) return html`<p class="field-error" role="status">${state.error.fields["webhook/filter"] ?? state.error.message}</p>`;
  if (!state.verdicts) return html`<p class="field-hint" role="status">Checking with the newest events…</p>`;
  const passed = recent.filter((e) => state.verdicts.get(e.id)?.filter).length;
  return html`<div class="filter-check"><p role="status">True for <strong class="num">${passed} of ${recent.length}</strong> of the newest events:</p>
    <ul>${recent.map((e) => {
      const fits = state.verdicts.get(e.id)?.filter;
      return html`<li key=${e.id}><${Badge} tone=${fits ? "ok" : "off"} icon=${fits ? "check" : "minus"}>${fits ? "Delivered" : "Filtered"}<//><a class="mono cut" href=${href(`events/${e.id}`)} target="_blank">${e.attributes.event_type}</a><span class="muted small"><${Time} at=${e.attributes.created_at} /></span></li>`;
    })}</ul></div>`;
}
