// Starts the page: asks who is signed in, then shows the page of the address.
import { html, render, useEffect, useState } from "./ui.js";
import { settled } from "./ahead.js";
import { ApiError, get, isThere } from "./api.js";
import { go, href, route } from "./router.js";
import { appId, apps, expired, may, returns, session, setupRequired, wasHere } from "./state.js";
import { NAVIGATION, find } from "./pages/index.js";
import { Page } from "./components/page.js";
import { Shell } from "./components/shell.js";
import { SignInAgain } from "./components/sign-in.js";
import { EmptyState, ErrorState, Skeleton } from "./components/states.js";
import { Toasts } from "./components/toast.js";
import { useKeys } from "./components/keyboard.js";
import { Lazy } from "./components/lazy.js";

/** Modules that have been loaded; a page that is opened again is there at once. */
const loaded = new Map();

/**
 * Loads a page's module. After an upgrade the old files are gone; then the whole page is loaded again, once. Not while
 * the server is away: the browser would show an error page of its own, which cannot lead back.
 */
async function load(page) {
  try {
    const module = await page.load();
    loaded.set(page, module.default);
    sessionStorage.removeItem("postrider.reloaded");
  } catch (error) {
    if (!(await isThere())) throw new ApiError(0);
    if (!sessionStorage.getItem("postrider.reloaded")) {
      sessionStorage.setItem("postrider.reloaded", "1");
      location.reload();
      return new Promise(() => {});
    }
    throw error;
  }
}

function Current() {
  const { path } = route.value;
  const found = find(path);
  const [, redraw] = useState(0);
  const [error, setError] = useState(null);
  const begin = () => {
    setError(null);
    if (found && !loaded.has(found.page)) load(found.page).then(() => redraw((n) => n + 1), setError);
  };
  useEffect(begin, [found?.page, returns.value]);
  if (!found)
    return html`<${Page} title="Not found"
      ><${EmptyState} title="There is no such page" text="The address may be mistyped, or the page was removed."
        ><a class="button" href=${href("")}>Overview</a><//
      ><//
    >`;
  if (found.page.role && !may(found.page.role))
    return html`<${Page} title=${found.page.title ?? "Not allowed"}
      ><${EmptyState}
        icon="keys"
        title="You need another role"
        text="This page requires the ${found.page.role} role. You are ${article(session.value.role)}. An owner can change your role."
    /><//>`;
  if (error)
    return html`<${Page} title=${found.page.title ?? "Postrider"}
      ><${ErrorState} error=${error.status === 0 ? error : { message: "The page’s files could not be loaded." }} retry=${error.status === 0 ? begin : () => location.reload()}
    /><//>`;
  const Shown = loaded.get(found.page);
  if (!Shown)
    return html`<div class="page">
      <header class="page-header"><h1>${found.page.title ?? ""}</h1></header>
      <${Skeleton} lines=${5} />
    </div>`;
  return html`<${Shown} key=${`${found.page.path} ${appId.value}`} params=${found.params} />`;
}

const article = (role) => `${/^[aeiou]/.test(role) ? "an" : "a"} ${role}`;

function App() {
  const [help, setHelp] = useState(false);
  useKeys({ "?": () => setHelp(true) });
  const who = session.value;
  const { path } = route.value;
  const open = find(path)?.page.open;
  useEffect(() => {
    if (who === null && !open) go("sign-in", { next: path + location.search }, { replace: true });
  }, [who, open]);
  if (open) return html`<${Current} /><${Toasts} />`;
  if (!who) return null;
  // Another person gets a page of their own: what the one before had typed goes with them.
  return html`<${Shell} key=${who.email} navigation=${NAVIGATION} onHelp=${() => setHelp(true)}><${Current} /><//
    ><${Toasts} />${expired.value && html`<${SignInAgain} />`}${help && html`<${Lazy} load=${() => import("./components/help.js")} onClose=${() => setHelp(false)} />`}`;
}

/**
 * With an earlier visit the session is requested at once. Otherwise the state comes first, because requesting a session
 * that does not exist would be an error in the browser’s console.
 */
async function currentSession() {
  if (!wasHere.value) {
    const state = await get("admin/api/state", {}, { quiet: true });
    setupRequired.value = state.setup_required;
    if (!state.signed_in) return null;
  }
  return get("admin/api/session", {}, { quiet: true });
}

/** How long the first rendering waits for data, in milliseconds. */
const SOON_MS = 150;

async function start() {
  const root = document.getElementById("app");
  const open = find(route.value.path)?.page.open;
  // The page’s files are loaded at the same time.
  const first = find(route.value.path)?.page;
  const [{ who, error }] = await Promise.all([
    currentSession().then(
      (who) => ({ who }),
      (error) => ({ error }),
    ),
    first ? load(first).catch(() => {}) : null,
  ]);
  // Rendering once with rows is faster than rendering without and then again.
  if (who) await settled(SOON_MS);
  if (error && error.status !== 401 && !open) {
    const before = returns.value;
    const again = () => {
      stop();
      start();
    };
    const stop = returns.subscribe((n) => n > before && queueMicrotask(again));
    render(html`<main class="door"><${ErrorState} error=${error} retry=${again} /></main>`, root);
    return;
  }
  session.value = who ?? null;
  session.subscribe((s) => {
    wasHere.value = s ? "1" : "";
  });
  const wanted = route.value.query.get("app");
  if (wanted && apps.value.some((a) => a.id === wanted && a.name !== "default")) appId.value = wanted;
  render(html`<${App} />`, root);
}

start();
