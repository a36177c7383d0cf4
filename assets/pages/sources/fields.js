// The settings of a source in the form: who may send, what a request becomes, what the sender gets.
import { html } from "../../ui.js";
import { Field } from "../../components/form.js";
import { SecretField } from "../../components/secret-field.js";
import { VerifiersField } from "./verifiers.js";

const METHODS = ["POST", "PUT", "GET"];
const CHALLENGES = [
  ["", "None"],
  ["slack", "Slack"],
  ["dropbox", "Dropbox"],
  ["microsoft", "Microsoft"],
  ["twitch", "Twitch"],
  ["meta", "Meta"],
];
const template = { spellcheck: "false", autocapitalize: "none", autocomplete: "off", className: "mono", maxlength: "16384" };

export function SourceFields({ form }) {
  return html`<${VerifiersField} form=${form} />
    <fieldset class="field part-of-form"><legend>What a request becomes</legend>
      <div class="field-hint">Templates see payload, headers['x-name'], query, path, form and client_ip.</div>
      <${Field} form=${form} name="event_type" label="Event type" optional ...${template} placeholder=${`${form.values.name || "name"}.event`} hint="A template. Other characters than letters, digits, _, . and - become _." />
      <div class="two"><${Field} form=${form} name="resource_id" label="Resource" optional ...${template} placeholder="{{ payload.id }}" hint="What the event is about." />
        <${Field} form=${form} name="dedupe" label="Dedupe key" optional ...${template} placeholder="{{ headers['x-request-id'] }}" hint="The same value within 24 hours makes no second event." /></div>
      <${Field} form=${form} name="accept" label="Accept" optional ...${template} placeholder="payload.event != 'ping'" hint="An expression. If it is false, the sender gets a success and nothing is stored." />
    </fieldset>
    <fieldset class="field part-of-form"><legend>Summary</legend>
      <div class="field-hint">What an event means to a person; every recipe for a receiver reads it. Empty: the type, and an outline of the payload.</div>
      <${Field} form=${form} name="summary/title" label="Title" optional ...${template} placeholder="{{ payload.name }} is {{ payload.status }}" />
      <${Field} form=${form} name="summary/message" label="Message" optional as="textarea" rows="3" ...${template} className="low mono" />
      <div class="two"><${Field} form=${form} name="summary/link" label="Link" optional ...${template} placeholder="{{ payload.url }}" />
        <${Field} form=${form} name="summary/level" label="Level" optional ...${template} placeholder="{{ 'error' if payload.status == 'down' else 'info' }}" hint="info, success, warning or error." /></div>
    </fieldset>
    <details class="more-settings" open=${hasErrors(form)}><summary>Methods, response, challenge, rate limit</summary><div class="stack">
      <${Methods} form=${form} />
      <div class="two"><${Field} form=${form} name="response/status" label="Response status" as="select" options=${["200", "201", "202", "203", "204"]} />
        <${Field} form=${form} name="response/content_type" label="Response content type" spellcheck="false" autocomplete="off" maxlength="127" /></div>
      <${Field} form=${form} name="response/body" label="Response body" optional as="textarea" rows="2" className="low mono" maxlength="4096" spellcheck="false" hint="Empty: the ID of the event." />
      <div class="two"><${Field} form=${form} name="challenge" label="Challenge" as="select" options=${CHALLENGES} hint="Answers the question with which these senders check a URL." />
        <${Field} form=${form} name="rate_limit" label="Rate limit" optional placeholder="600/m" spellcheck="false" autocomplete="off" hint="Such as 10/s, 600/m or 5000/h; 0 = no limit." /></div>
      ${form.values.challenge === "meta" && html`<${VerifyToken} form=${form} />`}
      <${Field} form=${form} name="json_field" label="JSON field" spellcheck="false" autocomplete="off" maxlength="100" hint="The field of a form, or the part of a multipart body, that holds the JSON." />
    </div></details>`;
}

const HIDDEN = ["methods", "response", "challenge", "rate_limit", "json_field"];
const hasErrors = (form) => HIDDEN.some((name) => form.errorOf(name));

function VerifyToken({ form }) {
  form.known.current.add("challenge/verify_token");
  return html`<${SecretField} label="Verify token" value=${form.values["challenge/verify_token"]} kept=${form.values.token_kept} error=${form.errorOf("challenge/verify_token")} generate onInput=${(v) => form.set("challenge/verify_token", v)} />`;
}

function Methods({ form }) {
  form.known.current.add("methods");
  const chosen = form.values.methods;
  const toggle = (method) => form.set("methods", METHODS.filter((m) => (m === method) !== chosen.includes(m)));
  const error = form.errorOf("methods");
  return html`<fieldset class="field"><legend>Methods</legend>
    <div class="checkboxes">${METHODS.map((m) => html`<label class="header-secret" key=${m}><input type="checkbox" checked=${chosen.includes(m)} onChange=${() => toggle(m)} />${m}</label>`)}</div>
    ${error && html`<div class="field-error">${error}</div>`}
    <div class="field-hint">${chosen.includes("GET") ? "With GET, the query becomes the payload. Link previews of chats may trigger it." : "With GET, the query becomes the payload; for senders that cannot post."}</div></fieldset>`;
}
