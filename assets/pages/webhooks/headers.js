// Headers of a webhook: name, value, and whether the value is a secret that cannot be read back.
import { html, useId } from "../../ui.js";
import { ApiError } from "../../api.js";
import { Icon } from "../../components/icon.js";

const MASK = "********";
let next = 1;
const empty = () => ({ key: next++, name: "", value: "", secret: false, kept: false });

/** From the API’s object to rows. A secret value is kept unless another one is entered. */
export const rowsOf = (headers) =>
  Object.entries(headers ?? {}).map(([name, v]) =>
    typeof v === "string" ? { ...empty(), name, value: v } : { ...empty(), name, secret: true, kept: true },
  );

/** And back. Rows without name and value are left out. */
export function headersOf(rows) {
  const headers = {};
  const refuse = (detail) => {
    throw new ApiError(422, [{ detail, source: { pointer: "/headers" } }]);
  };
  for (const row of rows) {
    const name = row.name.trim();
    if (!name && !row.value) continue;
    if (!name) refuse("Each header needs a name.");
    if (Object.keys(headers).some((other) => other.toLowerCase() === name.toLowerCase()))
      refuse(`The header ${name} is listed twice.`);
    if (row.kept && !row.secret && !row.value)
      refuse(`Enter the value of ${name} again: secret values cannot be read back.`);
    headers[name] = row.secret ? { value: row.kept && !row.value ? MASK : row.value, secret: true } : row.value;
  }
  return headers;
}

export function HeadersField({ form }) {
  form.known.current.add("headers");
  const id = useId();
  const rows = form.values.headers;
  const error = form.errorOf("headers");
  const set = (key, change) =>
    form.set(
      "headers",
      rows.map((r) => (r.key === key ? { ...r, ...change } : r)),
    );
  return html`<fieldset class="field"><legend>Headers <span class="muted">(optional)</span></legend>
    ${rows.map(
      (row, i) => html`<div class="header-row" key=${row.key}>
      <input value=${row.name} placeholder="Name" aria-label="Name of header ${i + 1}" aria-invalid=${error ? "true" : undefined} aria-describedby=${error ? `${id}-e` : undefined} maxlength="128" spellcheck="false" autocapitalize="none" autocomplete="off" onInput=${(e) => set(row.key, { name: e.target.value })} />
      <input class="mono" value=${row.value} type=${row.secret ? "password" : "text"} placeholder=${row.kept && row.secret ? "Unchanged" : "Value"} aria-label="Value of header ${i + 1}" spellcheck="false" autocomplete=${row.secret ? "new-password" : "off"} onInput=${(e) => set(row.key, { value: e.target.value })} />
      <label class="header-secret"><input type="checkbox" checked=${row.secret} onChange=${(e) => set(row.key, { secret: e.target.checked })} />Secret</label>
      <button type="button" class="button quiet icon-only" aria-label="Remove header ${row.name || i + 1}" onClick=${() =>
        form.set(
          "headers",
          rows.filter((r) => r.key !== row.key),
        )}><${Icon} name="cross" size=${14} /></button></div>`,
    )}
    ${error && html`<div class="field-error" id="${id}-e">${error}</div>`}
    <div><button type="button" class="button small" disabled=${rows.length >= 20} onClick=${() => form.set("headers", [...rows, empty()])}><${Icon} name="plus" size=${14} />Add header</button></div>
    <div class="field-hint">Sent with every request. Secret values are stored encrypted and never shown again.</div></fieldset>`;
}
