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
/** The path that is shown, and the whole address. */
let shown = route.value.path;
let here = location.pathname + location.search;

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
  const move = () => {
    history[replace ? "replaceState" : "pushState"](null, "", url);
    arrive();
  };
  if (asks && path.replace(/^\/+|\/+$/g, "") !== shown) leave(move);
  else move();
}

/** What is asked before another page is shown; gives (a promise of) whether it may be. */
let asks = null;

/**
 * Asks before the page is left, until the function that this gives is called. `free` says without asking whether there
 * is nothing to lose: the browser has a question of its own for closing the window.
 */
export function guard(ask, free) {
  asks = ask;
  const stay = (e) => {
    if (!free()) e.preventDefault();
  };
  addEventListener("beforeunload", stay);
  return () => {
    if (asks === ask) asks = null;
    removeEventListener("beforeunload", stay);
  };
}

async function leave(move) {
  if (!(await asks())) return;
  asks = null;
  move();
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
  here = location.pathname + location.search;
  // Back and forward may lead to a page of another app.
  const app = next.query.get("app") ?? "";
  if (app !== appId.value && (!app || apps.value.some((a) => a.id === app))) appId.value = app;
  route.value = next;
  if (moved) {
    scrollTo(0, 0);
    // A screen reader announces the new page; no focus ring is drawn for a target that is not a control.
    requestAnimationFrame(() => document.getElementById("main")?.focus({ preventScroll: true }));
  }
}

addEventListener("popstate", () => {
  if (!asks || read().path === shown) return arrive();
  // The browser has gone already: back to where we were, and then there again if that is meant.
  history.pushState(null, "", here);
  return leave(() => history.back());
});
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
