// The address bar is the state of a page: paths below <base>, everything else in the query string.
import { signal } from "./ui.js";
import { appId, apps } from "./state.js";

const BASE = new URL(document.baseURI).pathname;

function read() {
  const path = location.pathname.startsWith(BASE) ? location.pathname.slice(BASE.length) : "";
  return { path: path.replace(/\/+$/, ""), query: new URLSearchParams(location.search) };
}

/** `{path, query}` of the page that is shown; the path has no slash at its ends. */
export const route = signal(read());
/** Counts up when a new page (not only another query) is shown. */
let shown = route.value.path;

/** The address of a page, for `href`. */
export function href(path, query) {
  const params = query instanceof URLSearchParams ? new URLSearchParams(query) : new URLSearchParams();
  if (query && !(query instanceof URLSearchParams)) {
    for (const [name, value] of Object.entries(query)) {
      for (const one of Array.isArray(value) ? value : [value])
        if (one !== undefined && one !== null && one !== "") params.append(name, one);
    }
  }
  if (appId.value && !params.has("app")) params.set("app", appId.value);
  const text = params.toString();
  return BASE + path.replace(/^\//, "") + (text ? `?${text}` : "");
}

/** Goes to a page. `replace` leaves no step behind for the back button. */
export function go(path, query, { replace = false } = {}) {
  const url = href(path, query);
  if (url === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", url);
  arrive();
}

/** Changes some parameters of the address; null or an empty list removes one. */
export function amend(changes, options) {
  const query = new URLSearchParams(route.value.query);
  for (const [name, value] of Object.entries(changes)) {
    query.delete(name);
    for (const one of Array.isArray(value) ? value : [value])
      if (one !== undefined && one !== null && one !== "") query.append(name, one);
  }
  go(route.value.path, query, options);
}

function arrive() {
  const next = read();
  const moved = next.path !== shown;
  shown = next.path;
  // Back and forward may lead to a page of another app.
  const app = next.query.get("app") ?? "";
  if (app !== appId.value && (!app || apps.value.some((a) => a.id === app))) appId.value = app;
  route.value = next;
  if (moved) {
    scrollTo(0, 0);
    // A reader of screens hears the new page; the ring is not drawn for a target that is not a control.
    requestAnimationFrame(() => document.getElementById("main")?.focus({ preventScroll: true }));
  }
}

addEventListener("popstate", arrive);
addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
    return;
  const link = event.target.closest?.("a[href]");
  if (!link || link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
  if (
    !link.pathname.startsWith(BASE) ||
    link.pathname.startsWith(`${BASE}assets/`) ||
    link.pathname.startsWith(`${BASE}api/`)
  )
    return;
  event.preventDefault();
  go(link.pathname.slice(BASE.length), new URLSearchParams(link.search));
});
