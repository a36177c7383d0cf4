// Creates or edits a webhook: a plain one, one from a recipe of the gallery, or one with a request of its own.
import { html, useMemo, useState } from "../ui.js";
import { get, getAll, patch, post, request } from "../api.js";
import { go, href, route } from "../router.js";
import { Form, Submit, check, useForm } from "../components/form.js";
import { Icon } from "../components/icon.js";
import { rawAt } from "../components/json-text.js";
import { useLoad } from "../components/load.js";
import { Card, Page } from "../components/page.js";
import { isComplete } from "../components/preset-inputs.js";
import { ErrorState, Skeleton } from "../components/states.js";
import { toast } from "../components/toast.js";
import { bodyOf, initialOf } from "./webhooks/body.js";
import { Created } from "./webhooks/created.js";
import { WebhookFields } from "./webhooks/fields.js";
import { filterProblem } from "./webhooks/filter.js";
import { PreviewCard } from "./webhooks/preview.js";
import { requestProblems, written } from "./webhooks/request-body.js";
import { useSubjects } from "./webhooks/subjects.js";

const recipeOf = async (name, signal) => (await get(`v1/gallery/destinations/${encodeURIComponent(name)}`, {}, { signal })).data.attributes;

/** The webhook with the text of its request’s body, and its recipe, if there still is one. */
async function read(id, signal) {
  const text = await (await request("GET", `v1/webhooks/${encodeURIComponent(id)}`, { signal, raw: true })).text();
  const { data: webhook } = JSON.parse(text);
  const { preset } = webhook.attributes;
  const known = preset && (await recipeOf(preset.name, signal).catch(() => null));
  return { webhook, raw: rawAt(text, ["data", "attributes", "request", "body"]), known };
}

export default function WebhookEdit({ params: { id } }) {
  const { query } = route.value;
  const wanted = id ? null : query.get("preset");
  const load = useLoad(async (signal) => (id ? read(id, signal) : { recipe: wanted ? await recipeOf(wanted, signal) : null }), [id, wanted]);
  const [created, setCreated] = useState(null);
  const { webhook, recipe } = load.data ?? {};
  const name = webhook?.attributes.name;
  const back = id
    ? html`<a class="back" href=${href(`webhooks/${id}`)}><${Icon} name="left" size=${14} />${name || "Webhook"}</a>`
    : wanted
      ? html`<a class="back" href=${href("integrations")}><${Icon} name="left" size=${14} />Integrations</a>`
      : html`<a class="back" href=${href("webhooks")}><${Icon} name="left" size=${14} />Webhooks</a>`;
  if (created) return html`<${Created} webhook=${created} recipe=${recipe} />`;
  const missing = load.error?.status === 404;
  return html`<${Page} title=${id ? `Edit ${name ?? "webhook"}` : recipe ? `New webhook: ${recipe.title}` : "New webhook"} back=${back}>${
    load.data
      ? html`<${Editor} key=${wanted} ...${load.data} events=${query.getAll("events").filter(Boolean)} onCreated=${setCreated} />`
      : load.error
        ? html`<${Card}><${ErrorState} title=${missing ? (id ? "Webhook not found" : "No such recipe") : undefined} error=${load.error} retry=${missing ? null : load.reload} /><//>`
        : html`<${Card}><${Skeleton} lines=${8} /><//>`
  }<//>`;
}

const isUrl = (url) => /^https?:\/\/[^/]/i.test(url) && (URL.canParse(url) || /\{\{/.test(url));

function Editor({ webhook, raw, known, recipe, events, onCreated }) {
  const types = useLoad((signal) => getAll("v1/event-types", {}, { signal }));
  const about = useLoad((signal) => get("admin/api/about", {}, { signal }));
  const form = useForm({
    initial: useMemo(() => initialOf(webhook?.attributes, { raw, recipe, events }), []),
    submit: async (values) => {
      const body = bodyOf(values, recipe);
      check({
        ...(recipe ? {} : { url: isUrl(body.url) ? null : "Enter a full URL, such as https://example.com/hooks.", ...requestProblems(values) }),
        filter: filterProblem(values.filter),
        events: body.events.length ? null : "Add at least one event type, or choose All events.",
      });
      if (!webhook) {
        onCreated((await post("v1/webhooks", written(body))).data);
        scrollTo(0, 0);
        return;
      }
      const { data } = await patch(`v1/webhooks/${encodeURIComponent(webhook.id)}`, written(body));
      toast(`${data.attributes.name} updated.`);
      go(`webhooks/${webhook.id}`);
    },
  });
  const subjects = useSubjects(form.values.events);
  return html`<div class="form-beside">
    <${Card}><${Form} form=${form} className="spacious" footer=${html`<${Submit} form=${form}>${webhook ? "Save changes" : "Create webhook"}<//><a class="button" href=${href(webhook ? `webhooks/${webhook.id}` : recipe ? "integrations" : "webhooks")}>Cancel</a>`}>
      <${WebhookFields} form=${form} webhook=${webhook} recipe=${recipe} types=${types.data} configured=${about.data?.delivery} subjects=${subjects} /><//><//>
    <div class="beside">${recipe && html`<${Steps} recipe=${recipe} />`}<${Preview} form=${form} webhook=${webhook} recipe=${recipe} known=${known} subjects=${subjects} /></div></div>`;
}

function Steps({ recipe }) {
  if (!recipe.steps.length) return null;
  return html`<${Card} title="In ${recipe.title}"><ol class="instructions">${recipe.steps.map((step) => html`<li key=${step}>${step}</li>`)}</ol>${recipe.limits.map((limit) => html`<p class="field-hint" key=${limit.text}>${limit.text}</p>`)}<//>`;
}

/** The form as it is now; null with the reason while it cannot be rendered. */
function previewOf(values, webhook, recipe) {
  if (!values.events.length) return [null, "Choose the events first."];
  if (recipe && !isComplete(recipe, values)) return [null, `Fill in the fields of ${recipe.title} to see the message.`];
  if (filterProblem(values.filter) || (!recipe && Object.values(requestProblems(values)).some(Boolean))) return [null, "Correct the fields that have an error to see the request."];
  try {
    const { url, events, filter, headers, request, secrets, preset, body: text } = bodyOf(values, recipe);
    const body = { url: recipe || isUrl(url) ? url : "https://example.com/", events, filter, headers, request, secrets, preset, body: text };
    return [`${webhook ? `"webhook_id":${JSON.stringify(webhook.id)},` : ""}"webhook":${written(body)}`, null];
  } catch (error) {
    return [null, error.message];
  }
}

function Preview({ form, webhook, recipe, known, subjects }) {
  const [text, incomplete] = useMemo(() => previewOf(form.values, webhook, recipe), [form.values]);
  return html`<${PreviewCard} webhook=${text} incomplete=${incomplete} subjects=${subjects} recipe=${recipe ?? known} />`;
}
