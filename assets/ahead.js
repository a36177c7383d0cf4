// Requests the data of the first page while the other modules are still loading. It imports nothing, because it would
// have to wait for what it imports. `api.js` takes the responses, once each.

/** The root of the service: the page's <base> is `<root>admin/`. */
export const ROOT = new URL("../", document.baseURI);

/** The key in localStorage that says that this browser had a session on its last visit. */
export const HERE = "postrider.here";

/** Filter parameters of the delivery log’s address, with the API’s names. */
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
  "event_id",
  "resource_id",
  "delivery_id",
  "error",
  "contains",
];
/** Filters that are read through row by row: only newest first, and without a total. */
export const isSlow = (filter) => Boolean(filter.error || filter.contains);
/** A row of the log is a delivery, unless the address asks for attempts. */
export const viewOf = (query) => (query.get("view") === "attempts" ? "attempts" : "deliveries");
/** The order of the log: the address’s, or the newest activity first. */
export const orderOf = (query, filter) =>
  isSlow(filter) ? null : (query.get("sort") ?? (viewOf(query) === "deliveries" ? "-last_activity_at" : null));
/** Parameters for paging and sorting. */
export const PLACE = ["page", "cursor", "per_page", "sort", "view"];
/** Rows per page unless the address says otherwise: more than a screen, and still fast to load and render. */
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

/** Path and parameters of the list of deliveries, from the parameters of its page. */
export const listOf = (query, filter = plain(query)) => [
  "v1/webhooks/deliveries",
  {
    ...filter,
    view: viewOf(query),
    sort: orderOf(query, filter),
    page: query.get("page"),
    cursor: query.get("cursor"),
    per_page: query.get("per_page") ?? ROWS,
  },
];

/** The filters of the address, with the API’s names. */
export function plain(query) {
  const filter = {};
  for (const name of FILTERS) {
    const values = query.getAll(name).filter(Boolean);
    if (values.length) filter[name] = name === "status" ? values : values[0];
  }
  return filter;
}

/** The first requests of pages. None depends on the current time: a moment later it would be another request. */
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

/** Requests by address: `{response}`, a promise of the data, and `data` once it has arrived. */
const sent = new Map();

function request([path, query]) {
  const url = address(path, query).href;
  const one = { data: undefined };
  one.response = fetch(url, { credentials: "same-origin", cache: "no-store", headers: { Accept: "application/json" } })
    .then(async (response) => (response.ok ? (one.data = await response.json()) : undefined))
    .catch(() => undefined);
  sent.set(url, one);
}

/** The data of a request that was sent ahead: a promise of it, or of undefined if it has to be sent again. */
export function taken(url) {
  const one = sent.get(url);
  sent.delete(url);
  return one?.response;
}

/** The same without waiting: undefined unless it has arrived. */
export function there([path, query]) {
  const url = address(path, query).href;
  const data = sent.get(url)?.data;
  if (data !== undefined) sent.delete(url);
  return data;
}

/** Waits for all responses, but not for long: the frame of the page should not wait for a slow list. */
export const settled = (ms) =>
  Promise.race([Promise.all([...sent.values()].map((one) => one.response)), new Promise((done) => setTimeout(done, ms))]);

function begin() {
  try {
    // Without an earlier visit there is most likely no session, and a 401 would be an error in the browser’s console.
    if (localStorage.getItem(HERE) !== "1") return;
  } catch {
    return;
  }
  request(["admin/api/session", {}]);
  const base = new URL(document.baseURI).pathname;
  const query = new URLSearchParams(location.search);
  // Another app is chosen by a header, and only after the session has told which apps there are.
  if (query.has("app") || !location.pathname.startsWith(base)) return;
  PAGES.get(location.pathname.slice(base.length).replace(/\/+$/, ""))?.(query).forEach(request);
  // Data that the first page did not use would be outdated for the next one.
  setTimeout(() => sent.clear(), 5000);
}

begin();
