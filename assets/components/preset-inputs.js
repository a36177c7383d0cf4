// The few values that a recipe of the gallery asks for, as fields of a form.
import { html } from "../ui.js";
import { Field } from "./form.js";
import { SecretField } from "./secret-field.js";

const field = (name) => `preset/inputs/${name}`;

/** The initial values of the fields. An address with an example that most people use begins with it. */
export const blankInputs = (preset) => ({
  group: 0,
  ...Object.fromEntries((preset?.inputs ?? []).map((input) => [field(input.name), input.example === "https://ntfy.sh" ? input.example : ""])),
});

/** Inputs of the groups that are not chosen are not asked for. */
function asked(preset, values) {
  const groups = preset.one_of ?? [];
  const others = groups.flatMap((group, i) => (i === values.group ? [] : group));
  const own = groups[values.group] ?? [];
  return preset.inputs.filter((input) => own.includes(input.name) || !others.includes(input.name));
}

/** What was entered, for the API. */
export const inputsOf = (preset, values) =>
  Object.fromEntries(asked(preset, values).map((input) => [input.name, (values[field(input.name)] ?? "").trim()]).filter(([, value]) => value));

/** Whether nothing that is required is missing, and each URL is one. */
export const isComplete = (preset, values) =>
  asked(preset, values).every((input) => {
    const value = (values[field(input.name)] ?? "").trim();
    return value ? !/^https?:/.test(input.example) || /^https?:\/\/[^/]/.test(value) : !isRequired(preset, input);
  });

const isRequired = (preset, input) => input.required || (preset.one_of ?? []).some((group) => group.includes(input.name));

/** `generate`: offers random secrets where the recipe says that any will do. */
export function PresetInputs({ form, preset, generate }) {
  const { values } = form;
  const groups = preset.one_of ?? [];
  const words = (group) => group.map((name) => preset.inputs.find((input) => input.name === name)?.label ?? name).join(" and ");
  return html`${
    groups.length > 1 &&
    html`<fieldset class="field"><legend>Protected by</legend>
      <div class="segmented wrapping" role="group" aria-label="Protected by">${groups.map((group, i) => html`<button type="button" key=${i} aria-pressed=${values.group === i} onClick=${() => form.set("group", i)}>${words(group)}</button>`)}</div></fieldset>`
  }${asked(preset, values).map((input) => html`<${Input} key=${input.name} form=${form} input=${input} optional=${!isRequired(preset, input)} generate=${generate} />`)}`;
}

function Input({ form, input, optional, generate }) {
  const name = field(input.name);
  form.known.current.add(name);
  if (!input.secret)
    return html`<${Field} form=${form} name=${name} label=${input.label} hint=${input.help} optional=${optional} placeholder=${input.example} maxlength="4096" spellcheck="false" autocapitalize="none" autocomplete="off" />`;
  return html`<${SecretField} label=${input.label} hint=${input.help} optional=${optional} error=${form.errorOf(name)} value=${form.values[name]} placeholder=${input.example} generate=${generate && /random/.test(input.help)} onInput=${(v) => form.set(name, v)} />`;
}
