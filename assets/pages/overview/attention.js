// The webhooks that need attention, the worst first: what is wrong, since when, how much waits, and what to do.
import { html, useState } from "../../ui.js";
import { STATE, causeOf, number, plural } from "../../format.js";
import { href } from "../../router.js";
import { may } from "../../state.js";
import { StatusBadge } from "../../components/badge.js";
import { Icon } from "../../components/icon.js";
import { Card } from "../../components/page.js";
import { MiddleEllipsis } from "../../components/text.js";
import { Time } from "../../components/time.js";
import { sendNow } from "../webhooks/actions.js";

/** So many are listed at first: the figures below should stay in sight. */
const LISTED = 5;
/** States in which deliveries are sent on request. */
const SENDS = ["on_hold", "failing", "degraded"];

export function Attention({ list, onSent }) {
  const [all, setAll] = useState(false);
  // What somebody paused comes last.
  const ordered = [...list.filter((w) => w.health.state !== "paused"), ...list.filter((w) => w.health.state === "paused")];
  const shown = ordered.slice(0, all ? list.length : LISTED);
  return html`<${Card} title="Needs attention" flush className="alarm">
    <ul class="attention-list">${shown.map((w) => html`<${Row} key=${w.id} w=${w} onSent=${onSent} />`)}</ul>
    ${
      list.length > shown.length &&
      html`<p class="attention-more"><button type="button" class="button small" onClick=${() => setAll(true)}>Show all ${number(list.length)}</button></p>`
    }<//>`;
}

function Row({ w, onSent }) {
  const { state, since } = w.health;
  const [busy, setBusy] = useState(false);
  const name = w.name || w.url;
  const send = async () => {
    setBusy(true);
    if (await sendNow({ id: w.id, name, held: state === "on_hold" })) onSent();
    setBusy(false);
  };
  return html`<li class=${STATE[state]?.tone}>
    <div class="attention-who">
      <a class="strong cut" href=${href(`webhooks/${w.id}`)}>${w.name || "No name"}</a
      ><small class="muted"><${MiddleEllipsis} text=${w.url} /></small>
    </div>
    <div class="attention-state"><${StatusBadge} of="state" status=${state} /><small class="muted">since <${Time} at=${since} /></small></div>
    <div class="attention-why"><p>${causeOf(w.reason)}</p>${
      w.waiting > 0 &&
      html`<a class="small num" href=${href("webhook-deliveries", { endpoint_id: w.id, status: "pending" })}>${plural(w.waiting, "pending delivery", "pending deliveries")}</a>`
    }</div>
    <div class="attention-actions">
      ${may("admin") && w.waiting > 0 && SENDS.includes(state) && html`<button type="button" class="button small primary" disabled=${busy} aria-label="Send now: ${name}" onClick=${send}><${Icon} name="redo" size=${14} />Send now</button>`}
      <a class="button small" href=${href(`webhooks/${w.id}`)} aria-label="View: ${name}">View</a></div>
  </li>`;
}
