// The health of a webhook: figures, its most frequent errors, and recommendations.
import { html } from "../../ui.js";
import { ERRORS, NONE, duration, number, percent, plural, short } from "../../format.js";
import { href } from "../../router.js";
import { timeMode } from "../../state.js";
import { Card, Facts } from "../../components/page.js";
import { EmptyState, ErrorState, Skeleton } from "../../components/states.js";
import { Time } from "../../components/time.js";

/** `rate` is the success rate of the last 24 hours. */
export function HealthCard({ id, load, rate }) {
  const { data: h, error } = load;
  if (!h)
    return html`<${Card} title="Statistics">${error ? html`<${ErrorState} error=${error} retry=${load.reload} />` : html`<${Skeleton} lines=${6} />`}<//>`;
  if (!h.totals.deliveries)
    return html`<${Card} title="Statistics"><${EmptyState} icon="overview" title="No finished deliveries yet" text="Success rate, response times and errors appear here after the first deliveries." /><//>`;
  const t = h.response_time_ms;
  const last = lastFailure(h);
  // The API’s advice for a disabled webhook names its own operations; the note at the top of the page names buttons.
  const advice = h.recommendations.filter((text) => !/\bstatus to active\b/.test(text));
  return html`<${Card} title="Statistics"><div class="stack">
    ${advice.length > 0 && html`<ul class="advice">${advice.map((text) => html`<li>${readable(text)}</li>`)}</ul>`}
    <div><h3 class="part">Last 24 hours</h3><${Facts} items=${[
      ["Success rate", html`<span class="num">${percent(rate)}</span> <${Trend} value=${h.trend.success_rate} say=${(n) => `${n.toFixed(1)} points`} up="ok" />`],
      ["Events", html`<span class="num">${number(h.last_24h.events)}</span>`],
      ["Failed", html`<a class="num" href=${href("webhook-deliveries", { endpoint_id: id, status: "exhausted", last: "24h" })}>${number(h.last_24h.failures)}</a>`],
      h.trend.average_response_time !== null && ["Average response, change", html`<${Trend} value=${h.trend.average_response_time} say=${duration} up="bad" none="None" />`],
    ]} /></div>
    <div><h3 class="part">All time</h3><${Facts} items=${[
      ["Success rate", html`<span class="num">${percent(h.success_rate)}</span>`],
      ["Deliveries", html`<span class="num">${number(h.totals.deliveries)}</span>`],
      [
        "Failed",
        html`<a class="num" href=${href("webhook-deliveries", { endpoint_id: id, status: "exhausted" })}>${number(h.totals.exhausted)}</a>`,
      ],
      ["Average response", html`<span class="num">${duration(t.average)}</span>`],
      last && [
        "Last failure",
        html`<a class="dim" href=${href("webhook-deliveries", { endpoint_id: id, view: "attempts", status: ["failed", "exhausted"] })}><${Time} at=${last} /></a>`,
      ],
    ]} /></div>
    <div><h3 class="part">Response time, all time</h3><dl class="range-facts" aria-label="Response time">${[
      ["min", t.min],
      ["median", t.median],
      ["p95", t.p95],
      ["p99", t.p99],
      ["max", t.max],
    ].map(([word, ms]) => html`<div><dt>${word}</dt><dd class="num">${duration(ms)}</dd></div>`)}</dl></div>
    ${
      h.errors.length > 0 &&
      html`<div><h3 class="part">Top errors, all time</h3><ul class="error-list">${h.errors.slice(0, 8).map(
        (e) => html`<li>
      <a class="num" href=${href("webhook-deliveries", { endpoint_id: id, error_kind: e.error_kind, response_status: e.response_status })}>${number(e.count)} ×</a>
      <span><strong>${e.response_status ? `HTTP ${e.response_status}` : (ERRORS[e.error_kind]?.[0] ?? e.error_kind)}</strong><small class="muted anywhere">${e.last_message}</small></span>
      <span class="muted small">last <${Time} at=${e.last_at} /></span></li>`,
      )}</ul></div>`
    }
  </div><//>`;
}

/** The server’s sentences have RFC 3339 times; here they are shown like all times on the page. */
const readable = (text) =>
  text.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, (at) => short(at, timeMode.value === "utc" ? "utc" : "local"));

/** When an attempt last failed, by any error; times of the same format compare as text. */
const lastFailure = (h) => h.errors.map((e) => e.last_at).sort().at(-1) ?? null;

/** The change since the day before; `up` is the tone of an increase. */
function Trend({ value, say, up, none = null }) {
  if (value === null || value === undefined || Math.abs(value) < 0.05) return none;
  const tone = value > 0 === (up === "ok") ? "ok" : "bad";
  return html`<span class="trend ${tone} num" title="Last 24 hours compared with the 24 hours before">${value > 0 ? "+" : "−"}${say(Math.abs(value)) || NONE}</span>`;
}
