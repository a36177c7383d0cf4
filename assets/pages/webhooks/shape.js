// The request that a webhook sends, in the form: the payload as it is, or a request of its own with templates.
import { html } from "../../ui.js";
import { Field } from "../../components/form.js";
import { PairsField } from "../../components/pairs.js";
import { METHODS, hasBody } from "./request-body.js";

const CONTENTS = [
  ["json", "JSON"],
  ["form", "Form"],
  ["text", "Text"],
  ["payload", "The payload, unchanged"],
  ["none", "Nothing"],
];
const TYPES = { json: "application/json", form: "application/x-www-form-urlencoded", text: "text/plain; charset=utf-8", payload: "application/json" };
const plain = { spellcheck: "false", autocapitalize: "none", autocomplete: "off" };

export function ShapeField({ form }) {
  const { shaped } = form.values;
  form.known.current.add("request");
  const error = shaped ? null : form.errorOf("request");
  const choices = [
    [false, "The payload"],
    [true, "A request of your own"],
  ];
  return html`<fieldset class="field"><legend>What is sent</legend>
    <div class="segmented" role="group" aria-label="What is sent">${choices.map(([value, word]) => html`<button type="button" key=${word} aria-pressed=${shaped === value} onClick=${() => form.set("shaped", value)}>${word}</button>`)}</div>
    <div class="field-hint">${shaped ? "Templates, such as {{ summary.title }} or {{ payload.id }}, stand for values of the event." : "A signed POST with the payload of the event, byte for byte."}</div>
    ${error && html`<div class="field-error">${error}</div>`}
    ${shaped && html`<${Shape} form=${form} />`}</fieldset>`;
}

/** GET sends no body. */
const METHOD_OF = { GET: "none", DELETE: "none" };

function Shape({ form }) {
  const content = form.values["request/content"];
  const methodForm = {
    ...form,
    set: (name, value) => {
      form.set(name, value);
      if (METHOD_OF[value]) form.set("request/content", METHOD_OF[value]);
      else if (content === "none") form.set("request/content", "json");
    },
  };
  return html`<div class="shape">
    <div class="two"><${Field} form=${methodForm} name="request/method" label="Method" as="select" options=${METHODS} />
      <${Field} form=${form} name="request/content" label="Content" as="select" options=${CONTENTS} /></div>
    ${hasBody(content) && html`<${Field} form=${form} name="request/body" label="Body" as="textarea" className="code" rows="12" spellcheck="false" autocapitalize="none" hint=${content === "text" ? "Text with templates." : content === "form" ? "A JSON object of texts, each a template." : "JSON with templates in its strings. A string that is one {{ }} and nothing else becomes the value itself."} />`}
    <${PairsField} form=${form} name="request/query" label="Query" what="parameter" valueHint="Value or template" />
    <${PairsField} form=${form} name="request/headers" label="Headers of this request" what="template header" valueHint="Value or template" hint="Here values may have templates and secrets, such as Bearer {{ secrets.token }}." />
    <${Field} form=${form} as="checkbox" name="request/sign" label="Sign requests" hint="Adds the signature and the X-Webhook headers. Public services ignore them." />
    <details class="more-settings" open=${Boolean(form.errorOf("request/expect") || form.errorOf("request/final") || form.errorOf("request/retry_after") || form.errorOf("request/content_type"))}><summary>Success, final errors, pauses, content type</summary><div class="stack">
      <${Field} form=${form} name="request/expect" label="Expected response" optional ...${plain} className="mono" maxlength="16384" placeholder="response.json.ok != false" hint="An expression over response (status, body, json, headers). A 2xx for which it is false is a failure." />
      <${Field} form=${form} name="request/final" label="Final statuses" optional ...${plain} placeholder="400, 401, 403, 404" hint="After these, nothing is tried again." />
      <div class="two"><${Field} form=${form} name="request/retry_after/pointer" label="Pause in the response" optional ...${plain} className="mono" placeholder="/parameters/retry_after" hint="Where a 429 or 503 says in JSON how long to wait. Empty: the header Retry-After." />
        <${Field} form=${form} name="request/retry_after/unit" label="Unit" as="select" options=${[["s", "Seconds"], ["ms", "Milliseconds"]]} /></div>
      ${content !== "none" && html`<${Field} form=${form} name="request/content_type" label="Content type" optional ...${plain} maxlength="127" placeholder=${TYPES[content]} />`}
    </div></details>
  </div>`;
}
