// The URL of a source: copied, explained, rotated.
import { html, useState } from "../../ui.js";
import { post } from "../../api.js";
import { Dialog } from "../../components/dialog.js";
import { Field, Form, Submit, useForm } from "../../components/form.js";
import { Note } from "../../components/states.js";
import { CopyButton } from "../../components/text.js";
import { pathOf } from "./actions.js";

const isWhole = (url) => !/(…|\.\.\.)$/.test(url);

/** A host that other machines cannot reach. */
const isLocal = (url) => URL.canParse(url) && /^(localhost|127\.|0\.0\.0\.0|\[::1?\])/.test(new URL(url).hostname);

export function Address({ url }) {
  if (!isWhole(url))
    return html`<div class="address"><div class="line"><span class="mono anywhere">${url}</span></div><p class="field-hint">Only admins and owners see the whole URL: anybody who knows it can send requests.</p></div>`;
  return html`<div class="address"><div class="copy-line"><code class="anywhere">${url}</code><${CopyButton} text=${url} label="Copy" what="Copy URL" quiet=${false} /></div>
    ${isLocal(url) && html`<p class="field-hint">Other machines cannot reach this host. Set <code>inbound.public_url</code> in the configuration to the address that senders use.</p>`}</div>`;
}

const OVERLAPS = [
  ["24h", "24 hours"],
  ["0s", "None: the old URL stops working now"],
  ["1h", "1 hour"],
  ["3d", "3 days"],
  ["7d", "7 days"],
];

/** A new URL; the old one works during the overlap. */
export function Rotate({ source, onClose, onDone }) {
  const [made, setMade] = useState(null);
  const form = useForm({
    initial: { overlap: "24h" },
    submit: async ({ overlap }) => {
      const { data } = await post(`${pathOf(source.id)}/rotate-url`, { overlap });
      setMade({ url: data.attributes.url, overlap });
      onDone();
    },
  });
  if (made) {
    const words = OVERLAPS.find(([v]) => v === made.overlap)[1];
    return html`<${Dialog} title="New URL" onClose=${onClose} footer=${html`<button type="button" class="button primary" onClick=${onClose}>Done</button>`}>
      <${Address} url=${made.url} />
      <p>${made.overlap === "0s" ? "The old URL no longer works." : `The old URL works for another ${words}.`} Give the new one to the sender.</p><//>`;
  }
  return html`<${Dialog} title="Rotate the URL" onClose=${onClose}>
    <${Form} form=${form} footer=${html`<button type="button" class="button" onClick=${onClose}>Cancel</button><${Submit} form=${form}>Create a new URL<//>`}>
      <p>Anybody who knows the URL can send requests. Rotate it when it may have leaked, for example into the log of a proxy.</p>
      <${Field} form=${form} name="overlap" label="Overlap" as="select" options=${OVERLAPS} hint="So long the old URL works beside the new one. A second rotation ends the oldest." />
      <${Note}>The sender must be changed before the overlap ends.<//>
    <//><//>`;
}
