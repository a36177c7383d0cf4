// A body as it was sent or received: colored when it is JSON, always as text, with the raw text one click away.
import { html, useMemo, useState } from "../ui.js";
import { bytes, number } from "../format.js";
import { prettyOf } from "./json-text.js";
import { CopyButton } from "./text.js";

/** Coloring stops here: a quarter of a megabyte of spans would make the page slow. */
const COLORED = 60_000;
/** So many characters are shown at first; a browser needs seconds to lay out megabytes. */
const SHOWN = 200_000;

export function JsonView({ text, label = "Body", truncated, empty = "No body" }) {
  const pretty = useMemo(() => prettyOf(text), [text]);
  const size = useMemo(() => (text ? new Blob([text]).size : 0), [text]);
  const [raw, setRaw] = useState(false);
  const [whole, setWhole] = useState(false);
  const isPretty = !raw && pretty !== null;
  const full = isPretty ? pretty : (text ?? "");
  const shown = whole ? full : full.slice(0, SHOWN);
  const inside = useMemo(() => (isPretty && shown.length <= COLORED ? colored(shown) : shown), [isPretty, shown]);
  if (!text) return html`<p class="muted body-empty">${empty}</p>`;
  return html`<div class="body-view">
    <div class="body-bar">
      <span class="muted">${bytes(size)}${truncated && html`, truncated: the rest was not kept`}</span>
      ${pretty !== null && html`<div class="segmented" role="group" aria-label="${label}: format"><button type="button" aria-pressed=${!raw} onClick=${() => setRaw(false)}>Pretty</button><button type="button" aria-pressed=${raw} onClick=${() => setRaw(true)}>Raw</button></div>`}
      <${CopyButton} text=${full} what="Copy ${label.toLowerCase()}" />
    </div>
    <pre
      class="body-text ${isPretty ? "" : "wrap"}"
      tabindex="0"
      role="region"
      aria-label=${label}
    ><code>${inside}</code></pre>
    ${shown.length < full.length && html`<div class="body-bar body-more"><span class="muted">The first ${number(SHOWN)} of ${number(full.length)} characters</span><button type="button" class="button small" onClick=${() => setWhole(true)}>Show all</button></div>`}
  </div>`;
}

/** Pretty JSON as text and colored parts. */
function colored(text) {
  const parts = [];
  let at = 0;
  for (const m of text.matchAll(/("[^"\\]*(?:\\.[^"\\]*)*")(: )?|\b(true|false|null)\b|-?\d[\d.eE+-]*/g)) {
    if (m.index > at) parts.push(text.slice(at, m.index));
    const kind = m[1] ? (m[2] ? "j-name" : "j-text") : m[3] ? "j-word" : "j-number";
    parts.push(html`<span class=${kind}>${m[1] ?? m[0]}</span>`);
    if (m[2]) parts.push(m[2]);
    at = m.index + m[0].length;
  }
  parts.push(text.slice(at));
  return parts;
}
