// The frame of what is shown before anybody has signed in, and the commands that help from there.
import { html, useEffect } from "../ui.js";
import { Logo } from "./icon.js";
import { CopyButton } from "./text.js";

export function Door({ title, children }) {
  useEffect(() => {
    document.title = `${title} · Postrider`;
  }, [title]);
  return html`<main id="main" tabindex="-1" class="door"><${DoorBox} title=${title}>${children}<//></main>`;
}

export const DoorBox = ({ title, id, children }) =>
  html`<div class="door-box">
    <div class="brand"><${Logo} size=${26} />Postrider</div>
    <h1 id=${id}>${title}</h1>
    ${children}
  </div>`;

/** A command for the server's own shell. */
export const Command = ({ text }) =>
  html`<div class="command-line"><pre class="command"><code>${text}</code></pre><${CopyButton} text=${text} what="Copy command" /></div>`;

export const CREATE_OWNER = "postrider user create --email you@example.com --role owner";
export const RESET_PASSWORD = "postrider user reset-password --email you@example.com";
