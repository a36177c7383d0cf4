// The frame around every page: navigation, app switcher, user menu.
import { cx, html, useEffect, useState } from "../ui.js";
import { del } from "../api.js";
import { go, href, route } from "../router.js";
import { appId, apps, away, currentApp, may, session, timeMode } from "../state.js";
import { Icon, Logo } from "./icon.js";
import { Menu } from "./menu.js";
import { TIME_MODES } from "./time.js";
import { fail } from "./toast.js";

/** `navigation` is the list of entries (`pages/index.js`), null for a line between groups. */
export function Shell({ navigation, children, onHelp }) {
  const [open, setOpen] = useState(false);
  const { path } = route.value;
  useEffect(() => {
    setOpen(false);
  }, [path]);
  useEffect(() => {
    if (!open) return undefined;
    const shut = (e) => {
      if (e.key === "Escape") setOpen(false);
    };
    addEventListener("keydown", shut);
    return () => removeEventListener("keydown", shut);
  }, [open]);
  const skip = (e) => {
    e.preventDefault();
    document.getElementById("main").focus();
  };
  return html`<div class="shell">
    <a class="skip" href="#main" onClick=${skip}>Skip to content</a>
    <header class="bar">
      <button
        type="button"
        class="button quiet icon-only"
        aria-label="Menu"
        aria-expanded=${open}
        aria-controls="side"
        onClick=${() => setOpen(!open)}
      >
        <${Icon} name=${open ? "cross" : "menu"} />
      </button>
      <${Brand} /><${Person} />
    </header>
    <nav class=${cx("side", open && "open")} id="side" aria-label="Main">
      <${Brand} />
      <${Apps} />
      <ul class="side-list">
        ${visible(navigation).map((entry) => (entry ? html`<li><${NavLink} ...${entry} here=${path} /></li>` : html`<li class="nav-line" aria-hidden="true"></li>`))}
      </ul>
      <div class="side-end"><${Person} wide onHelp=${onHelp} /></div>
    </nav>
    ${open && html`<div class="veil" onClick=${() => setOpen(false)}></div>`}
    <div class="away-place" role="status">${away.value && html`<${Away} />`}</div>
    <main id="main" tabindex="-1">${children}</main>
  </div>`;
}

const Away = () =>
  html`<p class="away"><${Icon} name="alert" /><span><strong>Can’t reach the server.</strong> What you see may be out of date. What you have typed is kept. Reconnecting…</span></p>`;

/** The entries that the role may see, without consecutive lines. */
const visible = (navigation) =>
  navigation.filter((entry) => !entry?.role || may(entry.role)).filter((entry, i, all) => entry || all[i + 1]);

const Brand = () => html`<a class="brand" href=${href("")}><${Logo} size=${22} />Postrider</a>`;

function NavLink({ path, title, icon, here }) {
  const current = here === path ? "page" : path && here.startsWith(`${path}/`) ? "true" : undefined;
  return html`<a href=${href(path)} aria-current=${current}><${Icon} name=${icon} />${title}</a>`;
}

/** Only for people with more than one app. */
function Apps() {
  if (apps.value.length < 2) return null;
  const choose = (app) => {
    appId.value = app.name === "default" ? "" : app.id;
    go("", { app: appId.value });
  };
  return html`<div class="app-switch">
    <${Menu}
      align="start"
      named
      className="button app-button"
      label="App: ${currentApp.value?.name}"
      button=${html`<${Icon} name="apps" /><span class="cut">${currentApp.value?.name}</span><${Icon} name="down" size=${12} />`}
      items=${[{ heading: "App" }, ...apps.value.map((app) => ({ label: app.name, current: app.id === currentApp.value?.id, run: () => choose(app) }))]}
    />
  </div>`;
}

function Person({ wide, onHelp }) {
  const who = session.value;
  if (!who) return null;
  const leave = async () => {
    try {
      await del("admin/api/session", { quiet: true });
    } catch (e) {
      if (e.status !== 401) return fail(e);
    }
    session.value = null;
    return go("sign-in");
  };
  return html`<${Menu}
    named=${wide}
    up=${wide}
    align=${wide ? "start" : "end"}
    className=${wide ? "button quiet person" : "button quiet icon-only"}
    label="Account of ${who.email}"
    button=${wide ? html`<${Icon} name="account" /><span class="cut">${who.email}<small>${who.role}</small></span>` : html`<${Icon} name="account" />`}
    items=${[
      { heading: html`<span class="cut">${who.email}</span> <span class="muted">${who.role}</span>` },
      null,
      { heading: "Times" },
      ...TIME_MODES.map(([mode, word]) => ({
        label: word,
        current: timeMode.value === mode,
        run: () => {
          timeMode.value = mode;
        },
      })),
      null,
      { label: "Account and sessions", icon: "account", href: href("account") },
      onHelp && { label: "Keyboard shortcuts", icon: "about", run: onHelp },
      {
        label: "API documentation",
        icon: "external",
        href: new URL("../docs", document.baseURI).pathname,
        target: "_blank",
      },
      null,
      { label: "Sign out", icon: "right", run: leave },
    ].filter((i) => i !== undefined)}
  />`;
}
