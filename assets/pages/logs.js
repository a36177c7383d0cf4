// The activity log: changes by people and by the server.
import { html, useMemo, useState } from "../ui.js";
import { get } from "../api.js";
import { href, route } from "../router.js";
import { timeMode } from "../state.js";
import { Dialog } from "../components/dialog.js";
import { Icon } from "../components/icon.js";
import { JsonView } from "../components/json.js";
import { useEvery, useLoad } from "../components/load.js";
import { Facts, Page } from "../components/page.js";
import { EmptyState, ErrorState } from "../components/states.js";
import { DataTable, Pages } from "../components/table.js";
import { Time, TimeSwitch } from "../components/time.js";
import { choose, clear, filterOf } from "./deliveries/filter.js";
import { Choice, Range, withCurrent } from "./deliveries/toolbar.js";

const KINDS = {
  Webhooks: [
    "endpoint.created",
    "endpoint.changed",
    "endpoint.deleted",
    "endpoint.status_changed",
    "endpoint.disabled",
    "endpoint.secret_rotated",
  ],
  Sources: [
    "source.created",
    "source.changed",
    "source.deleted",
    "source.url_rotated",
    "source.request_replayed",
  ],
  Deliveries: ["delivery.retried", "delivery.bulk_retried", "endpoint.recovered", "event.replayed", "job.cancelled"],
  People: [
    "user.created",
    "user.changed",
    "user.deleted",
    "user.password_reset",
    "user.password_changed",
    "user.signed_in",
    "user.signed_out",
    "user.sign_in_failed",
    "user.sign_in_throttled",
    "session.revoked",
  ],
  "Keys and apps": ["key.created", "key.revoked", "app.created", "app.renamed"],
  Server: [
    "server.started",
    "server.stopped",
    "retention.changed",
    "retention.swept",
    "retention.held",
    "retention.clock_accepted",
    "key_file.rotated",
    "backup.made",
    "backup.failed",
    "log_level.changed",
    "server.imported",
    "storage.moved",
  ],
  Alerts: ["alert.sent", "alert.failed", "alert_target.created", "alert_target.changed", "alert_target.deleted"],
};
const OTHER_WORDS = { endpoint: "webhook" };
/** `user.sign_in_failed` → "User sign in failed". */
const inWords = (kind) => {
  const text = kind.replace(/^\w+/, (w) => OTHER_WORDS[w] ?? w).replace(/[._]/g, " ");
  return text[0].toUpperCase() + text.slice(1);
};
const WHO = { system: "Server", cli: "Command line" };
const actorOf = (actor) =>
  WHO[actor] ??
  (actor.startsWith("user:") ? actor.slice(5) : actor.startsWith("key:") ? `Key ${actor.slice(4)}` : actor);

export default function Logs() {
  const { query } = route.value;
  const { since, until } = filterOf(query);
  const [kind, page, cursor] = ["kind", "page", "cursor"].map((n) => query.get(n));
  const list = useLoad(
    (signal) => get("v1/activity", { kind, since, until, page, cursor }, { signal }),
    [kind, since, until, page, cursor],
  );
  useEvery(15_000, list.reload, !page && !cursor);
  const [open, setOpen] = useState(null);
  const off = () => {
    clear();
    choose({ kind: null }, { replace: true });
  };
  const filtered = Boolean(kind || since || until);
  const columns = useMemo(
    () => [
      {
        key: "what",
        title: "Activity",
        card: "head",
        cell: (row) =>
          html`<div class="cell-two"><button type="button" class="plain-button cut" title=${row.attributes.summary} onClick=${() => setOpen(row)}>${row.attributes.summary}</button><small>${inWords(row.attributes.kind)}</small></div>`,
      },
      {
        key: "who",
        title: "By",
        width: "13rem",
        card: "line",
        cell: ({ attributes: a }) => html`<span class="cut" title=${a.actor}>${actorOf(a.actor)}</span>`,
      },
      {
        key: "address",
        title: "Address",
        width: "8.5rem",
        card: "hide",
        className: "col-opt",
        cell: ({ attributes: a }) =>
          html`<span class=${a.address ? "muted cut" : "muted blank"} title=${a.address}>${a.address ?? "–"}</span>`,
      },
      {
        key: "at",
        title: "When",
        width: timeMode.value === "relative" ? "6.5rem" : "9.5rem",
        card: "aside",
        cell: ({ attributes: a }) => html`<${Time} at=${a.created_at} />`,
      },
    ],
    [timeMode.value],
  );
  const nothing = filtered
    ? html`<${EmptyState} title="No matches" text="No activity of this kind and time."><button type="button" class="button" onClick=${off}>Clear filters</button><//>`
    : html`<${EmptyState} icon="logs" title="No activity yet" />`;
  return html`<${Page} title="Logs" intro="Changes made in this app and on this server.">
    <div class="toolbar" role="search" aria-label="Activity"><${Choice} label="Kind" any="Any kind" value=${kind ?? ""} groups=${[...(kind && !Object.values(KINDS).flat().includes(kind) ? [[null, withCurrent([], kind)]] : []), ...Object.entries(KINDS).map(([name, kinds]) => [name, kinds.map((k) => [k, inWords(k)])])]} onChange=${(v) => choose({ kind: v })} />
      <${Range} query=${query} />
      ${filtered && html`<button type="button" class="button quiet" onClick=${off}><${Icon} name="cross" size=${14} />Clear</button>`}
      <span class="toolbar-end"><${TimeSwitch} /></span></div>
    <section class="card flush" aria-label="Activity">
      ${
        list.error && !list.data
          ? html`<${ErrorState} error=${list.error} retry=${list.error.status === 422 ? null : list.reload}>${list.error.status === 422 && html`<button type="button" class="button" onClick=${off}>Clear filters</button>`}<//>`
          : html`
        ${list.error && html`<p class="log-error" role="alert">${list.error.message} <button type="button" class="button small" onClick=${list.reload}>Try again</button></p>`}
        <${DataTable} caption="Activity, newest first" columns=${columns} rows=${list.data?.data} empty=${nothing} busy=${list.loading} skeleton=${10} onOpen=${setOpen} />
        <${Pages} list=${list.data} noun="" />`
      }
    </section>
    ${open && html`<${Entry} row=${open} onClose=${() => setOpen(null)} />`}<//>`;
}

function Entry({ row: { attributes: a }, onClose }) {
  const webhook = a.details?.endpoint_id;
  return html`<${Dialog} wide title=${inWords(a.kind)} onClose=${onClose} footer=${html`${webhook && a.kind !== "endpoint.deleted" && html`<a class="button" href=${href(`webhooks/${webhook}`)}>Open webhook</a>`}<button type="button" class="button primary" onClick=${onClose}>Close</button>`}>
    <p>${a.summary}</p>
    <${Facts} items=${[["When", html`<${Time} at=${a.created_at} />`], ["By", actorOf(a.actor)], a.address && ["Address", a.address], ["Scope", a.app_id ? "This app" : "This server"]]} />
    ${a.details && Object.keys(a.details).length > 0 && html`<${JsonView} text=${JSON.stringify(a.details)} label="Details" />`}<//>`;
}
