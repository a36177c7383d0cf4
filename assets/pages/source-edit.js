// Creates or edits a source. With a recipe of the gallery, a name and its few inputs are enough.
import { html } from "../ui.js";
import { get, patch, post } from "../api.js";
import { go, href, route } from "../router.js";
import { Field, Form, Submit, useForm } from "../components/form.js";
import { Icon } from "../components/icon.js";
import { useLoad } from "../components/load.js";
import { Card, Page } from "../components/page.js";
import { PresetInputs, blankInputs, inputsOf } from "../components/preset-inputs.js";
import { ErrorState, Note, Skeleton } from "../components/states.js";
import { toast } from "../components/toast.js";
import { pathOf } from "./sources/actions.js";
import { bodyOf, checkSource, initialOf } from "./sources/body.js";
import { SourceFields } from "./sources/fields.js";
import { keep } from "./sources/kept.js";
import { DraftPreview } from "./sources/preview.js";

/** The recipe without inputs: every setting is shown. */
const GENERIC = "generic";

export default function SourceEdit({ params: { id } }) {
  const wanted = id ? null : route.value.query.get("preset");
  const load = useLoad(
    async (signal) => {
      if (id) return { source: (await get(pathOf(id), {}, { signal })).data };
      const [recipe, sources] = await Promise.all([
        wanted ? get(`v1/gallery/sources/${encodeURIComponent(wanted)}`, {}, { signal }) : null,
        get("v1/sources", { per_page: 200 }, { signal }),
      ]);
      return { recipe: recipe?.data.attributes ?? null, names: sources.data.map((s) => s.attributes.name) };
    },
    [id, wanted],
  );
  const { source, recipe, names } = load.data ?? {};
  const back = id
    ? html`<a class="back" href=${href(`integrations/sources/${id}`)}><${Icon} name="left" size=${14} />${source?.attributes.name ?? "Source"}</a>`
    : html`<a class="back" href=${href("integrations")}><${Icon} name="left" size=${14} />Integrations</a>`;
  const fromRecipe = recipe && recipe.name !== GENERIC;
  const title = id ? `Edit ${source?.attributes.name ?? "source"}` : fromRecipe ? `New source: ${recipe.title}` : "New source";
  const missing = load.error?.status === 404;
  return html`<${Page} narrow=${!load.data || fromRecipe} title=${title} back=${back}>${
    load.data
      ? fromRecipe
        ? html`<${FromRecipe} recipe=${recipe} names=${names} />`
        : html`<${Editor} source=${source} preset=${recipe?.name} names=${names} />`
      : load.error
        ? html`<${Card}><${ErrorState} title=${missing ? (id ? "Source not found" : "No such recipe") : undefined} error=${load.error} retry=${missing ? null : load.reload} /><//>`
        : html`<${Card}><${Skeleton} lines=${8} /><//>`
  }<//>`;
}

/** `sonarr`, or `sonarr-2` if there is one. */
function freeName(name, taken) {
  let free = name;
  for (let n = 2; taken.includes(free); n += 1) free = `${name}-${n}`;
  return free;
}

const NAME_HINT = "1 to 40 of a–z, 0–9, _ and -. Templates and filters know the source by this name.";

function FromRecipe({ recipe, names }) {
  const form = useForm({
    initial: { name: freeName(recipe.name, names), ...blankInputs(recipe) },
    submit: async (values) => {
      const inputs = inputsOf(recipe, values);
      const { data } = await post("v1/sources", { name: values.name.trim(), preset: { name: recipe.name, inputs } });
      keep(data.id, recipe.inputs.filter((input) => inputs[input.name]).map((input) => [input.label, inputs[input.name]]));
      toast(`${data.attributes.name} created.`);
      go(`integrations/sources/${data.id}`, { part: "setup" }, { replace: true });
    },
  });
  const open = !recipe.source?.verify?.length;
  return html`<${Card}><${Form} form=${form} className="spacious" footer=${html`<${Submit} form=${form}>Create source<//><a class="button" href=${href("integrations")}>Cancel</a>`}>
      <p>Creates a URL for ${recipe.title}. Each request to it becomes an event.</p>
      <${Field} form=${form} name="name" label="Name" required maxlength="40" spellcheck="false" autocapitalize="none" autocomplete="off" hint=${NAME_HINT} />
      <${PresetInputs} form=${form} preset=${recipe} generate />
      ${open && html`<${Note} tone="warn">${recipe.title} does not sign its requests: the URL is the only secret. Anybody who knows it can send events.<//>`}
    <//><//>
    <${Card} title="In ${recipe.title}"><p class="muted">What you will do there, once the source is created and has a URL:</p><ol class="instructions">${recipe.steps.map((step) => html`<li key=${step}>${step}</li>`)}</ol><//>`;
}

function Editor({ source, preset, names }) {
  const form = useForm({
    initial: initialOf(source?.attributes, names && freeName(preset ?? "my-app", names)),
    submit: async (values) => {
      checkSource(values);
      const body = bodyOf(values);
      if (source) {
        const { data } = await patch(pathOf(source.id), body);
        toast(`${data.attributes.name} updated.`);
        go(`integrations/sources/${source.id}`);
        return;
      }
      const { data } = await post("v1/sources", preset ? { ...body, preset: { name: preset } } : body);
      keep(data.id, body.verify.filter((v) => typeof v.secret === "string").map((v) => ["Secret", v.secret]));
      toast(`${data.attributes.name} created.`);
      go(`integrations/sources/${data.id}`, { part: "setup" }, { replace: true });
    },
  });
  const cancel = source ? `integrations/sources/${source.id}` : "integrations";
  return html`<div class="form-beside"><${Card}><${Form} form=${form} className="spacious" footer=${html`<${Submit} form=${form}>${source ? "Save changes" : "Create source"}<//><a class="button" href=${href(cancel)}>Cancel</a>`}>
    ${source && html`<${Field} form=${form} as="checkbox" name="enabled" label="Enabled" hint="A disabled source is answered like an unknown URL." />`}
    <${Field} form=${form} name="name" label="Name" required maxlength="40" spellcheck="false" autocapitalize="none" autocomplete="off" hint=${NAME_HINT} />
    <${SourceFields} form=${form} /><//><//>
    <div class="beside"><${DraftPreview} form=${form} source=${source} /></div></div>`;
}
