// The filter of a webhook: rows (path, operator, value), or the line that they make.
import { html, useId, useState } from "../../ui.js";
import { FieldFrame } from "../../components/form.js";
import { Icon } from "../../components/icon.js";
import { OPERATORS, isPath, lineOf, rowsOf, takes } from "./filter-line.js";

/** More conditions are easier to read as a line. */
const MOST = 20;
let next = 1;
const blank = () => ({ key: next++, path: "", op: "eq", value: "" });
const keyed = (read) => ({ joined: read.joined, rows: read.rows.map((row) => ({ ...row, key: next++ })) });

/** The initial value of the form: rows where the line is simple. */
export function filterOf(line) {
  const read = rowsOf(line ?? "");
  return { line: line ?? "", built: read ? keyed(read) : null };
}

/** The line, or null. */
export const filterLine = ({ line, built }) => (built ? lineOf(built) : line).trim() || null;

/** What is wrong with the rows; the API checks the line. */
export function filterProblem({ built }) {
  const wrong = built?.rows.find((row) => row.path.trim() ? !isPath(row.path) : row.value.trim());
  if (!wrong) return null;
  return wrong.path.trim() ? `${wrong.path.trim()} is not a path. Write one such as payload.action or payload.alerts[0].labels.severity.` : "Each condition needs a path, such as payload.action.";
}

/** `paths` are offered; `children` is what the line does to recent events. */
export function FilterField({ form, paths, children }) {
  form.known.current.add("filter");
  const id = useId();
  const filter = form.values.filter;
  const { built } = filter;
  const error = form.errorOf("filter");
  const [stuck, setStuck] = useState(false);
  const set = (change) => form.set("filter", { ...filter, ...change });
  const toLine = () => set({ line: lineOf(built), built: null });
  const toRows = () => {
    const read = rowsOf(filter.line);
    setStuck(!read);
    if (read) set({ built: keyed(read) });
  };
  return html`<fieldset class="field"><legend>Filter <span class="muted">(optional)</span></legend>
    <div class="segmented" role="group" aria-label="Filter as"><button type="button" aria-pressed=${Boolean(built)} onClick=${() => built || toRows()}>Conditions</button><button type="button" aria-pressed=${!built} onClick=${() => built && toLine()}>Line</button></div>
    ${
      built
        ? html`<${Rows} built=${built} paths=${paths} error=${error} id=${id} onChange=${(changed) => set({ built: changed })} />`
        : html`<${FieldFrame} label="Expression" error=${error} hint=${stuck ? "This line is not simple enough for conditions." : "For example payload.action == 'published' and not payload.release.prerelease"}>${(attributes) => html`<textarea ...${attributes} class="low mono" rows="3" maxlength="2048" spellcheck="false" autocapitalize="none" value=${filter.line} onInput=${(e) => {
            setStuck(false);
            set({ line: e.target.value });
          }}></textarea>`}<//>`
    }
    ${children}
    <div class="field-hint">An event is delivered if its type matches and the filter is true. A field that is missing equals nothing.</div></fieldset>`;
}

function Rows({ built, paths, error, id, onChange }) {
  const { joined, rows } = built;
  const set = (key, change) => onChange({ ...built, rows: rows.map((r) => (r.key === key ? { ...r, ...change } : r)) });
  return html`${
    rows.length > 1 &&
    html`<label class="joined">Deliver if <select value=${joined} onChange=${(e) => onChange({ ...built, joined: e.target.value })}><option value="and" selected=${joined === "and"}>all</option><option value="or" selected=${joined === "or"}>any</option></select> of these are true:</label>`
  }
    <datalist id="${id}-paths">${(paths ?? []).map((path) => html`<option value=${path}></option>`)}</datalist>
    ${rows.map(
      (row, i) => html`<div class="filter-row" key=${row.key}>
      <input class="mono" value=${row.path} list="${id}-paths" placeholder="payload.action" aria-label="Path of condition ${i + 1}" aria-invalid=${error ? "true" : undefined} aria-describedby=${error ? `${id}-e` : undefined} maxlength="500" spellcheck="false" autocapitalize="none" autocomplete="off" onInput=${(e) => set(row.key, { path: e.target.value })} />
      <select aria-label="Operator of condition ${i + 1}" value=${row.op} onChange=${(e) => set(row.key, { op: e.target.value })}>${OPERATORS.map(([op, words]) => html`<option value=${op} selected=${op === row.op}>${words}</option>`)}</select>
      ${takes(row.op) === 0 ? html`<span></span>` : html`<input value=${row.value} placeholder=${PLACEHOLDERS[takes(row.op)]} aria-label="Value of condition ${i + 1}" maxlength="1000" spellcheck="false" autocapitalize="none" autocomplete="off" onInput=${(e) => set(row.key, { value: e.target.value })} />`}
      <button type="button" class="button quiet icon-only" aria-label="Remove condition ${i + 1}" onClick=${() => onChange({ ...built, rows: rows.filter((r) => r.key !== row.key) })}><${Icon} name="cross" size=${14} /></button></div>`,
    )}
    ${error && html`<div class="field-error" id="${id}-e">${error}</div>`}
    <div><button type="button" class="button small" disabled=${rows.length >= MOST} onClick=${() => onChange({ ...built, rows: [...rows, blank()] })}><${Icon} name="plus" size=${14} />Add condition</button></div>
    ${lineOf(built) && html`<p><code class="anywhere">${lineOf(built)}</code></p>`}
    ${rows.length > 0 && html`<p class="field-hint">Numbers, true, false and none mean these values; write "5" in quotes for the text 5.</p>`}`;
}

const PLACEHOLDERS = { 1: "published", list: "critical, page", regex: "^refs/tags/v[0-9]+" };
