// Text that may be long or hostile: shortened in the middle, copied, never interpreted as markup.
import { html, useRef, useState } from "../ui.js";
import { announce } from "./toast.js";
import { Icon } from "./icon.js";

/** Cuts in the middle by layout, so that the end of a URL stays visible at every width. */
export function MiddleEllipsis({ text, tail = 12, mono }) {
  const value = text ?? "";
  const cut = Math.max(0, value.length - tail);
  return html`<span class="middle ${mono ? "mono" : ""}" title=${value}
    ><span class="middle-head">${value.slice(0, cut)}</span><span class="middle-tail">${value.slice(cut)}</span></span
  >`;
}

/** `text` may be a function, for what is put together only when asked for. */
export function CopyButton({ text, label = "Copy", what = label, quiet = true, onCopied }) {
  const [done, setDone] = useState(false);
  const timer = useRef(0);
  const copy = async () => {
    await copyText(typeof text === "function" ? text() : text);
    setDone(true);
    onCopied?.();
    announce(`${what}: copied`);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setDone(false), 1500);
  };
  return html`<button
    type="button"
    class=${quiet ? "button quiet small" : "button small"}
    onClick=${copy}
    title=${what}
    aria-label=${what}
  >
    <${Icon} name=${done ? "check" : "copy"} size=${14} />${label}
  </button>`;
}

/** The clipboard exists only in secure contexts; over plain HTTP, the old command has to do. */
async function copyText(text) {
  try {
    return await navigator.clipboard.writeText(text);
  } catch {
    /* Not there, or not allowed. */
  }
  const area = document.createElement("textarea");
  area.value = text;
  // Inside an open dialog, because everything beside it takes no focus.
  ([...document.querySelectorAll("dialog[open]")].at(-1) ?? document.body).append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
