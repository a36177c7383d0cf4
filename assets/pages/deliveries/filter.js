// The filter of the delivery log: reads it from the address and turns it into parameters of the API.
import { FILTERS, plain } from "../../ahead.js";
import { go, route } from "../../router.js";

export const RANGES = [
  ["1h", "Last hour"],
  ["24h", "Last 24 hours"],
  ["7d", "Last 7 days"],
  ["30d", "Last 30 days"],
];
const MS = { "1h": 3_600_000, "24h": 86_400_000, "7d": 604_800_000, "30d": 2_592_000_000 };

/**
 * Where "the last 24 hours" begin. It stays the same from page to page, because a cursor belongs to the exact filter
 * that it came from; loading the first page again moves it on.
 */
const begins = new Map();
export const moveOn = () => begins.clear();

/** The filter as the API takes it: `{status: […], q, …}`, without the order. */
export function filterOf(query) {
  const filter = plain(query);
  const last = query.get("last");
  if (MS[last]) {
    if (!begins.has(last)) begins.set(last, new Date(Date.now() - MS[last]).toISOString());
    filter.since = begins.get(last);
  }
  return filter;
}

export const isFiltered = (query) => [...FILTERS, "last"].some((name) => query.get(name));

/** Another filter begins at its first page. */
export function choose(changes, options) {
  moveOn();
  const query = new URLSearchParams(route.value.query);
  for (const name of ["page", "cursor", "open"]) query.delete(name);
  for (const [name, value] of Object.entries(changes)) {
    query.delete(name);
    for (const one of [value].flat()) if (one) query.append(name, one);
  }
  go(route.value.path, query, options);
}
/** The search: the parameter that holds it, and what is searched. */
export const SEARCHES = [
  ["q", "Names and IDs", "Search webhook, URL, event or ID"],
  ["error", "Error message", "Search error messages"],
  ["contains", "Payload and response", "Search payloads and responses"],
];

/** Clears all filters; with `order`, the sorting, too. */
export const clear = ({ order } = {}) =>
  choose(Object.fromEntries([...FILTERS, "last", ...(order ? ["sort"] : [])].map((name) => [name, null])));

/** The filter of a bulk retry in words; `webhook` is the name of the chosen one. */
export function inWords(query, webhook) {
  const words = [];
  const add = (name, say) => {
    const v = query.getAll(name).filter(Boolean);
    if (v.length) words.push(say(v));
  };
  add("q", ([v]) => `matching “${v}”`);
  add("error", ([v]) => `whose error has “${v}”`);
  add("event_id", () => "of one event");
  add("resource_id", ([v]) => `about ${v}`);
  add("delivery_id", () => "of one delivery");
  add("event_type", ([v]) => `of ${v}`);
  add("endpoint_id", () => `to ${webhook || "one webhook"}`);
  add("response_status", ([v]) => `with response ${v}`);
  add("error_kind", ([v]) => `that failed with ${v}`);
  add("last", ([v]) => `from the ${RANGES.find(([r]) => r === v)?.[1].toLowerCase() ?? v}`);
  if (query.get("since") || query.get("until")) words.push("from the selected time");
  return words.join(", ");
}
