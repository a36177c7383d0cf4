// Short messages about what just happened, and announcements for screen readers.
import { html, signal } from "../ui.js";
import { Icon } from "./icon.js";

const toasts = signal([]);
const spoken = signal("");
let next = 1;

/** Shows a message for 6 seconds; a failure until it is closed. `action` is `{label, run}` or `{label, href}`. */
export function toast(text, { tone = "ok", action } = {}) {
  const id = next++;
  toasts.value = [...toasts.value.slice(-2), { id, text, tone, action }];
  if (tone !== "bad") setTimeout(() => dismiss(id), 6000);
}
export const fail = (error) => {
  if (error?.name !== "AbortError" && error?.status !== 401) toast(error.message ?? String(error), { tone: "bad" });
};
export function announce(text) {
  spoken.value = "";
  requestAnimationFrame(() => {
    spoken.value = text;
  });
}
const dismiss = (id) => {
  toasts.value = toasts.value.filter((t) => t.id !== id);
};

export function Toasts() {
  return html`<div class="toasts" role="region" aria-label="Messages" aria-live="polite">
      ${toasts.value.map(
        (t) =>
          html`<div key=${t.id} class="toast ${t.tone}">
            <${Icon} name=${t.tone === "bad" ? "alert" : "check"} /><span>${t.text}</span>
            ${
              t.action &&
              (t.action.href
                ? html`<a href=${t.action.href} onClick=${() => dismiss(t.id)}>${t.action.label}</a>`
                : html`<button
                    type="button"
                    class="button quiet small"
                    onClick=${() => {
                      dismiss(t.id);
                      t.action.run();
                    }}
                  >
                    ${t.action.label}
                  </button>`)
            }
            <button
              type="button"
              class="button quiet icon-only"
              aria-label="Close message"
              onClick=${() => dismiss(t.id)}
            >
              <${Icon} name="cross" size=${14} />
            </button>
          </div>`,
      )}
    </div>
    <div class="sr-only" aria-live="polite">${spoken.value}</div>`;
}
