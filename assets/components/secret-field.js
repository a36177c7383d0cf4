// A field for a secret that a person types or pastes: hidden, with an eye; a random one on request.
import { html, useState } from "../ui.js";
import { FieldFrame } from "./form.js";
import { Icon } from "./icon.js";
import { CopyButton } from "./text.js";

const LETTERS = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/** 32 letters and digits: more than 180 random bits. */
export function random() {
  // 56 letters: bytes from 224 on are left out, so that each letter is equally likely.
  let text = "";
  while (text.length < 32) {
    for (const byte of crypto.getRandomValues(new Uint8Array(48))) if (byte < 224) text += LETTERS[byte % LETTERS.length];
  }
  return text.slice(0, 32);
}

/** `kept`: there is a secret already, which stays if nothing is entered. `generate` offers a random one. */
export function SecretField({ label, hint, error, optional, value, kept, generate, placeholder, onInput, maxlength = 4096 }) {
  const [shown, setShown] = useState(false);
  const make = () => {
    setShown(true);
    onInput(random());
  };
  return html`<${FieldFrame} ...${{ label, hint, error, optional }}>${(attributes) => html`<div class="secret-field">
      <input ...${attributes} class="mono" type=${shown ? "text" : "password"} value=${value ?? ""} placeholder=${kept ? "Unchanged" : placeholder} maxlength=${maxlength} spellcheck="false" autocapitalize="none" autocomplete="new-password" onInput=${(e) => onInput(e.target.value)} />
      <button type="button" class="button" aria-pressed=${shown} aria-label="Show ${label}" title=${shown ? "Hide" : "Show"} onClick=${() => setShown(!shown)}><${Icon} name="eye" /></button>
      ${generate && (value ? html`<${CopyButton} text=${value} label="Copy" what="Copy ${label}" quiet=${false} />` : html`<button type="button" class="button" onClick=${make}>Generate</button>`)}
    </div>`}<//>`;
}
