// Placeholders: loading, empty, failed.
import { html } from "../ui.js";
import { Icon } from "./icon.js";

/** Gray bars in place of text. `lines` or explicit `width`/`height` in CSS lengths. */
export function Skeleton({ lines = 1, width, height }) {
  return html`<div class="skeleton" aria-hidden="true">
    ${Array.from({ length: lines }, (_, i) => html`<span style=${{ width: width ?? `${[92, 78, 85, 64][i % 4]}%`, height }}></span>`)}
  </div>`;
}

/** `children` are buttons or links to the next step. */
export function EmptyState({ icon = "search", title, text, children }) {
  return html`<div class="state">
    <${Icon} name=${icon} size=${28} />
    <h2>${title}</h2>
    ${text && html`<p>${text}</p>`}${children && html`<div class="state-actions">${children}</div>`}
  </div>`;
}

export function ErrorState({ error, retry, title = "Could not load this", children }) {
  return html`<div class="state bad" role="alert">
    <${Icon} name="alert" size=${28} />
    <h2>${title}</h2>
    <p>${error?.message ?? String(error)}</p>
    ${error?.requestId && html`<p class="muted small">Request ID <code>${error.requestId}</code></p>`}
    <div class="state-actions">
      ${retry && html`<button type="button" class="button" onClick=${retry}>Try again</button>`}${children}
    </div>
  </div>`;
}

/** A note in the flow of a page: `tone` is info, warn, bad or ok. */
export function Note({ tone = "info", children }) {
  return html`<div class="note ${tone}" role=${tone === "bad" ? "alert" : undefined}>
    <${Icon} name=${tone === "ok" ? "check" : tone === "info" ? "about" : "alert"} />
    <div>${children}</div>
  </div>`;
}
