// Asks for what the first page needs while the rest of the dashboard is still on its way. This module stands alone: it
// runs as soon as it is there, and what it imports would be waited for. `api.js` takes the answers, once each.

/** The root of the service: the page's <base> is `<root>admin/`. */
export const ROOT = new URL("../", document.baseURI);

/** Where this browser notes that it had a session when it was last here. */
export const HERE = "postrider.here";

/** Parameters of the log's address that choose rows, under the names that the API has for them. */
export const FILTERS = [
  "status",
  "event_type",
  "endpoint_id",
  "response_status",
  "error_kind",
  "trigger",
  "since",
  "until",
  "q",
];
/** Parameters that say which of the rows, in which order. */
export const PLACE = ["page", "cursor", "per_page", "sort"];
/** Rows of a page, unless the address says otherwise: more than a screen, and still quick to get and to draw. */
export const ROWS = 25;

/** The address of a path such as `v1/webhooks`; empty and null parameters are left out, lists are repeated. */
export function address(path, query = {}) {
  const url = new URL(path.replace(/^\//, ""), ROOT);
  for (const [name, value] of query instanceof URLSearchParams ? query : Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== "") url.searchParams.append(name, one);
    }
  }
  return url;
}

/** The path and parameters of the log's list, for the parameters of its page. */
export const listOf = (query, filter = plain(query)) => [
  "v1/webhooks/deliveries",
  { ...filter, ...Object.fromEntries(PLACE.map((n) => [n, query.get(n)])), per_page: query.get("per_page") ?? ROWS },
];

/** The filters that the address has in the API's words. */
export function plain(query) {
  const filter = {};
  for (const name of FILTERS) {
    const values = query.getAll(name).filter(Boolean);
    if (values.length) filter[name] = name === "status" ? values : values[0];
  }
  return filter;
}

/** What pages ask for first. What depends on the time of day is not here: it would be another question a moment later. */
const PAGES = new Map([
  [
    "",
    () => [
      ["admin/api/overview", {}],
      ["v1/webhooks/deliveries", { per_page: 1 }],
    ],
  ],
  ["webhook-deliveries", (query) => (query.has("last") ? [] : [listOf(query)])],
]);

/** Questions that were asked, by address: `{answer}`, a promise, and `data` or `error` once that is known. */
const asked = new Map();

function ask([path, query]) {
  const url = address(path, query).href;
  const question = { data: undefined };
  question.answer = fetch(url, { credentials: "same-origin", cache: "no-store", headers: { Accept: "application/json" } })
    .then(async (answer) => (answer.ok ? (question.data = await answer.json()) : undefined))
    .catch(() => undefined);
  asked.set(url, question);
}

/** The answer to a question that was asked ahead: a promise of it, or of undefined when it has to be asked again. */
export function taken(url) {
  const question = asked.get(url);
  asked.delete(url);
  return question?.answer;
}

/** The same without waiting: undefined unless the answer is there. */
export function there([path, query]) {
  const url = address(path, query).href;
  const data = asked.get(url)?.data;
  if (data !== undefined) asked.delete(url);
  return data;
}

/** Waits until everything was answered, but not for long: the frame of the page should not wait for a slow list. */
export const settled = (ms) =>
  Promise.race([Promise.all([...asked.values()].map((q) => q.answer)), new Promise((done) => setTimeout(done, ms))]);

function begin() {
  try {
    // Who was not here has no session most likely, and a refusal would be an error in the browser's console.
    if (localStorage.getItem(HERE) !== "1") return;
  } catch {
    return;
  }
  ask(["admin/api/session", {}]);
  const base = new URL(document.baseURI).pathname;
  const query = new URLSearchParams(location.search);
  // Another app is chosen by a header, and only once it is known which there are.
  if (query.has("app") || !location.pathname.startsWith(base)) return;
  PAGES.get(location.pathname.slice(base.length).replace(/\/+$/, ""))?.(query).forEach(ask);
  // What the first page did not take would be old news to another one.
  setTimeout(() => asked.clear(), 5000);
}

begin();
