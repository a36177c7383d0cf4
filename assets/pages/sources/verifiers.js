// The verifiers of a source in the form: up to four, all of which must hold.
import { html } from "../../ui.js";
import { FieldFrame } from "../../components/form.js";
import { Icon } from "../../components/icon.js";
import { Note } from "../../components/states.js";
import { SecretField } from "../../components/secret-field.js";
import { blankVerifier } from "./body.js";
import { VERIFIERS } from "./words.js";

const MOST = 4;
const KINDS = Object.entries(VERIFIERS).map(([kind, [word]]) => [kind, word]);
const PLACES = [
  ["header", "A header"],
  ["query", "A query parameter"],
  ["basic_password", "The password of HTTP Basic"],
];

/** Fields by kind: `[name, label, {options, hint, placeholder, optional, api}]`; `api` is the API’s name. */
const FIELDS = {
  token: [
    ["in", "Where", { options: PLACES }],
    ["name", "Name", { placeholder: "Authorization", hidden: (v) => v.in === "basic_password" }],
    ["prefix", "Prefix", { placeholder: "Bearer ", optional: true, hint: "What stands before the token, with its space.", hidden: (v) => v.in !== "header" }],
  ],
  basic: [["username", "User name", {}]],
  hmac: [
    ["header", "Header", { placeholder: "X-Hub-Signature-256" }],
    ["prefix", "Prefix", { placeholder: "sha256=", optional: true, hint: "What stands before the signature." }],
    ["algorithm", "Algorithm", { options: ["sha256", "sha1", "sha512"] }],
    ["encoding", "Encoding", { options: ["hex", "base64"] }],
    ["form", "The secret is", { options: [["text", "Text"], ["hex", "Hexadecimal"], ["base64", "Base64"]], api: "key" }],
    ["content", "Signed content", { placeholder: "{body}", optional: true, hint: "May hold {body}, {timestamp}, {header:NAME} and {url}." }],
    ["timestamp", "Header with the time", { optional: true, hint: "Required if the signed content has {timestamp}." }],
    ["tolerance", "Tolerance", { placeholder: "5m", optional: true, hidden: (v) => !v.timestamp }],
  ],
  standard: [],
  stripe: [],
  slack: [],
  address: [["networks", "Networks", { placeholder: "192.0.2.0/24, 2001:db8::/32", hint: "Behind a proxy that http.trusted_proxies does not name, this is the address of the proxy." }]],
};

export function VerifiersField({ form }) {
  form.known.current.add("verify");
  const rows = form.values.verify;
  const set = (list) => form.set("verify", list);
  const change = (key, changes) => set(rows.map((r) => (r.key === key ? { ...r, ...changes } : r)));
  return html`<fieldset class="field"><legend>Verifiers</legend>
    <div class="field-hint">Who may send. All verifiers must hold.</div>
    ${!rows.length && html`<${Note} tone="warn">Nothing but the URL protects this source: anybody who knows it can send events.<//>`}
    ${rows.map((v, i) => html`<${Verifier} key=${v.key} v=${v} i=${i} form=${form} onChange=${(changes) => change(v.key, changes)} onRemove=${() => set(rows.filter((r) => r.key !== v.key))} />`)}
    <div><button type="button" class="button small" disabled=${rows.length >= MOST} onClick=${() => set([...rows, blankVerifier("token")])}><${Icon} name="plus" size=${14} />Add verifier</button></div></fieldset>`;
}

function Verifier({ v, i, form, onChange, onRemove }) {
  const errorOf = (name) => form.errorOf(`verify/${i}/${name}`);
  const another = (kind) => onChange({ kind, kept: 0, second: "", secret: "" });
  return html`<section class="verifier" aria-label="Verifier ${i + 1}">
    <div class="verifier-head"><${FieldFrame} label="Verifier ${i + 1}" hint=${VERIFIERS[v.kind]?.[1]} error=${errorOf("kind")}>${(attributes) => html`<select ...${attributes} value=${v.kind} onChange=${(e) => another(e.target.value)}>${KINDS.map(([kind, word]) => html`<option value=${kind} selected=${kind === v.kind}>${word}</option>`)}</select>`}<//>
      <button type="button" class="button quiet icon-only" aria-label="Remove verifier ${i + 1}" onClick=${onRemove}><${Icon} name="cross" size=${14} /></button></div>
    <div class="two">${FIELDS[v.kind]
      .filter(([, , how]) => !how.hidden?.(v))
      .map(([name, label, how]) => html`<${One} key=${name} name=${name} label=${label} how=${how} v=${v} error=${errorOf(how.api ?? name)} onChange=${onChange} />`)}</div>
    ${v.kind !== "address" && html`<${Secrets} v=${v} errorOf=${errorOf} onChange=${onChange} />`}</section>`;
}

function One({ name, label, how, v, error, onChange }) {
  const input = (e) => onChange({ [name]: e.target.value });
  return html`<${FieldFrame} label=${label} hint=${how.hint} error=${error} optional=${how.optional}>${(attributes) =>
    how.options
      ? html`<select ...${attributes} value=${v[name]} onChange=${input}>${how.options.map((o) => {
          const [value, word] = Array.isArray(o) ? o : [o, o];
          return html`<option value=${value} selected=${value === v[name]}>${word}</option>`;
        })}</select>`
      : html`<input ...${attributes} value=${v[name]} placeholder=${how.placeholder} maxlength="2048" spellcheck="false" autocapitalize="none" autocomplete="off" onInput=${input} />`}<//>`;
}

/** The second secret is for the time of a rotation. */
function Secrets({ v, errorOf, onChange }) {
  const two = v.second !== "" || v.kept > 1 || v.rotates;
  const generate = !["standard", "stripe", "slack"].includes(v.kind);
  return html`<${SecretField} label="Secret" error=${errorOf("secret")} value=${v.secret} kept=${v.kept > 0} generate=${generate} placeholder=${v.kind === "standard" || v.kind === "stripe" ? "whsec_…" : ""} onInput=${(secret) => onChange({ secret })} />
    ${
      two
        ? html`<${SecretField} label="Second secret" optional value=${v.second} kept=${v.kept > 1} generate=${generate} hint="Both are valid while you rotate the secret." onInput=${(second) => onChange({ second })} />`
        : html`<div><button type="button" class="button quiet small" onClick=${() => onChange({ rotates: true })}>Add a second secret, to rotate</button></div>`
    }
    ${v.kept > 1 && html`<div><button type="button" class="button quiet small" onClick=${() => onChange({ kept: 1, second: "" })}>Remove the second secret</button></div>`}`;
}
