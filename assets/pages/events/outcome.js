// How the deliveries of an event stand, in few words.
import { html } from "../../ui.js";
import { number } from "../../format.js";
import { href } from "../../router.js";
import { Badge } from "../../components/badge.js";

/** States from the worst to the best: the field, the word when it is some of them, tone and icon. */
const STATES = [
  ["exhausted", "failed", "bad", "cross"],
  ["retrying", "retrying", "warn", "redo"],
  ["pending", "pending", "info", "clock"],
  ["cancelled", "cancelled", "off", "minus"],
  ["delivered", "delivered", "ok", "check"],
];

/** The worst state as a badge, then the others; all of them lead to the deliveries of the event. */
export function Outcome({ id, deliveries, outcome, failed }) {
  if (!deliveries) return html`<span class="muted blank" title="No webhook subscribed to it">–</span>`;
  if (!outcome) return failed ? html`<span class="muted blank" title=${failed.message}>–</span>` : html`<span class="skeleton inline"><span></span></span>`;
  const some = STATES.filter(([field]) => outcome[field] > 0);
  if (!some.length) return html`<span class="muted blank" title="Retention has removed its deliveries">–</span>`;
  const [[field, word, tone, icon], ...others] = some;
  // One of one needs no number.
  const first = others.length || outcome[field] > 1 ? `${number(outcome[field])} ${word}` : word[0].toUpperCase() + word.slice(1);
  const rest = others.map(([name, words]) => `${number(outcome[name])} ${words}`).join(", ");
  return html`<a class="outcome" href=${href("webhook-deliveries", { event_id: id })}><${Badge} tone=${tone} icon=${icon}>${first}<//>${rest && html`<small class="muted">${rest}</small>`}</a>`;
}
