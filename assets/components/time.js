// Times: relative by default, exact in UTC and local on hover, the same way everywhere by one switch.
import { html } from "../ui.js";
import { NONE, ago, exact, local, utc } from "../format.js";
import { now, timeMode } from "../state.js";

export function Time({ at }) {
  if (!at) return html`<span class="muted">${NONE}</span>`;
  const text = timeMode.value === "relative" ? ago(at, now.value) : timeMode.value === "utc" ? utc(at) : local(at);
  return html`<time datetime=${at} title=${exact(at)}>${text}</time>`;
}

/** When something is to happen; what should have happened already is due now. */
export const Due = ({ at }) => (Date.parse(at) <= now.value && timeMode.value === "relative" ? html`<time datetime=${at} title=${exact(at)}>now</time>` : html`<${Time} at=${at} />`);

const MODES = [["relative", "Relative"], ["local", "Local"], ["utc", "UTC"]];
/** The switch; one choice for all pages, kept in this browser. */
export function TimeSwitch() {
  return html`<div class="segmented" role="group" aria-label="How times are shown">
    ${MODES.map(([mode, word]) => html`<button type="button" aria-pressed=${timeMode.value === mode} onClick=${() => { timeMode.value = mode; }}>${word}</button>`)}
  </div>`;
}
