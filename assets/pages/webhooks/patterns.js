// The events that a webhook subscribes to: chosen from the types posted so far, or typed.
import { cx, html, useId, useState } from "../../ui.js";
import { number, plural } from "../../format.js";
import { Icon } from "../../components/icon.js";

/** The most patterns of a webhook. */
const MOST = 100;

/** Whether a pattern of the API covers a type; plain `*` leaves out system events. */
export function covers(pattern, type) {
  if (pattern === "*") return !type.startsWith("webhook_endpoint.");
  return pattern === type || (pattern.endsWith(".*") && type.startsWith(pattern.slice(0, -1)));
}

export function PatternField({ form, types }) {
  form.known.current.add("events");
  const id = useId();
  const [text, setText] = useState("");
  const chosen = form.values.events;
  const error = form.errorOf("events");
  const set = (events) => form.set("events", events);
  const add = (more) => {
    const all = new Set([...chosen, ...more.split(/[\s,]+/).filter(Boolean)]);
    if (all.size > chosen.length) set([...all].slice(0, MOST));
    setText("");
  };
  const toggle = (pattern) =>
    set(chosen.includes(pattern) ? chosen.filter((p) => p !== pattern) : [...chosen, pattern]);
  const keys = (e) => {
    if ((e.key === "Enter" || e.key === ",") && text.trim()) {
      e.preventDefault();
      add(text);
    } else if (e.key === "Enter") e.preventDefault();
    else if (e.key === "Backspace" && !text && chosen.length) set(chosen.slice(0, -1));
  };
  const known = (types ?? []).map((t) => t.attributes);
  const groups = Map.groupBy
    ? Map.groupBy(known, (t) => t.category)
    : new Map(known.map((t) => [t.category, known.filter((o) => o.category === t.category)]));
  const matched = known.filter((t) => chosen.some((p) => covers(p, t.event_type))).length;
  const choice = (pattern, word, count, title) => {
    const on = chosen.includes(pattern);
    const covered =
      !on &&
      chosen.some(
        (p) => covers(p, pattern) || (p === "*" && pattern.endsWith(".*") && pattern !== "webhook_endpoint.*"),
      );
    return html`<button type="button" key=${pattern} class=${cx("chip", on && "on", covered && "covered")} aria-pressed=${on} title=${title ?? (covered ? "Covered by another pattern" : undefined)} onClick=${() => toggle(pattern)}>
      <${Icon} name=${on || covered ? "check" : "plus"} size=${12} /><span class="anywhere">${word}</span>${count !== undefined && html`<small class="num">${number(count)}</small>`}</button>`;
  };
  return html`<div class="field">
    <label for=${id}>Events</label>
    <div class=${cx("chips-input", error && "invalid")}>
      ${chosen.map((p) => html`<span class="chip on" key=${p}><span class="anywhere mono">${p}</span><button type="button" aria-label="Remove ${p}" onClick=${() => toggle(p)}><${Icon} name="cross" size=${12} /></button></span>`)}
      <input id=${id} value=${text} list="${id}-l" spellcheck="false" autocapitalize="none" autocomplete="off" placeholder=${chosen.length ? "Add another" : "license.assigned, license.* or *"} aria-invalid=${error ? "true" : undefined} aria-describedby="${id}-h ${error ? `${id}-e` : ""}"
        onInput=${(e) => setText(e.target.value)} onKeyDown=${keys} onBlur=${() => text.trim() && add(text)} />
      <datalist id="${id}-l">${known.map((t) => html`<option value=${t.event_type}></option>`)}</datalist></div>
    ${error && html`<div class="field-error" id="${id}-e">${error}</div>`}
    <div class="field-hint" id="${id}-h">A type, a type followed by <code>.*</code> for everything below it, or <code>*</code> for all. Press Enter to add.${known.length > 0 && chosen.length > 0 ? ` These match ${number(matched)} of ${plural(known.length, "known type")}.` : ""}</div>
    <div class="known-types" role="group" aria-label="Known event types">
      <div class="chips">${choice("*", "All events")}${choice("webhook_endpoint.*", "Webhook disabled (system event)", undefined, "System events: webhook_endpoint.*")}</div>
      ${[...groups].sort(([a], [b]) => a.localeCompare(b)).map(([category, list]) => html`<div class="chips" key=${category}>${choice(`${category}.*`, `${category}.*`)}${list.filter((t) => t.event_type !== `${category}.*`).map((t) => choice(t.event_type, t.event_type, t.count, `${plural(t.count, "event")} so far`))}</div>`)}
    </div></div>`;
}
