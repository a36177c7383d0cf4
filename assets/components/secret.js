// What is shown this once: signing secrets, tokens, passwords.
import { html } from "../ui.js";
import { Note } from "./states.js";
import { CopyButton } from "./text.js";

/** `items`: `[name, value]`; the first one is what most people need. */
export function SecretOnce({ items, children }) {
  return html`<div class="secret-once"><${Note} tone="warn"><strong>Copy it now.</strong> ${children ?? "It is shown this once and cannot be read later."}<//>
    <dl>${items.map(([name, value]) => html`<div><dt class="label">${name}</dt><dd><code class="anywhere">${value}</code><${CopyButton} text=${value} what="Copy ${name.toLowerCase()}" quiet=${false} /></dd></div>`)}</dl></div>`;
}
