// Forms: labels, hints, and the server's errors beside the field that they name.
import { html, useId, useRef, useState } from "../ui.js";
import { announce } from "./toast.js";
import { Note } from "./states.js";

/**
 * `const form = useForm({initial, submit: async (values) => …})`, then `<${Form} form=${form}>` around fields with
 * `form` and `name`. An ApiError is put beside the fields it names (by `source.pointer`); the rest stands above the buttons.
 */
export function useForm({ initial, submit }) {
  const [values, setValues] = useState(initial);
  const [state, setState] = useState({ busy: false, error: null, fields: {} });
  const root = useRef(null);
  const known = useRef(new Set());
  const set = (name, value) => {
    setValues((v) => ({ ...v, [name]: value }));
    if (state.fields[name]) setState((s) => ({ ...s, fields: { ...s.fields, [name]: undefined } }));
  };
  const run = async (event) => {
    event?.preventDefault();
    if (state.busy) return;
    setState({ busy: true, error: null, fields: {} });
    try {
      await submit(values);
      setState({ busy: false, error: null, fields: {} });
    } catch (error) {
      setState({ busy: false, error, fields: error.fields ?? {} });
      announce(error.message);
      requestAnimationFrame(() => root.current?.querySelector('[aria-invalid="true"]')?.focus());
    }
  };
  // `headers/X-A` belongs to the field `headers`, `events/3` to `events`.
  const errorOf = (name) => {
    const own = Object.entries(state.fields).filter(
      ([place, text]) => text && (place === name || place.startsWith(`${name}/`)),
    );
    return own.length
      ? own
          .map(([place, text]) =>
            place === name
              ? beside(name, text)
              : `${place.slice(name.length + 1)}: ${beside(place.split("/").at(-1), text)}`,
          )
          .join(" ")
      : null;
  };
  const general =
    state.error &&
    (state.error.general
      ? state.error.general(Object.keys(state.fields).filter((p) => known.current.has(p.split("/")[0])))
      : state.error.message);
  return { values, set, setValues, run, busy: state.busy, error: state.error, general, errorOf, root, known };
}

/** "url must be…" reads "Must be…" where it stands below the field that is called so. */
function beside(name, text) {
  const rest = text.startsWith(`${name} `) ? text.slice(name.length + 1) : text;
  return rest[0].toUpperCase() + rest.slice(1);
}

export function Form({ form, children, footer, className }) {
  return html`<form ref=${form.root} class="form ${className ?? ""}" novalidate onSubmit=${form.run}>
    ${children} ${form.general && html`<${Note} tone="bad">${form.general}<//>`}
    ${footer && html`<div class="form-footer">${footer}</div>`}
  </form>`;
}

/** The frame of a field: label, hint, error. `children` is a function of the attributes that the control needs. */
export function FieldFrame({ label, hint, error, optional, children }) {
  const id = useId();
  const describedby = cxIds(hint && `${id}-h`, error && `${id}-e`);
  return html`<div class="field">
    <label for=${id}>${label} ${optional && html`<span class="muted">(optional)</span>`}</label>
    ${children({ id, "aria-invalid": error ? "true" : undefined, "aria-describedby": describedby })}
    ${error && html`<div class="field-error" id="${id}-e">${error}</div>`}
    ${hint && html`<div class="field-hint" id="${id}-h">${hint}</div>`}
  </div>`;
}
const cxIds = (...ids) => ids.filter(Boolean).join(" ") || undefined;

/**
 * A field of a form. `as`: `input` (default), `textarea`, `select` (with `options`: strings or `[value, word]`) or
 * `checkbox`. Everything else goes to the control.
 */
export function Field({ form, name, label, hint, optional, as = "input", options, ...rest }) {
  form.known.current.add(name);
  const error = form.errorOf(name);
  const value = form.values[name];
  if (as === "checkbox") {
    return html`<${CheckField}
      label=${label}
      hint=${hint}
      error=${error}
      checked=${value}
      onChange=${(v) => form.set(name, v)}
    />`;
  }
  return html`<${FieldFrame} ...${{ label, hint, error, optional }}
    >${(attributes) => {
      const all = { ...attributes, name, value: value ?? "", onInput: (e) => form.set(name, e.target.value), ...rest };
      if (as === "textarea") return html`<textarea ...${all}></textarea>`;
      if (as === "select")
        return html`<select ...${all} onChange=${all.onInput}>
          ${options.map((o) => {
            const [v, w] = Array.isArray(o) ? o : [o, o];
            return html`<option value=${v} selected=${v === value}>${w}</option>`;
          })}
        </select>`;
      return html`<input ...${all} />`;
    }}<//
  >`;
}

function CheckField({ label, hint, error, checked, onChange }) {
  const id = useId();
  return html`<div class="field check">
    <input
      type="checkbox"
      id=${id}
      checked=${checked}
      aria-describedby=${cxIds(hint && `${id}-h`, error && `${id}-e`)}
      onChange=${(e) => onChange(e.target.checked)}
    />
    <div>
      <label for=${id}>${label}</label
      >${error && html`<div class="field-error" id="${id}-e">${error}</div>`}${hint && html`<div class="field-hint" id="${id}-h">${hint}</div>`}
    </div>
  </div>`;
}

/** The button that sends the form. */
export function Submit({ form, children, danger }) {
  return html`<button
    type="submit"
    class="button ${danger ? "danger" : "primary"}"
    disabled=${form.busy}
    aria-busy=${form.busy}
  >
    ${children}
  </button>`;
}
