// A button that opens a list of actions or links. Arrow keys move, Escape closes, a click elsewhere too.
import { html, useEffect, useId, useRef, useState } from "../ui.js";
import { Icon } from "./icon.js";

/**
 * `items`: `{label, icon, href | run, danger, disabled, hint, current}`, null for a line or `{heading}`.
 * `named`: the button’s own text is its name.
 */
export function Menu({ label, button, items, align = "end", className = "button", up, named }) {
  const [open, setOpen] = useState(false);
  const [high, setHigh] = useState(false);
  const root = useRef(null);
  const id = useId();
  const entries = () => [...(root.current?.querySelectorAll('[role^="menuitem"]:not([aria-disabled="true"])') ?? [])];
  useEffect(() => {
    if (!open) return undefined;
    entries()[0]?.focus();
    const away = (e) => {
      if (!root.current?.contains(e.target)) setOpen(false);
    };
    document.addEventListener("pointerdown", away);
    return () => document.removeEventListener("pointerdown", away);
  }, [open]);
  const shut = () => {
    setOpen(false);
    root.current?.querySelector("button")?.focus();
  };
  const onKeyDown = (e) => {
    if (!open) {
      if (e.key === "ArrowDown") {
        e.preventDefault();
        setOpen(true);
      }
      return;
    }
    const all = entries();
    const at = all.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[e.key];
    if (to !== undefined) {
      e.preventDefault();
      all[(to + all.length) % all.length]?.focus();
    }
    if (e.key === "Escape") {
      e.preventDefault();
      e.stopPropagation();
      shut();
    }
    if (e.key === "Tab") setOpen(false);
  };
  return html`<div class="menu" ref=${root} onKeyDown=${onKeyDown}>
    <button
      type="button"
      class=${className}
      aria-haspopup="menu"
      aria-expanded=${open}
      aria-controls=${open ? id : undefined}
      aria-label=${named ? undefined : label}
      onClick=${() => {
        setHigh(noRoomBelow(root.current));
        setOpen(!open);
      }}
    >
      ${button ?? html`<${Icon} name="more" />`}
    </button>
    ${open && html`<div class="menu-list ${align} ${up || high ? "up" : ""}" role="menu" id=${id} aria-label=${label}>${items.map((item) => entry(item, shut))}</div>`}
  </div>`;
}

function entry(item, shut) {
  if (!item) return html`<div role="separator" class="menu-line"></div>`;
  if (item.heading) return html`<div class="menu-heading" role="none">${item.heading}</div>`;
  const inside = html`${item.icon && html`<${Icon} name=${item.icon} />`}<span>${item.label}${item.hint && html`<small>${item.hint}</small>`}</span>${item.current && html`<${Icon} name="check" />`}`;
  if (item.href)
    return html`<a
      role="menuitem"
      tabindex="-1"
      href=${item.href}
      download=${item.download}
      target=${item.target}
      onClick=${() => shut()}
      >${inside}</a
    >`;
  return html`<button
    type="button"
    role=${item.current === undefined ? "menuitem" : "menuitemradio"}
    aria-checked=${item.current}
    tabindex="-1"
    class=${item.danger ? "danger" : ""}
    aria-disabled=${item.disabled ? "true" : undefined}
    onClick=${() => {
      if (!item.disabled) {
        shut();
        item.run();
      }
    }}
  >
    ${inside}
  </button>`;
}

/** Near the lower edge a list opens upward, if there is more room. */
function noRoomBelow(place) {
  const { top, bottom } = place.getBoundingClientRect();
  return innerHeight - bottom < 240 && top > innerHeight - bottom;
}
