// The inbound log of a source: each request with its outcome and the reason, newest first. The address has the filters.
import { html, useMemo, useState } from "../../ui.js";
import { get } from "../../api.js";
import { bytes } from "../../format.js";
import { amend, href, route } from "../../router.js";
import { timeMode } from "../../state.js";
import { Icon } from "../../components/icon.js";
import { useKeys } from "../../components/keyboard.js";
import { useEvery, useLoad } from "../../components/load.js";
import { EmptyState, ErrorState } from "../../components/states.js";
import { DataTable, Pages } from "../../components/table.js";
import { Time, TimeSwitch } from "../../components/time.js";
import { choose, filterOf } from "../deliveries/filter.js";
import { Choice, Range, withCurrent } from "../deliveries/toolbar.js";
import { pathOf } from "./actions.js";
import { StatusOf } from "./outcome.js";
import { RequestPanel } from "./request.js";
import { OUTCOMES } from "./words.js";

const KINDS = Object.entries(OUTCOMES).map(([outcome, { word }]) => [outcome, word]);
const clear = () => choose({ outcome: null, last: null, since: null, until: null });

export function Requests({ source, onChanged }) {
  const { query } = route.value;
  const { since, until } = filterOf(query);
  const [outcome, page, cursor] = ["outcome", "page", "cursor"].map((n) => query.get(n));
  const open = query.get("open") ? Number(query.get("open")) : null;
  const list = useLoad(
    (signal) => get(`${pathOf(source.id)}/requests`, { outcome, since, until, page, cursor }, { signal }),
    [source.id, outcome, since, until, page, cursor],
  );
  const onFirst = !page && !cursor;
  useEvery(5000, list.reload, onFirst);
  const [cursorRow, setCursorRow] = useState(null);
  const close = () => amend({ open: null });
  const show = (id) => {
    setCursorRow(id);
    amend({ open: id }, { replace: Boolean(open) });
  };
  const rows = list.data?.data;
  const move = (by) => {
    if (!rows?.length) return false;
    const at = rows.findIndex((r) => r.id === (open ?? cursorRow));
    const next = rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by))].id;
    if (open) show(next);
    else focusRow(next);
    setCursorRow(next);
    return true;
  };
  useKeys({
    j: () => move(1),
    k: () => move(-1),
    Enter: (e) => (e.target.closest("a,button,input,summary") || !cursorRow ? false : show(cursorRow)),
    Escape: () => {
      if (!open) return false;
      close();
      focusRow(open);
      return true;
    },
  });
  const columns = useMemo(() => columnsOf((row) => show(row.id)), [timeMode.value, open]);
  const filtered = Boolean(outcome || since || until);
  const empty = filtered
    ? html`<${EmptyState} title="No matches" text="No request has this outcome and time."><button type="button" class="button" onClick=${clear}>Clear filters</button><//>`
    : html`<${EmptyState} icon="source" title="No requests yet" text="Each request to the URL of this source appears here, accepted or not. Those to a disabled source do not."><a class="button primary" href=${href(`integrations/sources/${source.id}`, { part: "setup" })}>Set up the sender</a><//>`;
  return html`<div class="tab-page"><div class="toolbar" role="search" aria-label="Requests">
      <${Choice} label="Outcome" any="Any outcome" value=${outcome ?? ""} options=${withCurrent(KINDS, outcome)} onChange=${(v) => choose({ outcome: v })} />
      <${Range} query=${query} />
      ${filtered && html`<button type="button" class="button quiet" onClick=${clear}><${Icon} name="cross" size=${14} />Clear</button>`}
      <span class="toolbar-end"><${TimeSwitch} /></span></div>
    <section class="card flush" aria-label="Requests">${
      list.error && !list.data
        ? html`<${ErrorState} error=${list.error} retry=${list.error.status === 422 ? null : list.reload}>${list.error.status === 422 && html`<button type="button" class="button" onClick=${clear}>Clear filters</button>`}<//>`
        : html`${list.error && html`<p class="log-error" role="alert">${list.error.message} <button type="button" class="button small" onClick=${list.reload}>Try again</button></p>`}
        <${DataTable} caption="Requests, newest first" columns=${columns} rows=${rows} empty=${empty} busy=${list.loading && !list.data} skeleton=${6} onOpen=${(row) => show(row.id)} active=${open ?? cursorRow ?? 0} />
        <${Pages} list=${list.data} noun="" />`
    }</section>
    ${open && html`<${RequestPanel} key=${open} source=${source} n=${open} onClose=${() => {
      close();
      focusRow(open);
    }} onReplayed=${() => {
      list.reload();
      onChanged();
    }} />`}</div>`;
}

function columnsOf(onOpen) {
  return [
    {
      key: "outcome",
      title: "Outcome",
      card: "head",
      cell: (row) =>
        html`<div class="cell-two"><button type="button" class="plain-button view" aria-label="Request ${row.id}, ${OUTCOMES[row.attributes.outcome]?.word ?? row.attributes.outcome}" onClick=${() => onOpen(row)}><${StatusOf} outcome=${row.attributes.outcome} /></button>${row.attributes.reason && html`<small class="cause whole" title=${row.attributes.reason}>${row.attributes.reason}</small>`}</div>`,
    },
    {
      key: "event",
      title: "Event",
      width: "24%",
      card: "line",
      cell: ({ attributes: a }) =>
        a.event_id ? html`<a class="mono cut" href=${href(`events/${a.event_id}`)} title=${a.event_type}>${a.event_type}</a>` : html`<span class="muted blank">–</span>`,
    },
    {
      key: "status",
      title: "Response",
      width: "5.5rem",
      card: "line",
      cell: ({ attributes: a }) => html`<span class="code ${a.status < 300 ? "ok" : "bad"}">${a.status}</span>`,
    },
    {
      key: "from",
      title: "From",
      width: "9rem",
      card: "line",
      className: "col-opt",
      cell: ({ attributes: a }) => html`<span class="muted cut" title=${a.client_ip}>${a.client_ip ?? "–"}</span>`,
    },
    {
      key: "request",
      title: "Request",
      width: "8.5rem",
      card: "line",
      className: "col-opt",
      cell: ({ attributes: a }) => html`<span class="method">${a.method}</span> <span class="muted num">${bytes(a.size)}</span>`,
    },
    { key: "at", title: "Received", width: timeMode.value === "relative" ? "6.5rem" : "9.5rem", card: "aside", cell: ({ attributes: a }) => html`<${Time} at=${a.received_at} />` },
  ];
}

function focusRow(id) {
  requestAnimationFrame(() => {
    const row = document.querySelector(`tr[data-key="${Number(id)}"]`);
    row?.querySelector("button.view")?.focus({ preventScroll: true });
    row?.scrollIntoView({ block: "nearest" });
  });
}
