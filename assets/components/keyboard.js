// Keyboard shortcuts. They never act while someone types, in dialogs, or with Ctrl, Alt or Meta held.
import { useEffect, useRef } from "../ui.js";

const typing = (target) =>
  target.closest?.(
    "input:not([type=checkbox]):not([type=radio]),textarea,select,[contenteditable],dialog[open],[role=menu]",
  );

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
