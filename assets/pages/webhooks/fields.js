// The fields of a webhook in the form. With a recipe: its few inputs, the events, a filter; the rest is folded.
import { html } from "../../ui.js";
import { get } from "../../api.js";
import { go, route } from "../../router.js";
import { Field, FieldFrame } from "../../components/form.js";
import { useLoad } from "../../components/load.js";
import { PairsField } from "../../components/pairs.js";
import { PresetInputs } from "../../components/preset-inputs.js";
import { FilterCheck } from "./filter-check.js";
import { FilterField, filterLine, filterProblem } from "./filter.js";
import { HeadersField } from "./headers.js";
import { PatternField } from "./patterns.js";
import { ScheduleField } from "./schedule.js";
import { ShapeField } from "./shape.js";
import { usePaths } from "./subjects.js";

export function WebhookFields({ form, webhook, recipe, types, configured, subjects }) {
  const paths = usePaths(subjects.recent[0]);
  const line = filterProblem(form.values.filter) ? null : filterLine(form.values.filter);
  const filter = html`<${FilterField} form=${form} paths=${paths}><${FilterCheck} line=${line} events=${form.values.events} recent=${subjects.recent} /><//>`;
  const events = html`<${PatternField} form=${form} types=${types} />`;
  if (recipe)
    return html`<${Integration} value=${recipe.name} />
      <${PresetInputs} form=${form} preset=${recipe} />
      <${Naming} form=${form} title=${recipe.title} />
      ${events}${filter}
      <details class="more-settings" open=${hasErrors(form)}><summary>Retries, limits, contact, headers</summary><div class="stack"><${Sending} form=${form} configured=${configured} recipe=${recipe} /><${HeadersField} form=${form} /></div></details>`;
  return html`${!webhook && html`<${Integration} value="" />`}
    <${Field} form=${form} name="url" label="URL" type="url" placeholder="https://example.com/hooks" required maxlength="2048" spellcheck="false" autocapitalize="none" hint=${form.values.shaped ? "Path and query may have templates and secrets, such as {{ secrets.path }}." : "Events are sent to this URL. Private addresses must be allowed in the configuration."} />
    <${Naming} form=${form} />
    ${events}${filter}
    <${ShapeField} form=${form} />
    ${(form.values.shaped || form.values.secrets.length > 0) && html`<${PairsField} form=${form} name="secrets" label="Secrets" what="secret" secret most=${10} hint="Templates call them secrets.NAME. They are stored encrypted and never shown again." />`}
    <${Sending} form=${form} configured=${configured} />
    <${HeadersField} form=${form} />
    ${!form.values.shaped && html`<${Field} form=${form} as="checkbox" name="encrypted" label="Encrypt payloads" hint="Each payload is sent as a JWE (AES-256-GCM). The receiver decrypts it with the signing secret." />`}`;
}

const FOLDED = ["retry_schedule", "timeout", "rate_limit", "contact", "headers"];
const hasErrors = (form) => FOLDED.some((name) => form.errorOf(name));

/** The recipe of a new webhook. Another one has other fields. */
function Integration({ value }) {
  const list = useLoad(async (signal) => (await get("v1/gallery/destinations", {}, { signal })).data);
  const options = list.data ?? [];
  const choose = (name) => go("webhooks/new", { preset: name, events: route.value.query.getAll("events") }, { replace: true });
  return html`<${FieldFrame} label="Integration" hint="A recipe for chat, phones, home automation and others.">${(attributes) => html`<select ...${attributes} value=${value} onChange=${(e) => choose(e.target.value)}><option value="" selected=${!value}>None: a receiver of your own</option>${options.map((r) => html`<option value=${r.id} selected=${r.id === value}>${r.attributes.title}</option>`)}</select>`}<//>`;
}

function Naming({ form, title }) {
  return html`<${Field} form=${form} name="name" label="Name" optional maxlength="100" hint="Defaults to the URL’s host." placeholder=${title} />
    ${!title && html`<${Field} form=${form} name="description" label="Description" optional as="textarea" rows="2" maxlength="500" className="low" />`}`;
}

function Sending({ form, configured, recipe }) {
  const own = recipe?.webhook?.rate_limit;
  return html`<${ScheduleField} form=${form} configured=${configured?.retry_schedule} />
    <div class="two">
      <${Field} form=${form} name="timeout" label="Timeout" optional placeholder=${configured?.timeout ?? "10s"} spellcheck="false" autocomplete="off" hint="For the whole request, up to 30s." />
      <${Field} form=${form} name="rate_limit" label="Rate limit" optional placeholder=${own ?? "No limit"} spellcheck="false" autocomplete="off" hint="Requests per second, up to 10,000, or 30/m, 1000/h." /></div>
    <${Field} form=${form} name="contact" label="Contact" optional maxlength="2048" spellcheck="false" autocapitalize="none" autocomplete="off" placeholder="team@example.com" hint="An email address or a URL that also gets the alerts about this webhook. Email needs an alert target of type Email." />`;
}
