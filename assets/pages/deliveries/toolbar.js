// Search and filters of the delivery log. Every choice goes to the address; only text being typed is kept here.
import { cx, html, useEffect, useRef, useState } from "../../ui.js";
import { ATTEMPT, ERRORS, TRIGGERS, local, utc } from "../../format.js";
import { route } from "../../router.js";
import { timeMode } from "../../state.js";
import { Icon } from "../../components/icon.js";
import { viewOf } from "../../ahead.js";
import { WebhookPicker } from "../../components/webhook-picker.js";
import { SavedViews } from "./views.js";
import { RANGES, SEARCHES, choose, clear, isFiltered } from "./filter.js";

/** Of attempts; a delivery is never `failed`, because its newest attempt is. */
const STATUSES = [
  ["delivered", "Delivered"], ["failed,exhausted", "All failures"], ["exhausted", "Failed"], ["failed", "Failed, will retry"], ["pending", "Pending"], ["cancelled", "Cancelled"],
];
const statusesIn = (view) => (view === "attempts" ? STATUSES : STATUSES.filter(([v]) => !v.startsWith("failed")));
/** Filters that come with a link, as words in front of their value. */
const GIVEN = [["event_id", "Event"], ["resource_id", "Resource"], ["delivery_id", "Delivery"]];
const CODES = [["2xx", "2xx success"], ["3xx", "3xx redirect"], ["4xx", "4xx client error"], ["5xx", "5xx server error"],
  ...[200, 201, 202, 204, 301, 302, 400, 401, 403, 404, 405, 408, 409, 410, 413, 415, 422, 429, 500, 502, 503, 504].map((c) => [String(c), String(c)])];

/** `webhook` is the name of the chosen webhook, where the rows tell it. */
export function Toolbar({ types, webhook, searchRef }) {
  const { query } = route.value;
  const [open, setOpen] = useState(false);
  const chosen = (name) => query.get(name) ?? "";
  const count = ["status", "event_type", "endpoint_id", "response_status", "error_kind", "trigger", "last", "since", "until", "event_id", "resource_id", "delivery_id"].filter((n) => query.get(n)).length;
  const statuses = query.getAll("status");
  const status = STATUSES.find(([v]) => v.split(",").sort().join() === [...statuses].sort().join())?.[0] ?? statuses.join(",");
  return html`<div class="toolbar" role="search" aria-label="Deliveries">
    <${SearchIn} inputRef=${searchRef} searches=${SEARCHES} />
    <button type="button" class="button toolbar-more" aria-expanded=${open} onClick=${() => setOpen(!open)}><${Icon} name="filter" />Filters${count ? ` (${count})` : ""}</button>
    <div class=${cx("toolbar-filters", open && "open")}>
      <${Choice} label="Status" any="Any status" value=${status} options=${withCurrent(statusesIn(viewOf(query)), status, statuses.map((s) => ATTEMPT[s]?.word ?? s).join(", "))} onChange=${(v) => choose({ status: v.split(",") })} />
      <${Range} query=${query} />
      <${SavedViews} />
      ${isFiltered(query) && html`<button type="button" class="button quiet" onClick=${() => clear()}><${Icon} name="cross" size=${14} />Clear</button>`}
      <span class="toolbar-break"></span>
      <${Choice} label="Event" any="Any event" value=${chosen("event_type")} groups=${eventGroups(types, chosen("event_type"))} onChange=${(v) => choose({ event_type: v })} />
      <${WebhookPicker} label="Webhook" any="Any webhook" value=${chosen("endpoint_id")} known=${webhook} onChange=${(v) => choose({ endpoint_id: v })} />
      <${Choice} label="Response" any="Any response" value=${chosen("response_status")} options=${withCurrent(CODES, chosen("response_status"))} onChange=${(v) => choose({ response_status: v })} />
      <${Choice} label="Error" any="Any error" value=${chosen("error_kind")} options=${withCurrent(Object.entries(ERRORS).map(([k, [w]]) => [k, w]), chosen("error_kind"))} onChange=${(v) => choose({ error_kind: v })} />
      <${Choice} label="Trigger" any="Any trigger" value=${chosen("trigger")} options=${withCurrent(Object.entries(TRIGGERS), chosen("trigger"))} onChange=${(v) => choose({ trigger: v })} />
      <${Given} query=${query} filters=${GIVEN} />
    </div>
  </div>`;
}

/** Filters that come with a link, each with its end. */
export function Given({ query, filters }) {
  return filters
    .filter(([name]) => query.get(name))
    .map(
      ([name, word]) =>
        html`<span class="chip on given" key=${name}><span class="cut">${word} ${query.get(name)}</span><button type="button" aria-label="Remove the filter ${word} ${query.get(name)}" onClick=${() => choose({ [name]: null })}><${Icon} name="cross" size=${12} /></button></span>`,
    );
}

