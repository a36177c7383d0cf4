// Times: relative by default, exact in UTC and local on hover, the same way everywhere by one switch.
import { html } from "../ui.js";
import { NONE, ago, exact, short } from "../format.js";
import { now, timeMode } from "../state.js";

export function Time({ at }) {
  if (!at) return html`<span class="muted">${NONE}</span>`;
  const text = timeMode.value === "relative" ? ago(at, now.value) : short(at, timeMode.value);
  return html`<time datetime=${at} title=${exact(at)}>${text}</time>`;
}

/** How long until something happens, which says more than the clock; what should have happened already is due now. */
export const Due = ({ at }) =>
  html`<time datetime=${at} title=${exact(at)}>${Date.parse(at) < now.value + 5000 ? "now" : ago(at, now.value)}</time>`;

export const TIME_MODES = [
  ["relative", "Relative"],
  ["local", "Local"],
  ["utc", "UTC"],
];
/** The switch; one choice for all pages, kept in this browser. */
export function TimeSwitch() {
  return html`<div class="segmented" role="group" aria-label="How times are shown">
    ${TIME_MODES.map(
      ([mode, word]) =>
        html`<button
          type="button"
          aria-pressed=${timeMode.value === mode}
          onClick=${() => {
            timeMode.value = mode;
          }}
        >
          ${word}
        </button>`,
    )}
  </div>`;
}
