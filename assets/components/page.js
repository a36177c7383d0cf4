// The frame of a page: its title (also the document’s), actions, and cards.
import { cx, html, useEffect } from "../ui.js";
import { currentApp, apps } from "../state.js";

/** `actions` are to the right of the title; `intro` is a sentence below it. */
export function Page({ title, actions, intro, back, narrow, children }) {
  useEffect(() => {
    document.title = `${title} · ${apps.value.length > 1 && currentApp.value ? `${currentApp.value.name} · ` : ""}Postrider`;
  }, [title, currentApp.value?.id]);
  return html`<div class=${cx("page", narrow && "narrow")}>
    ${back}
    <header class="page-header">
      <div>
        <h1>${title}</h1>
        ${intro && html`<p class="muted">${intro}</p>`}
      </div>
      ${actions && html`<div class="page-actions">${actions}</div>`}
    </header>
    ${children}
  </div>`;
}

/** A framed part of a page. `flush` leaves out the padding, for tables. */
export function Card({ title, actions, flush, children, className }) {
  return html`<section class=${cx("card", flush && "flush", className)}>
    ${
      (title || actions) &&
      html`<header>
        <h2>${title}</h2>
        ${actions}
      </header>`
    }
    <div class="card-body">${children}</div>
  </section>`;
}

/** Names and values: `items` is a list of `[name, markup]`; empty ones are left out. */
export function Facts({ items }) {
  return html`<dl class="facts">
    ${items.filter(Boolean).map(
      ([name, value]) =>
        html`<div>
          <dt>${name}</dt>
          <dd>${value}</dd>
        </div>`,
    )}
  </dl>`;
}
