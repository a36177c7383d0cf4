// Every page: its address, title, role, and the module that is loaded when it is opened.
// A module’s default export is a component that gets `{params}`; the query is in `route` (router.js).
export const PAGES = [
  { path: "", title: "Overview", icon: "overview", load: () => import("./overview.js") },
  {
    path: "webhook-deliveries",
    title: "Webhook deliveries",
    icon: "deliveries",
    load: () => import("./deliveries.js"),
  },
  { path: "webhook-deliveries/:id", load: () => import("./delivery.js") },
  { path: "events", title: "Events", icon: "events", load: () => import("./events.js") },
  { path: "events/:id", load: () => import("./event.js") },
  { path: "webhooks", title: "Webhooks", icon: "webhooks", load: () => import("./webhooks.js") },
  { path: "webhooks/new", role: "admin", load: () => import("./webhook-edit.js") },
  { path: "webhooks/:id", load: () => import("./webhook.js") },
  { path: "webhooks/:id/edit", role: "admin", load: () => import("./webhook-edit.js") },
  { path: "integrations", title: "Integrations", icon: "integrations", load: () => import("./integrations.js") },
  { path: "integrations/sources", title: "Sources", load: () => import("./sources.js") },
  { path: "integrations/sources/new", role: "admin", load: () => import("./source-edit.js") },
  { path: "integrations/sources/:id", load: () => import("./source.js") },
  { path: "integrations/sources/:id/edit", role: "admin", load: () => import("./source-edit.js") },
  { path: "keys", title: "API keys", icon: "keys", role: "admin", load: () => import("./keys.js") },
  { path: "users", title: "Users", icon: "users", role: "owner", load: () => import("./users.js") },
  { path: "apps", title: "Apps", icon: "apps", role: "owner", load: () => import("./apps.js") },
  { path: "retention", title: "Retention policies", icon: "retention", load: () => import("./retention.js") },
  { path: "alerts", title: "Alerts", icon: "bell", load: () => import("./alerts.js") },
  { path: "logs", title: "Logs", icon: "logs", role: "owner", load: () => import("./logs.js") },
  { path: "about", title: "About", icon: "about", load: () => import("./about.js") },
  { path: "account", load: () => import("./account.js") },
  { path: "sign-in", open: true, load: () => import("./sign-in.js") },
  { path: "setup/:token", open: true, load: () => import("./setup.js") },
];

/** The entries of the side bar, null for a line between groups. */
export const NAVIGATION = [
  "",
  "webhook-deliveries",
  "events",
  "webhooks",
  "integrations",
  null,
  "keys",
  "users",
  "apps",
  null,
  "retention",
  "alerts",
  "logs",
  "about",
].map((path) => (path === null ? null : PAGES.find((page) => page.path === path)));

/** The page of a path, with the values of its `:names`; a plain segment wins over a name. */
export function find(path) {
  const parts = path.split("/");
  for (const page of PAGES) {
    const names = page.path.split("/");
    const params = {};
    if (names.length !== parts.length) continue;
    if (
      names.every((name, i) => (name.startsWith(":") ? (params[name.slice(1)] = decode(parts[i])) : name === parts[i]))
    )
      return { page, params };
  }
  return null;
}

/** A stray % in an address is itself. */
function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
