// A body as it was sent or received: coloured when it is JSON, always as text, with the raw bytes one click away.
import { html, useMemo, useState } from "../ui.js";
import { bytes } from "../format.js";
import { CopyButton } from "./text.js";

/** Colouring stops here: a quarter of a megabyte of spans would make the page slow. */
const COLOURED = 60_000;

export function JsonView({ text, label = "Body", truncated, empty = "No body" }) {
  const pretty = useMemo(() => prettyOf(text), [text]);
  const [raw, setRaw] = useState(false);
  if (!text) return html`<p class="muted body-empty">${empty}</p>`;
  const shown = raw || pretty === null ? text : pretty;
  return html`<div class="body-view">
    <div class="body-bar">
      <span class="muted">${bytes(new Blob([text]).size)}${truncated && html`, cut: the rest was not kept`}</span>
      ${pretty !== null && html`<div class="segmented" role="group" aria-label="${label}: form"><button type="button" aria-pressed=${!raw} onClick=${() => setRaw(false)}>Pretty</button><button type="button" aria-pressed=${raw} onClick=${() => setRaw(true)}>Raw</button></div>`}
      <${CopyButton} text=${shown} what="Copy ${label.toLowerCase()}" />
    </div>
    <pre
      class="body-text ${raw || pretty === null ? "wrap" : ""}"
      tabindex="0"
      role="region"
      aria-label=${label}
    ><code>${!raw && pretty !== null && pretty.length <= COLOURED ? coloured(pretty) : shown}</code></pre>
  </div>`;
}

/** Indented by its own characters: JSON.parse would round large numbers and drop repeated names. */
export function prettyOf(text) {
  const t = (text ?? "").trim();
  if (!/^[[{]/.test(t)) return null;
  try {
    JSON.parse(t);
  } catch {
    return null;
  }
  let out = "",
    depth = 0;
  for (const [token] of t.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g)) {
    if (token === "{" || token === "[") {
      depth += 1;
      out += `${token}\n${"  ".repeat(depth)}`;
    } else if (token === "}" || token === "]") {
      depth -= 1;
      out = /[{[]\n *$/.test(out) ? out.trimEnd() + token : `${out}\n${"  ".repeat(depth)}${token}`;
    } else if (token === ",") out += `,\n${"  ".repeat(depth)}`;
    else if (token === ":") out += ": ";
    else out += token;
  }
  return out;
}

function coloured(text) {
  const parts = [];
  let at = 0;
  for (const m of text.matchAll(/("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|-?\d[\d.eE+-]*/g)) {
    if (m.index > at) parts.push(text.slice(at, m.index));
    const kind = m[1] ? (m[2] ? "j-name" : "j-text") : m[3] ? "j-word" : "j-number";
    parts.push(html`<span class=${kind}>${m[1] ?? m[0]}</span>`);
    if (m[2]) parts.push(m[2]);
    at = m.index + m[0].length;
  }
  parts.push(text.slice(at));
  return parts;
}
