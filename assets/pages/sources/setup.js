// What to do in the sender: its URL, its secrets, the steps in its own words; then the first request.
import { html } from "../../ui.js";
import { get } from "../../api.js";
import { useLoad } from "../../components/load.js";
import { Card } from "../../components/page.js";
import { Note } from "../../components/states.js";
import { CopyButton } from "../../components/text.js";
import { Address } from "./address.js";
import { secretsOf } from "./kept.js";
import { Waiting } from "./waiting.js";

export function Setup({ source, onChanged }) {
  const { id, attributes: a } = source;
  const name = a.preset?.name ?? "generic";
  const recipe = useLoad(async (signal) => (await get(`v1/gallery/sources/${encodeURIComponent(name)}`, {}, { signal })).data.attributes, [name]);
  const secrets = secretsOf(id);
  const title = a.preset && recipe.data ? `In ${recipe.data.title}` : "In the sender";
  return html`<div class="columns">
    <div class="column"><${Card} title=${title}><div class="stack">
      <div><p class="label">URL of this source</p><${Address} url=${a.url} /></div>
      ${secrets.length > 0 && html`<${Copies} secrets=${secrets} />`}
      ${recipe.data && html`<ol class="instructions">${recipe.data.steps.map((step) => html`<li key=${step}>${step}</li>`)}</ol>`}
      ${recipe.data?.limits.map((limit) => html`<p class="field-hint" key=${limit.text}>${limit.text}</p>`)}
      ${!a.verify.length && a.preset && html`<${Note} tone="warn">Nothing but the URL protects this source: anybody who knows it can send events.<//>`}
    </div><//></div>
    <div class="column"><${Waiting} source=${source} onChanged=${onChanged} /></div></div>`;
}

/** Not shown again, but they can be copied until the page is loaded again. */
function Copies({ secrets }) {
  return html`<div><p class="label">Secrets that you entered, to copy into the sender until you reload this page</p>
    ${secrets.map(([label, value]) => html`<div class="copy-line" key=${label}><span>${label}</span><code aria-hidden="true">••••••••</code><${CopyButton} text=${value} label="Copy" what="Copy ${label}" quiet=${false} /></div>`)}</div>`;
}

