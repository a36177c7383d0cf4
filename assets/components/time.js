// Times: relative by default, exact in UTC and local time on hover, with one switch for all pages.
import { html } from "../ui.js";
import { NONE, ago, exact, short } from "../format.js";
import { now, timeMode } from "../state.js";

export function Time({ at }) {
  if (!at) return html`<span class="muted">${NONE}</span>`;
  const text = timeMode.value === "relative" ? ago(at, now.value) : short(at, timeMode.value);
  return html`<time datetime=${at} title=${exact(at)}>${text}</time>`;
}

/** The time until something happens; "now" if it is overdue. */
export const Due = ({ at }) =>
  html`<time datetime=${at} title=${exact(at)}>${Date.parse(at) < now.value + 5000 ? "now" : ago(at, now.value)}</time>`;

export const TIME_MODES = [
  ["relative", "Relative"],
  ["local", "Local"],
  ["utc", "UTC"],
];
/** The switch: one choice for all pages, kept in this browser. */
export function TimeSwitch() {
  return html`<div class="segmented" role="group" aria-label="Time display">
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
