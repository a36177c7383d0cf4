// What would become of a request with the settings of a source as they are typed. Nothing is stored; secrets that are
// stored stay on the server, which verifies with them and never shows them.
import { html, useMemo, useState } from "../../ui.js";
import { get } from "../../api.js";
import { FieldFrame } from "../../components/form.js";
import { useLoad } from "../../components/load.js";
import { Card } from "../../components/page.js";
import { Note, Skeleton } from "../../components/states.js";
import { readHeaders } from "../webhooks/check.js";
import { usePreview } from "../webhooks/preview.js";
import { pathOf } from "./actions.js";
import { bodyOf, checkSource } from "./body.js";
import { Verdict } from "./verdict.js";

const OWN = "own";
const NEWEST = 5;
const typed = { rows: 3, spellcheck: "false", autocapitalize: "none", autocomplete: "off" };

/** What can be previewed: the newest requests of the source, samples of its recipe. */
function useChoices(source) {
  const recipe = source?.attributes.preset?.name;
  const found = useLoad(
    async (signal) => {
      const [rows, samples] = await Promise.all([
        source ? get(`${pathOf(source.id)}/requests`, { per_page: NEWEST }, { signal }) : null,
        recipe ? get(`v1/gallery/sources/${encodeURIComponent(recipe)}`, {}, { signal }).catch(() => null) : null,
      ]);
      return { rows: rows?.data ?? [], samples: samples?.data.attributes.samples ?? [] };
    },
    [source?.id, recipe],
  );
  return { rows: [], samples: [], ...found.data, recipe };
}

/** The body of the preview as JSON text, or null and what is missing. */
function bodyFor(values, source, request) {
  if (!values.name.trim()) return [null, "Enter the name first."];
  const open = values.verify.findIndex((v) => v.kind !== "address" && !v.secret && !v.kept);
  if (open >= 0) return [null, `Enter the secret of verifier ${open + 1} first.`];
  try {
    checkSource(values);
  } catch (error) {
    return [null, error.message];
  }
  return [JSON.stringify({ ...(source ? { source_id: source.id } : {}), source: bodyOf(values), request }), null];
}

export function DraftPreview({ form, source }) {
  const { rows, samples, recipe } = useChoices(source);
  const [chosen, setChosen] = useState(null);
  const [own, setOwn] = useState({ headers: "Content-Type: application/json", body: "{\n  \n}" });
  const first = rows.length ? `row:${rows[0].id}` : samples.length ? `sample:${samples[0]}` : OWN;
  const choice = chosen ?? first;
  const [kind, name] = [choice.split(":")[0], choice.slice(choice.indexOf(":") + 1)];
  const request =
    kind === "row" ? { request_id: Number(name) } : kind === "sample" ? { sample: `${recipe}/${name}` } : { method: "POST", headers: readHeaders(own.headers), body: own.body };
  const asked = JSON.stringify(request);
  const [body, incomplete] = useMemo(() => bodyFor(form.values, source, request), [form.values, source?.id, asked]);
  const { data, error, busy } = usePreview(body, "v1/sources/preview");
  const option = ([value, words]) => html`<option value=${value} selected=${value === choice}>${words}</option>`;
  const change = (field) => (e) => {
    const { value } = e.target;
    setOwn((own) => ({ ...own, [field]: value }));
  };
  return html`<${Card} title="Preview" className="preview-card"><div class="stack" aria-busy=${busy ? "true" : undefined}>
    <label class="subject-choice"><span>With</span><select aria-label="Preview with" value=${choice} onChange=${(e) => setChosen(e.target.value)}>
      ${rows.length > 0 && html`<optgroup label="Newest requests">${rows.map((r, i) => option([`row:${r.id}`, `${i === 0 ? "Newest: " : ""}${r.attributes.event_type ?? r.attributes.outcome}`]))}</optgroup>`}
      ${samples.length > 0 && html`<optgroup label="Samples">${samples.map((s) => option([`sample:${s}`, s.replaceAll("_", " ")]))}</optgroup>`}
      ${option([OWN, "A request of my own"])}</select></label>
    ${
      kind === OWN &&
      html`<${FieldFrame} label="Headers" hint="One per line, or a JSON object.">${(attributes) => html`<textarea ...${attributes} ...${typed} class="low mono" value=${own.headers} onInput=${change("headers")}></textarea>`}<//>
      <${FieldFrame} label="Body">${(attributes) => html`<textarea ...${attributes} ...${typed} class="code" value=${own.body} onInput=${change("body")}></textarea>`}<//>`
    }
    ${
      incomplete
        ? html`<p class="muted">${incomplete}</p>`
        : error
          ? html`<${Note} tone="warn">${error.message.replace(/\bsource\//g, "")}<//>`
          : data
            ? html`<${Verdict} p=${data} whole stored=${kind === "row"} />`
            : html`<${Skeleton} lines=${5} />`
    }
    <p class="muted small">${kind === "row" ? "Secret headers of stored requests are masked, so verifiers are not shown." : kind === "sample" ? "Samples carry no secret, so verifiers fail on them." : "Nothing is stored or sent."}</p></div><//>`;
}
