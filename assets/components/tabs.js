// Tabs: one of several parts at a time. Arrow keys move between them, as screen reader users expect.
import { html, useId, useRef } from "../ui.js";

/** `tabs`: `[key, word]`; `children` is the part of the current one. */
export function Tabs({ label, tabs, current, onChange, children }) {
  const id = useId();
  const list = useRef(null);
  const move = (e) => {
    const at = tabs.findIndex(([key]) => key === current);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[e.key];
    if (to === undefined) return;
    e.preventDefault();
    const next = (to + tabs.length) % tabs.length;
    onChange(tabs[next][0]);
    list.current.children[next].focus();
  };
  return html`<div class="tabs"><div class="tab-list" role="tablist" aria-label=${label} ref=${list} onKeyDown=${move}>
      ${tabs.map(([key, word]) => html`<button type="button" role="tab" key=${key} id="${id}-${key}" aria-controls="${id}-panel" aria-selected=${key === current} tabindex=${key === current ? 0 : -1} onClick=${() => onChange(key)}>${word}</button>`)}</div>
    <div role="tabpanel" id="${id}-panel" aria-labelledby="${id}-${current}" class="tab-panel">${children}</div></div>`;
}
