// All webhooks at a glance: status, health, their last 24 hours.
import { html, useMemo, useRef } from "../ui.js";
import { get } from "../api.js";
import { HEALTH, number, percent, plural } from "../format.js";
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
import { choose, clear } from "./deliveries/filter.js";
import { Choice, Search } from "./deliveries/toolbar.js";
import { changeStatus } from "./webhooks/actions.js";
import { useLastFailures } from "./webhooks/failures.js";

const STATUSES = [
  ["active", "Active"],
  ["paused", "Paused"],
  ["disabled", "Disabled"],
];

export default function Webhooks() {
  const { query } = route.value;
  const asked = ["page", "cursor", "status", "q"].map((n) => query.get(n));
  const list = useLoad(
    (signal) =>
      get("v1/webhooks", { page: asked[0], cursor: asked[1], status: asked[2], q: asked[3], per_page: 50 }, { signal }),
    asked,
  );
  // Figures are loaded on their own: the list does not wait for them.
  const health = useLoad(
    async (signal) => new Map((await get("admin/api/webhook-health", {}, { signal })).data.map((h) => [h.id, h])),
  );
  const failures = useLastFailures(list.data?.data);
  useEvery(15_000, () => {
    list.reload();
    health.reload();
    failures.reload();
  });
  const searchRef = useRef(null);
  useKeys({ "/": () => searchRef.current?.focus(), ...(may("admin") ? { c: () => go("webhooks/new") } : {}) });

  const reload = useRef(list.reload);
  reload.current = list.reload;
  const columns = useMemo(
    () =>
      columnsOf({
        health: health.data,
        broken: health.error,
        failures: failures.data,
        unknown: failures.error,
        changed: () => reload.current(),
      }),
    [health.data, health.error, failures.data, failures.error, timeMode.value],
  );
  const filtered = asked[2] || asked[3];
  const create =
    may("admin") && html`<a class="button primary" href=${href("webhooks/new")}><${Icon} name="plus" />New webhook</a>`;
  const nothing = filtered
    ? html`<${EmptyState} title="No matches" text="No webhook matches this search and status."><button type="button" class="button" onClick=${() => clearAll()}>Clear search and filter</button><//>`
    : html`<${EmptyState} icon="webhooks" title="No webhooks yet" text="A webhook tells Postrider where to send which events. For a first try, the overview offers a built-in receiver.">${create}<a class="button" href=${href("")}>Get started</a><//>`;
  return html`<${Page} title="Webhooks" actions=${create}>
    <div class="toolbar" role="search" aria-label="Webhooks"><${Search} inputRef=${searchRef} placeholder="Search name or URL" label="Search webhook name or URL" />
      <${Choice} label="Status" any="Any status" value=${asked[2] ?? ""} options=${STATUSES} onChange=${(v) => choose({ status: v })} />
      ${filtered && html`<button type="button" class="button quiet" onClick=${() => clearAll()}><${Icon} name="cross" size=${14} />Clear</button>`}</div>
    <section class="card flush" aria-label="Webhooks">
      ${
        list.error && !list.data
          ? html`<${ErrorState} error=${list.error} retry=${list.error.status === 422 ? null : list.reload}>${list.error.status === 422 && html`<button type="button" class="button" onClick=${() => clearAll()}>Clear search and filter</button>`}<//>`
          : html`
        ${list.error && html`<p class="log-error" role="alert">${list.error.message} <button type="button" class="button small" onClick=${list.reload}>Try again</button></p>`}
        <${DataTable} caption="Webhooks, newest first" columns=${columns} rows=${list.data?.data} empty=${nothing} busy=${list.loading} skeleton=${6} onOpen=${(row) => go(`webhooks/${row.id}`)} />
        <${Pages} list=${list.data} noun=${list.data?.meta.total === 1 ? "webhook" : "webhooks"} />`
      }
    </section><//>`;
}

const clearAll = () => clear();

