// The settings of a source, for reading. Secrets are never shown.
import { html } from "../../ui.js";
import { href } from "../../router.js";
import { may } from "../../state.js";
import { Card, Facts } from "../../components/page.js";
import { Time } from "../../components/time.js";
import { verifierWords } from "./words.js";

const code = (text) => html`<code class="anywhere">${text}</code>`;
const none = (word = "None") => html`<span class="muted">${word}</span>`;
const kindOf = (challenge) => challenge?.kind ?? challenge;

export function Settings({ source }) {
  const { id, attributes: a } = source;
  const summary = a.summary ?? {};
  const parts = ["title", "message", "link", "level"].filter((name) => summary[name]);
  return html`<div class="columns">
    <div class="column"><${Card} title="Who may send" actions=${may("admin") && html`<a class="button small" href=${href(`integrations/sources/${id}/edit`)}>Edit</a>`}><div class="stack">
      ${a.verify.length ? html`<ul class="plain">${a.verify.map((v, i) => html`<li key=${i}>${verifierWords(v)}${v.secret && html` <span class="muted">secret, never shown${Array.isArray(v.secret) && v.secret.length > 1 ? " (two are valid)" : ""}</span>`}</li>`)}</ul>` : html`<p>Anybody who knows the URL.</p>`}
      <${Facts} items=${[
        ["Methods", a.methods.join(", ")],
        ["Rate limit", a.rate_limit && a.rate_limit !== "0" ? html`<span class="num">${a.rate_limit}</span>` : "None"],
        ["Challenge", kindOf(a.challenge) ?? none()],
        ["Response", html`<span class="num">${a.response.status}</span> ${a.response.body === null ? none("with the event’s ID") : code(a.response.body || "empty")}`],
      ]} /></div><//></div>
    <div class="column"><${Card} title="What a request becomes"><div class="stack"><${Templates} items=${[["Event type", a.event_type], ["Resource", a.resource_id], ["Dedupe key", a.dedupe], ["Accept", a.accept]]} />
      <${Facts} items=${[
        ["JSON field", code(a.json_field)],
        a.preset && ["Recipe", html`${a.preset.name} <span class="muted">version ${a.preset.version}${a.preset.changed ? ", changed since" : ""}</span>`],
        ["Created", html`<${Time} at=${a.created_at} />`],
        ["Updated", html`<${Time} at=${a.updated_at} />`],
      ]} /></div><//>
    <${Card} title="Summary">${parts.length ? html`<${Templates} items=${parts.map((name) => [name[0].toUpperCase() + name.slice(1), summary[name]])} />` : html`<p class="muted">The event type and an outline of the payload.</p>`}<//></div></div>`;
}

function Templates({ items }) {
  return html`<dl class="templates">${items.filter(([, text]) => text).map(([name, text]) => html`<div key=${name}><dt>${name}</dt><dd><pre>${text}</pre></dd></div>`)}</dl>`;
}
