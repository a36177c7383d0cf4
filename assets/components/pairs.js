// Names with values in rows: query parameters and headers with templates, secrets.
import { html, useId } from "../ui.js";
import { Icon } from "./icon.js";

let next = 1;
const empty = () => ({ key: next++, name: "", value: "", kept: false });

/** From an object to rows. The value of a secret is kept unless another one is entered. */
export const pairsOf = (object, { secret = false } = {}) =>
  Object.entries(object ?? {}).map(([name, value]) => ({ ...empty(), name, value: secret ? "" : String(value), kept: secret }));

/** And back; null without rows. `kept` stands for a value that is not entered again. */
export function objectOf(rows, kept = "") {
  const used = rows.filter((row) => row.name.trim() || row.value);
  return used.length ? Object.fromEntries(used.map((row) => [row.name.trim(), row.kept && !row.value ? kept : row.value])) : null;
}

/** What is wrong with the names; null if nothing. */
export function pairsProblem(rows, what) {
  const names = rows.filter((row) => row.name.trim() || row.value).map((row) => row.name.trim());
  if (names.includes("")) return `Each ${what} needs a name.`;
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  return twice ? `The ${what} ${twice} is listed twice.` : null;
}

/** A field whose value is a list of rows. `what` is the word for one of them. */
export function PairsField({ form, name, label, what, hint, most = 20, secret, valueHint = "Value", optional = true }) {
  form.known.current.add(name);
  const id = useId();
  const rows = form.values[name];
  const error = form.errorOf(name);
  const set = (key, change) => form.set(name, rows.map((r) => (r.key === key ? { ...r, ...change } : r)));
  const invalid = { "aria-invalid": error ? "true" : undefined, "aria-describedby": error ? `${id}-e` : undefined };
  return html`<fieldset class="field"><legend>${label} ${optional && html`<span class="muted">(optional)</span>`}</legend>
    ${rows.map(
      (row, i) => html`<div class="pair-row" key=${row.key}>
      <input ...${invalid} value=${row.name} placeholder="Name" aria-label="Name of ${what} ${i + 1}" maxlength="128" spellcheck="false" autocapitalize="none" autocomplete="off" onInput=${(e) => set(row.key, { name: e.target.value })} />
      <input ...${invalid} class="mono" value=${row.value} type=${secret ? "password" : "text"} placeholder=${row.kept ? "Unchanged" : valueHint} aria-label="Value of ${what} ${i + 1}" spellcheck="false" autocomplete=${secret ? "new-password" : "off"} onInput=${(e) => set(row.key, { value: e.target.value })} />
      <button type="button" class="button quiet icon-only" aria-label="Remove ${what} ${row.name || i + 1}" onClick=${() => form.set(name, rows.filter((r) => r.key !== row.key))}><${Icon} name="cross" size=${14} /></button></div>`,
    )}
    ${error && html`<div class="field-error" id="${id}-e">${error}</div>`}
    <div><button type="button" class="button small" disabled=${rows.length >= most} onClick=${() => form.set(name, [...rows, empty()])}><${Icon} name="plus" size=${14} />Add ${what}</button></div>
    ${hint && html`<div class="field-hint">${hint}</div>`}</fieldset>`;
}