function columnsOf({ health, broken, failures, unknown, changed }) {
  const of = (row) => health?.get(row.id);
  const waiting = broken
    ? html`<span class="muted blank" title=${broken.message}>–</span>`
    : html`<span class="skeleton inline"><span></span></span>`;
  return [
    {
      key: "webhook",
      title: "Webhook",
      card: "head",
      cell: ({ id, attributes: a }) =>
        html`<div class="cell-two"><a class="cut strong" href=${href(`webhooks/${id}`)} title=${a.name}>${a.name || "No name"}</a><small><${MiddleEllipsis} text=${a.url} /></small></div>`,
    },
    {
      key: "status",
      title: "Status",
      width: "6.6rem",
      card: "aside",
      cell: ({ attributes: a }) => html`<${StatusBadge} of="endpoint" status=${a.status} hint=${a.status_reason} />`,
    },
    {
      key: "health",
      title: "Health",
      width: "11rem",
      card: "line",
      className: "wide-line",
      cell: (row) => {
        const h = of(row);
        if (!h) return waiting;
        const said = worthSaying(h.labels);
        if (!said.length) return html`<span class="muted blank" title="No finished deliveries yet">–</span>`;
        return html`<span class="badges">${said.map(([word, label]) => html`<${StatusBadge} key=${word} of="health" status=${label} word=${word} quiet />`)}</span>`;
      },
    },
    {
      key: "rate",
      title: "Success",
      num: true,
      width: "5.4rem",
      card: "line",
      cell: (row) => {
        const h = of(row);
        return !h
          ? waiting
          : html`<span class=${h.success_rate === null ? "num muted blank" : "num"}>${percent(h.success_rate)}</span>`;
      },
    },
    {
      key: "day",
      title: "Last 24 hours",
      width: "11.5rem",
      card: "line",
      className: "col-opt",
      cell: (row) => {
        const h = of(row);
        return !h
          ? waiting
          : html`<div class="day"><${Sparkline} series=${h.series} /><small class="num" title=${`${plural(h.last_24h.events, "event")}, ${number(h.last_24h.failures)} failed`}>${number(h.last_24h.events)}</small></div>`;
      },
    },
    {
      key: "failure",
      title: "Last failure",
      width: "7.4rem",
      card: "line",
      className: "col-opt col-far",
      cell: (row) => {
        const found = failures?.get(row.id);
        if (found === undefined)
          return unknown ? html`<span class="muted blank" title=${unknown.message}>–</span>` : waiting;
        if (!found) return html`<span class="muted blank" title="No failed attempts in the log">None</span>`;
        return html`<a class="dim" href=${href(`webhook-deliveries/${found.id}`)} title=${found.attributes.error_message}><span class="card-word">failed </span><${Time} at=${found.attributes.attempted_at ?? found.attributes.created_at} /></a>`;
      },
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
                ...changesOf(row).map(([status, label, icon]) => ({
                  label,
                  icon,
                  run: async () => {
                    if (await changeStatus(row, status)) changed();
                  },
                })),
              ]
            : []),
        ]} /></div>`,
    },
  ];
}

const changesOf = ({ attributes: { status } }) =>
  status === "active"
    ? [["paused", "Pause", "pause"]]
    : status === "paused"
      ? [["active", "Resume", "play"]]
      : [["active", "Enable", "play"]];

/** Success first; the other two only when they add something. */
function worthSaying(labels) {
  const tone = (label) => HEALTH[label]?.tone;
  if (labels.success_rate === "unknown" && labels.activity === "idle") return [["Idle", "idle"]];
  const said = [];
  if (labels.activity === "failing") said.push(["Failing", "failing"]);
  if (labels.success_rate !== "unknown" && !(said.length && tone(labels.success_rate) === "bad"))
    said.push([HEALTH[labels.success_rate]?.word, labels.success_rate]);
  if (["warn", "bad"].includes(tone(labels.response_time)))
    said.push([labels.response_time === "slow" ? "Slow" : "Very slow", labels.response_time]);
  if (labels.activity === "idle") said.push(["Idle", "idle"]);
  return said;
}
