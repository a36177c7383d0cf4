// The state of a webhook in its color: what is wrong, since when, and what to do about it.
import { html, useState } from "../../ui.js";
import { STATE, plural } from "../../format.js";
import { href } from "../../router.js";
import { may } from "../../state.js";
import { Icon } from "../../components/icon.js";
import { Due, Time } from "../../components/time.js";
import { sendNow } from "./actions.js";

/** `become(status)` changes the status, `onSent` is called when pending deliveries were made due. */
export function Headline({ id, a, become, onSent }) {
  const { state, since, message } = a.health;
  const { word, tone, icon } = STATE[state] ?? { word: state, tone: "off", icon: "minus" };
  return html`<section class="headline ${tone}" aria-label="State">
    <${Icon} name=${icon} size=${20} />
    <div class="headline-words">
      <p><strong>${word}</strong> <span class="muted small">since <${Time} at=${since} /></span></p>
      <p class="anywhere">${message}</p>
      <${More} id=${id} a=${a} state=${state} />
    </div>
    ${may("admin") && html`<${Action} id=${id} a=${a} state=${state} become=${become} onSent=${onSent} />`}
  </section>`;
}

/** How much waits, and for what. */
function More({ id, a, state }) {
  if (state === "disabled") return html`<p class="muted">New events are not delivered.</p>`;
  if (!a.waiting) return null;
  const pending = html`<a class="num" href=${href("webhook-deliveries", { endpoint_id: id, status: "pending" })}>${plural(a.waiting, "pending delivery", "pending deliveries")}</a>`;
  if (state === "paused") return html`<p class="muted">${pending}, queued until it is resumed.</p>`;
  if (a.hold) {
    const next = a.hold.reason === "rate_limited" ? "The next attempt" : "The next probe";
    return html`<p class="muted">${pending}. ${next} is due <${Due} at=${a.hold.next_probe_at} />.</p>`;
  }
  return html`<p class="muted">${pending}.</p>`;
}

function Action({ id, a, state, become, onSent }) {
  const [busy, setBusy] = useState(false);
  const during = (act) => async () => {
    setBusy(true);
    await act();
    setBusy(false);
  };
  const send = during(async () => {
    if (await sendNow({ id, name: a.name || a.url, held: state === "on_hold" })) onSent();
  });
  const button = (word, icon, act) =>
    html`<button type="button" class="button primary" disabled=${busy} aria-busy=${busy} onClick=${act}><${Icon} name=${icon} size=${14} />${word}</button>`;
  if (state === "disabled") return button("Enable", "play", during(() => become("active")));
  if (state === "paused") return button("Resume", "play", during(() => become("active")));
  if (!a.waiting || state === "healthy") return null;
  return button("Send now", "redo", send);
}