/** A search, and what it searches: `searches` are parameters with words and a placeholder, the usual one first. */
export function SearchIn({ inputRef, searches }) {
  const { query } = route.value;
  const used = searches.find(([name]) => query.get(name))?.[0];
  const [wanted, setWanted] = useState(used ?? searches[0][0]);
  useEffect(() => { if (used) setWanted(used); }, [used]);
  const [name, , placeholder] = searches.find(([n]) => n === wanted);
  const others = Object.fromEntries(searches.map(([n]) => [n, null]));
  const turn = (to) => {
    const next = to || searches[0][0];
    setWanted(next);
    if (used) choose({ ...others, [next]: query.get(used) });
  };
  return html`<${Search} key=${name} name=${name} others=${others} inputRef=${inputRef} placeholder=${placeholder} label=${placeholder} />
    ${searches.length > 1 && html`<${Choice} className="search-in" label="Search in" any=${searches[0][1]} value=${wanted === searches[0][0] ? "" : wanted} options=${searches.slice(1)} onChange=${turn} />`}`;
}

/** The value in the address is an option even if the page does not know it. */
export const withCurrent = (options, value, words = value) => (!value || options.some(([v]) => v === value) ? options : [...options, [value, words]]);

/** `name` is the parameter that it sets; `others` are set with it. */
export function Search({ inputRef, placeholder, label, name = "q", others }) {
  const asked = route.value.query.get(name) ?? "";
  const [text, setText] = useState(asked);
  const timer = useRef(0);
  const typed = useRef(asked);
  useEffect(() => { if (asked !== typed.current) { typed.current = asked; setText(asked); } }, [asked]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const type = (value, wait) => {
    setText(value);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => { typed.current = value.trim(); choose({ ...others, [name]: value.trim() }, { replace: true }); }, wait);
  };
  return html`<div class="search"><${Icon} name="search" /><input ref=${inputRef} type="search" maxlength="200" placeholder=${placeholder} aria-label=${label} aria-keyshortcuts="/"
    value=${text} onInput=${(e) => type(e.target.value, 300)} onKeyDown=${(e) => { if (e.key === "Enter") type(text, 0); if (e.key === "Escape") { if (text) type("", 0); e.target.blur(); } }} />${!text && html`<kbd aria-hidden="true">/</kbd>`}</div>`;
}

export function Choice({ label, any, value, options, groups, onChange, className }) {
  const option = ([v, words]) => html`<option value=${v} selected=${v === value}>${words}</option>`;
  return html`<select class=${cx("choice", className, value && "chosen")} aria-label=${label} value=${value} onChange=${(e) => onChange(e.target.value)}>
    <option value="" selected=${!value}>${any}</option>${options?.map(option)}${groups?.map(([name, list]) => (name ? html`<optgroup label=${name}>${list.map(option)}</optgroup>` : list.map(option)))}</select>`;
}

/** Event types grouped by category; each group starts with the whole category. */
export function eventGroups(types, value) {
  const groups = new Map();
  for (const { attributes: { event_type: type, category } } of types ?? []) {
    if (!groups.has(category)) groups.set(category, [[`${category}.*`, `All ${category} events`]]);
    groups.get(category).push([type, type]);
  }
  const known = [...groups.values()].flat().some(([v]) => v === value);
  return [...(value && !known ? [[null, [[value, value]]]] : []), ...[...groups].sort(([a], [b]) => a.localeCompare(b))];
}

export function Range({ query }) {
  const own = Boolean(query.get("since") || query.get("until"));
  const [custom, setCustom] = useState(own);
  const value = own || custom ? "custom" : query.get("last") ?? "";
  const pick = (v) => {
    setCustom(v === "custom");
    if (v !== "custom") choose({ last: v, since: null, until: null });
    else choose({ last: null, since: new Date(Math.floor(Date.now() / 60_000 - 60) * 60_000).toISOString() });
  };
  return html`<${Choice} label="Time range" any="Any time" value=${value} options=${[...RANGES, ["custom", "Custom range"]]} onChange=${pick} />
    ${value === "custom" && html`<span class="range"><${Moment} label="From" name="since" query=${query} /><span class="muted">to</span><${Moment} label="To" name="until" query=${query} /><span class="muted small">${timeMode.value === "utc" ? "UTC" : "local time"}</span></span>`}`;
}

/** The browser’s field has no time zone: it shows and takes UTC or local time, as the switch says. */
export function Moment({ label, name, query }) {
  const at = query.get(name);
  const shown = at && !Number.isNaN(Date.parse(at)) ? (timeMode.value === "utc" ? utc(at) : local(at)).slice(0, 16).replace(" ", "T") : "";
  const set = (text) => choose({ last: null, [name]: text ? new Date(timeMode.value === "utc" ? `${text}Z` : text).toISOString() : null });
  return html`<input type="datetime-local" aria-label=${label} value=${shown} onChange=${(e) => set(e.target.value)} />`;
}
