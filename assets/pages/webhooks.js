// All webhooks at a glance: their state, what is pending, their last 24 hours. The worst come first.
import { html, useMemo, useRef } from "../ui.js";
import { get } from "../api.js";
import { STATE, causeOf, number, percent, plural } from "../format.js";
import { go, href, route } from "../router.js";
import { may, timeMode } from "../state.js";
import { StatusBadge } from "../components/badge.js";
import { Icon } from "../components/icon.js";
import { useKeys } from "../components/keyboard.js";
import { useEvery, useLoad } from "../components/load.js";
import { Menu } from "../components/menu.js";
import { Page } from "../components/page.js";
import { Sparkline } from "../components/spark.js";
import { EmptyState, ErrorState } from "../components/states.js";
import { DataTable, Pages } from "../components/table.js";
import { MiddleEllipsis } from "../components/text.js";
import { Time } from "../components/time.js";
import { choose } from "./deliveries/filter.js";
import { Choice, Search, withCurrent } from "./deliveries/toolbar.js";
import { changeStatus, sendNow } from "./webhooks/actions.js";

const STATES = Object.entries(STATE).map(([state, { word }]) => [state, word]);
/** Orders of the API; the default is `health`, the worst first. */
const SORTS = [
  ["name", "Name"],
  ["-waiting", "Most pending first"],
  ["success_rate", "Lowest success rate first"],
  ["-last_failure_at", "Last failure first"],
  ["newest", "Newest first"],
];

export default function Webhooks() {
  const { query } = route.value;
  const [page, cursor, q, sort] = ["page", "cursor", "q", "sort"].map((n) => query.get(n));
  const states = query.getAll("health").filter(Boolean);
  const list = useLoad(
    (signal) =>
      get(
        "v1/webhooks",
        { page, cursor, health: states, q, sort: sort === "newest" ? null : (sort ?? "health"), per_page: 50 },
        { signal },
      ),
    [page, cursor, states.join(), q, sort],
  );
  // Figures are loaded on their own: the list does not wait for them.
  const ids = list.data?.data.map((w) => w.id) ?? [];
  const days = useLoad(
    async (signal) =>
      new Map((await get("admin/api/webhook-health", { ids: ids.join() }, { signal })).data.map((h) => [h.id, h])),
    [ids.join()],
    ids.length > 0,
  );
  useEvery(15_000, list.reload);
  useEvery(60_000, days.reload, ids.length > 0);
  const searchRef = useRef(null);
  useKeys({ "/": () => searchRef.current?.focus(), ...(may("admin") ? { c: () => go("webhooks/new") } : {}) });

  const reload = useRef(list.reload);
  reload.current = list.reload;
  const columns = useMemo(
    () => columnsOf({ days: days.data, broken: days.error, changed: () => reload.current() }),
    [days.data, days.error, timeMode.value],
  );
  const filtered = states.length > 0 || q;
  const order = (to) => choose({ sort: !to || /health$/.test(to) ? null : to });
  const create =
    may("admin") && html`<a class="button primary" href=${href("webhooks/new")}><${Icon} name="plus" />New webhook</a>`;
  const nothing = filtered
    ? html`<${EmptyState} title="No matches" text="No webhook matches this search and state."><button type="button" class="button" onClick=${() => clearAll()}>Clear search and filter</button><//>`
    : html`<${EmptyState} icon="webhooks" title="No webhooks yet" text="A webhook tells Postrider where to send which events. For a first try, the overview offers a built-in receiver.">${create}<a class="button" href=${href("integrations", { show: "destinations" })}>Integrations</a><a class="button" href=${href("")}>Get started</a><//>`;
  return html`<${Page} title="Webhooks" actions=${create}>
    <div class="toolbar" role="search" aria-label="Webhooks"><${Search} inputRef=${searchRef} placeholder="Search name or URL" label="Search webhook name or URL" />
      <${Choice} label="State" any="Any state" value=${states.join()} options=${withCurrent(STATES, states.join(), states.map((s) => STATE[s]?.word ?? s).join(", "))} onChange=${(v) => choose({ health: v.split(",") })} />
      <${Choice} label="Order" any="Worst first" value=${sort ?? ""} options=${withCurrent(SORTS, sort)} onChange=${(v) => choose({ sort: v })} />
      ${filtered && html`<button type="button" class="button quiet" onClick=${() => clearAll()}><${Icon} name="cross" size=${14} />Clear</button>`}</div>
    <section class="card flush" aria-label="Webhooks">
      ${
        list.error && !list.data
          ? html`<${ErrorState} error=${list.error} retry=${list.error.status === 422 ? null : list.reload}>${list.error.status === 422 && html`<button type="button" class="button" onClick=${() => clearAll()}>Clear search and filter</button>`}<//>`
          : html`
        ${list.error && html`<p class="log-error" role="alert">${list.error.message} <button type="button" class="button small" onClick=${list.reload}>Try again</button></p>`}
        <${DataTable} caption="Webhooks, the worst first unless sorted" sort=${sort ?? "health"} onSort=${order} columns=${columns} rows=${list.data?.data} empty=${nothing} busy=${list.loading} skeleton=${6} onOpen=${(row) => go(`webhooks/${row.id}`)} />
        <${Pages} list=${list.data} noun=${list.data?.meta.total === 1 ? "webhook" : "webhooks"} />`
      }
    </section><//>`;
}

