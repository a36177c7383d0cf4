// What would become of a request: verdict of each verifier, event, summary, webhooks.
import { cx, html } from "../../ui.js";
import { plural } from "../../format.js";
import { href } from "../../router.js";
import { may } from "../../state.js";
import { Badge } from "../../components/badge.js";
import { Icon } from "../../components/icon.js";
import { JsonView } from "../../components/json.js";
import { Facts } from "../../components/page.js";
import { Note } from "../../components/states.js";
import { Summary } from "../../components/summary.js";
import { VERIFIERS } from "./words.js";

/** So many webhooks are listed. */
const LISTED = 8;

/**
 * `p` are the attributes of a `source_preview`; `whole` shows the payload and the response, too. Of a `stored` request
 * the secret headers are masked, so nothing can be said of its verifiers: its outcome tells. `offers` links to the
 * receivers when no webhook wants the event.
 */
export function Verdict({ p, whole, stored, offers = true }) {
  return html`<div class="stack verdict">
    ${!stored && html`<${Verifiers} verify=${p.verify} />`}
    ${p.error && html`<${Note} tone="bad">${p.error}<//>`}
    ${p.event_type && html`<${Becomes} p=${p} />`}
    ${p.warnings.map((text) => html`<${Note} tone="warn" key=${text}>${text}<//>`)}
    ${p.event_type && p.accepted && html`<${Webhooks} p=${p} offers=${offers} />`}
    ${whole && p.event_type && html`<${JsonView} text=${JSON.stringify(p.payload)} label="Payload" />`}
    ${whole && html`<${Facts} items=${[["Response to the sender", html`<span class="num">${p.response.status}</span> <code class="anywhere">${p.response.body}</code>`]]} />`}
  </div>`;
}

function Verifiers({ verify }) {
  if (!verify.length) return null;
  return html`<ul class="verifiers" aria-label="Verifiers">${verify.map(
    (v, i) => html`<li key=${i}><${Badge} tone=${v.ok ? "ok" : "bad"} icon=${v.ok ? "check" : "cross"}>${v.ok ? "Verified" : "Not verified"}<//><span>${VERIFIERS[v.kind]?.[0] ?? v.kind}${v.reason && html`<small class="muted anywhere">${v.reason}</small>`}</span></li>`,
  )}</ul>`;
}

function Becomes({ p }) {
  return html`<div class="stack">
    <${Facts} items=${[
      ["Event type", html`<span class="mono">${p.event_type}</span>`],
      p.resource_id && ["Resource", p.resource_id],
      p.dedupe && ["Dedupe key", html`<span class="mono">${p.dedupe}</span>`],
    ]} />
    ${p.accepted === false && html`<${Note}>The setting “accept” does not take it: the sender gets a success, and nothing is stored.<//>`}
    ${p.summary && html`<${Summary} summary=${p.summary} />`}</div>`;
}

function Webhooks({ p, offers }) {
  const wanted = p.webhooks.filter((w) => w.wanted);
  if (!wanted.length)
    return html`<${Note} tone="warn">No webhook wants <code>${p.event_type}</code> yet.${offers && may("admin") && html` <${AddDestination} type=${p.event_type} />`}<//>`;
  return html`<p>Goes to ${plural(wanted.length, "webhook")}: ${wanted.slice(0, LISTED).map((w, i) => html`${i > 0 && ", "}<a href=${href(`webhooks/${w.id}`)}>${w.name}</a>`)}${wanted.length > LISTED && " and others"}.</p>`;
}

/** Leads to the receivers, which then get the events of this source: a link, or a `button`, perhaps the `primary` one. */
export function AddDestination({ type, primary, button }) {
  const events = `${type.split(".")[0]}.*`;
  return html`<a class=${cx(button && "button", primary && "primary")} href=${href("integrations", { show: "destinations", events })}>${button && html`<${Icon} name="plus" />`}Add a destination</a>`;
}
