// Previews a request of one's own, or a sample of the gallery, with the settings of a source. Nothing is stored.
import { html, useState } from "../../ui.js";
import { get, post } from "../../api.js";
import { may } from "../../state.js";
import { Field, Form, Submit, useForm } from "../../components/form.js";
import { useLoad } from "../../components/load.js";
import { Card } from "../../components/page.js";
import { EmptyState } from "../../components/states.js";
import { readHeaders } from "../webhooks/check.js";
import { Verdict } from "./verdict.js";

const OWN = "own";

export function Try({ source }) {
  if (!may("admin")) return html`<${Card}><${EmptyState} icon="eye" title="You need another role" text="Previews require the admin role." /><//>`;
  return html`<${Previewer} source=${source} />`;
}

function Previewer({ source }) {
  const recipe = source.attributes.preset?.name;
  const known = useLoad(
    async (signal) => (recipe ? (await get(`v1/gallery/sources/${encodeURIComponent(recipe)}`, {}, { signal })).data.attributes.samples : []),
    [recipe],
  );
  const [result, setResult] = useState(null);
  const form = useForm({
    initial: { sample: OWN, method: "POST", headers: "Content-Type: application/json", body: "{\n  \n}" },
    submit: async (v) => {
      const request = v.sample === OWN ? { method: v.method, headers: readHeaders(v.headers), body: v.body } : { sample: `${recipe}/${v.sample}` };
      setResult((await post("v1/sources/preview", { source_id: source.id, request })).data.attributes);
    },
  });
  const samples = known.data ?? [];
  const own = form.values.sample === OWN;
  return html`<div class="columns">
    <div class="column"><${Card} title="A request to try"><${Form} form=${form} footer=${html`<${Submit} form=${form}>Preview<//>`}>
      <p class="muted">Shows what would become of a request with the present settings. Nothing is stored or sent.</p>
      ${samples.length > 0 && html`<${Field} form=${form} name="sample" label="Request" as="select" options=${[[OWN, "My own"], ...samples.map((s) => [s, `Sample: ${s.replaceAll("_", " ")}`])]} hint="Samples carry no secret, so verifiers fail on them." />`}
      ${
        own &&
        html`<${Field} form=${form} name="method" label="Method" as="select" options=${["POST", "PUT", "GET"]} />
      <${Field} form=${form} name="headers" label="Headers" as="textarea" className="low mono" rows="3" spellcheck="false" hint="One per line, or a JSON object." />
      <${Field} form=${form} name="body" label="Body" as="textarea" className="code" rows="8" spellcheck="false" />`
      }
    <//><//></div>
    <div class="column"><${Card} title="Preview">${result ? html`<${Verdict} p=${result} whole />` : html`<${EmptyState} icon="eye" title="No preview yet" text="Choose a sample or paste a request, then press Preview." />`}<//></div></div>`;
}
