// Starts the page: asks who is signed in, then shows the page of the address.
import { html, render, useEffect, useState } from "./ui.js";
import { settled } from "./ahead.js";
import { get } from "./api.js";
import { go, href, route } from "./router.js";
import { appId, apps, may, session, setupRequired, wasHere } from "./state.js";
import { find } from "./pages/index.js";
import { Page } from "./components/page.js";
import { Shell } from "./components/shell.js";
import { EmptyState, ErrorState, Skeleton } from "./components/states.js";
import { Toasts } from "./components/toast.js";
import { useKeys } from "./components/keyboard.js";
import { Lazy } from "./components/lazy.js";

/** Modules that were loaded once; a page that is opened again is there at once. */
const loaded = new Map();

/** Loads a page's module. After an upgrade the old files are gone; the page then loads itself anew, once. */
async function load(page) {
  try {
    const module = await page.load();
    loaded.set(page, module.default);
    sessionStorage.removeItem("postrider.reloaded");
  } catch (error) {
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
  useEffect(() => {
    setError(null);
    if (found && !loaded.has(found.page)) load(found.page).then(() => redraw((n) => n + 1), setError);
  }, [found?.page]);
  if (!found)
    return html`<${Page} title="Not found"
      ><${EmptyState} title="There is no such page" text="The address may be mistyped, or what was here is gone."
        ><a class="button" href=${href("")}>Overview</a><//
      ><//
    >`;
  if (found.page.role && !may(found.page.role))
    return html`<${Page} title=${found.page.title ?? "Not allowed"}
      ><${EmptyState}
        icon="keys"
        title="This needs another role"
        text="Your role is ${session.value.role}; this page needs ${found.page.role}. An owner can change it."
    /><//>`;
  if (error)
    return html`<${Page} title=${found.page.title ?? "Postrider"}
      ><${ErrorState} error=${{ message: "The page's files could not be loaded." }} retry=${() => location.reload()}
    /><//>`;
  const Shown = loaded.get(found.page);
  if (!Shown)
    return html`<div class="page">
      <header class="page-header"><h1>${found.page.title ?? ""}</h1></header>
      <${Skeleton} lines=${5} />
    </div>`;
  return html`<${Shown} key=${`${found.page.path} ${appId.value}`} params=${found.params} />`;
}

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
  return html`<${Shell} onHelp=${() => setHelp(true)}><${Current} /><//
    ><${Toasts} />${help && html`<${Lazy} load=${() => import("./components/help.js")} onClose=${() => setHelp(false)} />`}`;
}

/**
 * Who was here before is asked for at once. Otherwise the state comes first, because asking for a session that is not
 * there would be an error in the browser's console.
 */
async function whoIsThere() {
  if (!wasHere.value) {
    const state = await get("admin/api/state", {}, { quiet: true });
    setupRequired.value = state.setup_required;
    if (!state.signed_in) return null;
  }
  return get("admin/api/session", {}, { quiet: true });
}

/** How long the first drawing waits for data, in milliseconds. */
const SOON_MS = 150;

async function start() {
  const root = document.getElementById("app");
  const open = find(route.value.path)?.page.open;
  // The page's files come while the server says who is there.
  const first = find(route.value.path)?.page;
  const [answer] = await Promise.all([
    whoIsThere().then(
      (s) => ({ s }),
      (error) => ({ error }),
    ),
    first ? load(first).catch(() => {}) : null,
  ]);
  // Drawn once with rows is sooner there than drawn without and then again.
  if (answer.s) await settled(SOON_MS);
  if (answer.error && answer.error.status !== 401 && !open) {
    render(
      html`<main class="door"><${ErrorState} error=${answer.error} retry=${() => location.reload()} /></main>`,
      root,
    );
    return;
  }
  session.value = answer.s ?? null;
  session.subscribe((s) => {
    wasHere.value = s ? "1" : "";
  });
  const wanted = route.value.query.get("app");
  if (wanted && apps.value.some((a) => a.id === wanted && a.name !== "default")) appId.value = wanted;
  render(html`<${App} />`, root);
}

start();
