// What is shown only once: signing secrets, tokens, passwords. It goes away unasked only after it was copied.
import { html, useEffect, useRef } from "../ui.js";
import { guard } from "../router.js";
import { confirm } from "./dialog.js";
import { Note } from "./states.js";
import { CopyButton } from "./text.js";

/**
 * `{sure, done}` for what is called `what`: `sure` asks before it goes away, `done` says that it may. With `page` it also
 * keeps the page from being left.
 */
export function useOnce(what, { page = false } = {}) {
  const known = useRef(false);
  const question = () =>
    confirm({
      title: `Close without copying the ${what}?`,
      text: `The ${what} is shown only once and cannot be read later.`,
      action: "Close without copying",
      cancel: "Go back",
      danger: true,
    });
  const once = useRef({ sure: () => known.current || question(), done: () => (known.current = true) }).current;
  useEffect(() => (page ? guard(once.sure, () => known.current) : undefined), []);
  return once;
}

/**
 * `items`: `[name, value, partial]`; the first one is what most people need, and a `partial` one is of no use alone.
 * `once` is from `useOnce`.
 */
export function SecretOnce({ items, once, children }) {
  return html`<div class="secret-once"><${Note} tone="warn"><strong>Copy it now.</strong> ${children ?? "It is shown only once and cannot be read later."}<//>
    <dl>${items.map(([name, value, partial]) => html`<div onCopy=${partial ? undefined : once.done}><dt class="label">${name}</dt><dd><code class="anywhere">${value}</code><${CopyButton} text=${value} what="Copy ${name.toLowerCase()}" quiet=${false} onCopied=${partial ? undefined : once.done} /></dd></div>`)}</dl></div>`;
}
