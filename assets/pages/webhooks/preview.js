// What would be sent: the request of a webhook as it is typed, rendered with an event. Sends nothing, stores nothing.
import { html, useEffect, useState } from "../../ui.js";
import { post } from "../../api.js";
import { bytes, number } from "../../format.js";
import { Badge } from "../../components/badge.js";
import { JsonView } from "../../components/json.js";
import { Card } from "../../components/page.js";
import { Note, Skeleton } from "../../components/states.js";
import { Summary } from "../../components/summary.js";
import { Headers } from "../deliveries/exchange.js";
import { subjectOf } from "./subjects.js";

const PAUSE_MS = 500;

/** Asks for a preview when nothing has been typed for a moment. `body` is JSON text; null asks for nothing. */
export function usePreview(body, path = "v1/webhooks/preview") {
  const [state, set] = useState({ data: null, error: null, busy: false });
  useEffect(() => {
    if (!body) return set({ data: null, error: null, busy: false });
    const stop = new AbortController();
    set((s) => ({ ...s, busy: true }));
    const timer = setTimeout(async () => {
      try {
        const { data } = await post(path, body, { signal: stop.signal });
        set({ data: data.attributes, error: null, busy: false });
      } catch (error) {
        if (!stop.signal.aborted) set((s) => ({ data: s.data, error, busy: false }));
      }
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [body]);
  return state;
}

/** `webhook` is JSON text of the attributes, null while they are incomplete; `incomplete` says what is missing. */
export function PreviewCard({ webhook, subjects, recipe, incomplete, hidden }) {
  const [chosen, setChosen] = useState(null);
  const choice = chosen ?? subjects.best;
  const { data, error, busy } = usePreview(webhook && choice && !hidden ? `{${webhook},"event":${JSON.stringify(subjectOf(choice))}}` : null);
  const p = data;
  return html`<${Card} title="Preview" className="preview-card"><div class="stack" aria-busy=${busy ? "true" : undefined}>
    <${SubjectChoice} label="With" value=${choice} subjects=${subjects} onChange=${setChosen} />
    ${
      !webhook
        ? html`<p class="muted">${incomplete}</p>`
        : error
          ? html`<${Note} tone="warn">${error.message.replace(/\bwebhook\/(preset\/inputs\/)?/g, "")}<//>`
          : p
            ? html`<${Rendered} p=${p} recipe=${recipe} />`
            : html`<${Skeleton} lines=${5} />`
    }</div><//>`;
}

/** Chooses an event or a sample. `own` is an option before them: `[value, words]`. */
export function SubjectChoice({ label, value, subjects, onChange, own, id }) {
  const option = ([v, words]) => html`<option value=${v} selected=${v === value}>${words}</option>`;
  return html`<label class="subject-choice"><span>${label}</span><select id=${id} value=${value} onChange=${(e) => onChange(e.target.value)}>
    ${own && option(own)}
    ${subjects.recent.length > 0 && html`<optgroup label="Newest events">${subjects.recent.map((e, i) => option([`event:${e.id}`, `${i === 0 ? "Newest: " : ""}${e.attributes.event_type}`]))}</optgroup>`}
    <optgroup label="Samples">${subjects.samples.map((s) => option([`sample:${s.name}`, s.title]))}</optgroup></select></label>`;
}

function Rendered({ p, recipe }) {
  return html`<div class="stack">
    <${Wanted} p=${p} />
    ${p.error && html`<${Note} tone="bad"><strong>The request cannot be rendered with this event.</strong> ${p.error}<//>`}
    ${(p.warnings ?? []).map((text) => html`<${Note} tone="warn" key=${text}>${text}<//>`)}
    ${p.request && html`<${Request} r=${p.request} recipe=${recipe} />`}
    ${p.summary && html`<div><p class="label">Summary of the event</p><${Summary} summary=${p.summary} /></div>`}
    ${p.cost && html`<p class="muted small">Cost: ${number(p.cost.steps)} of 20,000 steps, ${bytes(p.cost.bytes)} of text.</p>`}</div>`;
}

function Wanted({ p }) {
  const { pattern, filter } = p.wanted;
  const trace = p.filter_trace ?? [];
  return html`<div><p class="outcome">${pattern && filter ? html`<${Badge} tone="ok" icon="check">Delivered<//> <span>The webhook gets this event.</span>` : html`<${Badge} tone="warn" icon="minus">Not delivered<//> <span>${pattern ? "The filter is false for this event." : "The event types do not match this event."}</span>`}</p>
    ${trace.length > 0 && html`<ul class="trace" aria-label="Comparisons of the filter">${trace.map((t, i) => html`<li key=${i}><${Badge} tone=${t.result ? "ok" : "off"} icon=${t.result ? "check" : "cross"}>${t.result ? "true" : "false"}<//><code class="anywhere">${t.expression}</code>${t.left !== undefined && html`<small class="muted anywhere">value: ${t.left === "" ? "missing" : t.left}</small>`}</li>`)}</ul>`}</div>`;
}

function Request({ r, recipe }) {
  return html`<section class="stack" aria-label="Rendered request">
    <div class="line"><span class="method">${r.method}</span><span class="mono anywhere">${r.url}</span></div>
    ${r.body !== null && r.body !== undefined && r.body !== "" ? html`<${JsonView} text=${r.body} label="Request body" />` : html`<p class="muted">No body.</p>`}
    <${Lengths} body=${r.body} limits=${recipe?.limits ?? []} />
    <${Headers} headers=${r.headers} label="Request headers" /></section>`;
}

/** `612 of 4,096 characters`, where the receiver has a limit. */
function Lengths({ body, limits }) {
  const counted = limits.filter((limit) => limit.pointer !== null && limit.max);
  if (!counted.length || !body) return null;
  let parsed;
  try {
    parsed = JSON.parse(body);
  } catch {
    return null;
  }
  return html`<ul class="lengths" aria-label="Limits of the receiver">${counted.map((limit) => {
    const value = at(parsed, limit.pointer);
    if (value === undefined) return null;
    const text = typeof value === "string" ? value : JSON.stringify(value);
    const length = limit.unit === "bytes" ? new Blob([text]).size : text.length;
    return html`<li key=${limit.pointer}><span class="mono anywhere">${limit.pointer.slice(1) || "body"}</span> <span class=${length > limit.max ? "num over" : "num muted"}>${number(length)} of ${number(limit.max)} ${limit.unit}</span></li>`;
  })}</ul>`;
}

/** A JSON pointer (RFC 6901). */
const at = (value, pointer) =>
  pointer
    .split("/")
    .slice(1)
    .reduce((inner, part) => inner?.[part.replaceAll("~1", "/").replaceAll("~0", "~")], value);
