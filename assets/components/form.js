// Forms: labels, hints, and each error next to its field.
import { html, useId, useRef, useState } from "../ui.js";
import { ApiError } from "../api.js";
import { announce } from "./toast.js";
import { Note } from "./states.js";

/**
 * `const form = useForm({initial, submit: async (values) => …})`, then `<${Form} form=${form}>` around fields with
 * `form` and `name`. An ApiError is shown next to the fields it names (by `source.pointer`), the rest above the buttons.
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
      ? state.error.general(Object.keys(state.fields).filter((p) => isKnown(known.current, p)))
      : state.error.message);
  return { values, set, setValues, run, busy: state.busy, error: state.error, general, errorOf, root, known };
}

/** Whether a field is on the form: `request/body/text` belongs to `request/body`. */
const isKnown = (names, place) => [...names].some((name) => place === name || place.startsWith(`${name}/`));

/**
 * For `submit`: throws the sentences of an object from field to sentence, null where all is well. For what the API says
 * in words of its own.
 */
export function check(problems) {
  const found = Object.entries(problems).filter(([, detail]) => detail);
  if (found.length) throw new ApiError(422, found.map(([name, detail]) => ({ detail, source: { pointer: `/${name}` } })));
}

export const isName = (text) => text.length > 0 && [...text].length <= 100 && !/[\u0000-\u001f\u007f]/.test(text);
export const NAME_PROBLEM = "Enter a name of up to 100 characters.";
/** What the server counts as too short a password; the limit at the other end is out of reach for people. */
export const passwordProblem = (text) => ([...text].length < 10 ? "Use at least 10 characters." : null);

/** "url must be…" reads "Must be…" below the field of that name. */
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

/** The frame of a field: label, hint, error. `children` is a function from the attributes of the control. */
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

/** The submit button. */
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