const clearAll = () => choose({ q: null, health: null });

/** A state that needs no words: the others say what is wrong. */
const isCalm = (state) => ["ok", "off"].includes(STATE[state]?.tone);

function columnsOf({ days, broken, changed }) {
  const waiting = broken
    ? html`<span class="muted blank" title=${broken.message}>–</span>`
    : html`<span class="skeleton inline"><span></span></span>`;
  return [
    {
      key: "webhook",
      title: "Webhook",
      sort: "name",
      card: "head",
      cell: ({ id, attributes: a }) =>
        html`<div class="cell-two"><a class="cut strong" href=${href(`webhooks/${id}`)} title=${a.name}>${a.name || "No name"}</a><small>${a.preset && html`<span class="recipe">${a.preset.name}</span>`}<${MiddleEllipsis} text=${a.url} /></small></div>`,
    },
    {
      key: "state",
      title: "State",
      sort: "health",
      width: "clamp(11rem, 30%, 28rem)",
      card: "line",
      className: "wide-line",
      cell: ({ attributes: { health } }) =>
        html`<div class="cell-two"><${StatusBadge} of="state" status=${health.state} hint=${health.message} />${
          isCalm(health.state)
            ? html`<small class="muted">since <${Time} at=${health.since} /></small>`
            : html`<small class="cause whole" title=${health.message}>${causeOf(health.message)}</small>`
        }</div>`,
    },
    {
      key: "waiting",
      title: "Pending",
      sort: "waiting",
      num: true,
      width: "5.6rem",
      card: "line",
      cell: ({ id, attributes: a }) =>
        a.waiting
          ? html`<a class="num" href=${href("webhook-deliveries", { endpoint_id: id, status: "pending" })}>${number(a.waiting)}<span class="card-word"> pending</span></a>`
          : html`<span class="num muted blank">0</span>`,
    },
    {
      key: "rate",
      title: "Success 24 h",
      sort: "success_rate",
      num: true,
      width: "7rem",
      card: "line",
      cell: ({ attributes: a }) =>
        html`<span class=${a.success_rate === null ? "num muted blank" : "num"} title=${a.success_rate === null ? "No delivery finished in the last 24 hours" : undefined}>${percent(a.success_rate)}</span>`,
    },
    {
      key: "day",
      title: "Last 24 hours",
      width: "10rem",
      card: "line",
      className: "col-opt",
      cell: ({ id }) => {
        const h = days?.get(id);
        return !h
          ? waiting
          : html`<div class="day"><${Sparkline} series=${h.series} /><small class="num" title=${`${plural(h.last_24h.events, "event")}, ${number(h.last_24h.failures)} failed`}>${number(h.last_24h.events)}</small></div>`;
      },
    },
    {
      key: "failure",
      title: "Last failure",
      sort: "last_failure_at",
      width: "7.4rem",
      card: "line",
      className: "col-opt col-far",
      cell: ({ id, attributes: a }) =>
        a.last_failure_at
          ? html`<a class="dim" href=${href("webhook-deliveries", { endpoint_id: id, view: "attempts", status: ["failed", "exhausted"] })}><span class="card-word">failed </span><${Time} at=${a.last_failure_at} /></a>`
          : html`<span class="muted blank" title="No attempt has failed">None</span>`,
    },
    {
      key: "actions",
      title: "Actions",
      hidden: true,
      width: "3.2rem",
      card: "foot",
      className: "overflow",
      cell: (row) =>
        html`<div class="row-actions"><${Menu} className="button quiet small icon-only" label="Actions for ${row.attributes.name || row.attributes.url}" items=${[
          { label: "Open", icon: "eye", href: href(`webhooks/${row.id}`) },
          { label: "Delivery log", icon: "deliveries", href: href("webhook-deliveries", { endpoint_id: row.id }) },
          ...(may("admin")
            ? [
                { label: "Edit", icon: "logs", href: href(`webhooks/${row.id}/edit`) },
                null,
                row.attributes.status === "active" &&
                  row.attributes.waiting > 0 && {
                    label: "Send now",
                    icon: "redo",
                    hint: plural(row.attributes.waiting, "pending delivery", "pending deliveries"),
                    run: async () => {
                      if (await sendNow(nowOf(row))) changed();
                    },
                  },
                ...changesOf(row).map(([status, label, icon]) => ({
                  label,
                  icon,
                  run: () => changeStatus(row, status, changed),
                })),
              ].filter((item) => item !== false)
            : []),
        ]} /></div>`,
    },
  ];
}

const nowOf = ({ id, attributes: a }) => ({ id, name: a.name || a.url, held: Boolean(a.hold) });

const changesOf = ({ attributes: { status } }) =>
  status === "active"
    ? [["paused", "Pause", "pause"]]
    : status === "paused"
      ? [["active", "Resume", "play"]]
      : [["active", "Enable", "play"]];
