// Keys. They never act while someone types, while a dialog is open, or with Ctrl, Alt or Meta held.
import { html, useEffect, useRef } from "../ui.js";
import { Dialog } from "./dialog.js";

const typing = (target) => target.closest?.("input:not([type=checkbox]):not([type=radio]),textarea,select,[contenteditable],dialog[open],[role=menu]");

/** `useKeys({j: () => …, "/": () => …})`, as long as the component is on the page. */
export function useKeys(keys) {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    const press = (e) => {
      if (e.defaultPrevented || e.ctrlKey || e.altKey || e.metaKey || typing(e.target)) return;
      const act = latest.current[e.key];
      if (act && act(e) !== false) e.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
}

export const useHelpKey = (open) => useKeys({ "?": open });

const KEYS = [
  ["/", "Search"], ["j", "Next row"], ["k", "Previous row"], ["Enter", "Open the row"], ["x", "Select the row"],
  ["r", "Retry the delivery"], ["n", "Show what is new"], ["Esc", "Close"], ["?", "These keys"],
];
export function Help({ onClose }) {
  return html`<${Dialog} title="Keyboard shortcuts" onClose=${onClose}><dl class="keys">${KEYS.map(([key, what]) => html`<div><dt><kbd>${key}</kbd></dt><dd>${what}</dd></div>`)}</dl><//>`;
}
