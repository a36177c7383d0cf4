// What an event means to a person, as a source says it. Always text; a link only if it leads to a web page.
import { html, useState } from "../ui.js";
import { Badge } from "./badge.js";
import { Icon } from "./icon.js";

const LEVELS = {
  info: ["Info", "info", "about"],
  success: ["Success", "ok", "check"],
  warning: ["Warning", "warn", "alert"],
  error: ["Error", "bad", "cross"],
};

/** So many characters of a message are shown at first; it may have 16,000. */
const SHOWN = 800;

export function Summary({ summary }) {
  const [whole, setWhole] = useState(false);
  const cut = !whole && summary.message.length > SHOWN + 200;
  const [word, tone, icon] = LEVELS[summary.level] ?? LEVELS.info;
  const link = /^https?:\/\//i.test(summary.link ?? "") ? summary.link : null;
  return html`<div class="event-summary ${tone}">
    <p class="summary-title"><strong class="anywhere">${summary.title}</strong><${Badge} tone=${tone} icon=${icon}>${word}<//></p>
    ${summary.message && html`<p class="prose">${cut ? `${summary.message.slice(0, SHOWN)}…` : summary.message}</p>`}
    ${cut && html`<div><button type="button" class="button small" onClick=${() => setWhole(true)}>Show all</button></div>`}
    ${link && html`<p><a class="anywhere" href=${link} target="_blank" rel="noopener noreferrer">${link} <${Icon} name="external" size=${12} label="opens in a new tab" /></a></p>`}
  </div>`;
}
