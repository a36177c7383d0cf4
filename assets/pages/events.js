// The events that were posted, newest first. Search, type and time are in the address.
import { html, useMemo, useRef, useState } from "../ui.js";
import { get, getAll } from "../api.js";
import { number } from "../format.js";
import { go, href, route } from "../router.js";
import { may, timeMode } from "../state.js";
import { Icon } from "../components/icon.js";
import { useKeys } from "../components/keyboard.js";
import { Lazy } from "../components/lazy.js";
import { useEvery, useLoad } from "../components/load.js";
import { Page } from "../components/page.js";
import { EmptyState, ErrorState } from "../components/states.js";
import { DataTable, Pages } from "../components/table.js";
import { MiddleEllipsis } from "../components/text.js";
import { Time, TimeSwitch } from "../components/time.js";
import { choose, clear, filterOf, isFiltered, moveOn } from "./deliveries/filter.js";
import { Choice, Given, Range, SearchIn, eventGroups } from "./deliveries/toolbar.js";
import { Outcome } from "./events/outcome.js";

/** The parameters that search, and what they search. */
const SEARCHES = [
  ["q", "Type and IDs", "Search event type, event ID or resource ID"],
  ["contains", "Payload", "Search payloads"],
];
const GIVEN = [["resource_id", "Resource"]];

const loadSend = () => import("./events/send.js");

export default function Events() {
  const { query } = route.value;
  const { event_type: type, since, until, q, contains, resource_id: resource } = filterOf(query);
  const [page, cursor] = [query.get("page"), query.get("cursor")];
  const list = useLoad(
    (signal) =>
      get("v1/events", { event_type: type, since, until, q, contains, resource_id: resource, page, cursor }, { signal }),
    [type, since, until, q, contains, resource, page, cursor],
  );
  const ids = list.data?.data.filter((e) => e.attributes.deliveries > 0).map((e) => e.id).join() ?? "";
  const outcomes = useLoad(
    async (signal) => new Map((await get("admin/api/event-outcomes", { ids }, { signal })).data.map((o) => [o.id, o])),
    [ids],
    ids !== "",
  );
  const types = useLoad((signal) => getAll("v1/event-types", {}, { signal }));
  const onFirst = !page && !cursor;
  useEvery(10_000, list.reload, onFirst && !contains);
  useEvery(10_000, outcomes.reload, ids !== "");
  const [sending, setSending] = useState(false);
  const searchRef = useRef(null);
  useKeys({ "/": () => searchRef.current?.focus(), ...(may("admin") ? { c: () => setSending(true) } : {}) });

  const columns = useMemo(
    () => [
      {
        key: "type",
        title: "Event",
        card: "head",
        cell: ({ id, attributes: a }) =>
          html`<a class="cut mono strong" href=${href(`events/${id}`)} title=${a.event_type}>${a.event_type}</a>`,
      },
      {
        key: "resource",
        title: "Resource",
        width: "14%",
        card: "line",
        cell: ({ attributes: a }) =>
          a.resource_id
            ? html`<a class="cut dim" title=${a.resource_id} href=${href("events", { resource_id: a.resource_id })}>${a.resource_id}</a>`
            : html`<span class="muted blank">–</span>`,
      },
      {
        key: "deliveries",
        title: "Webhooks",
        num: true,
        width: "5.6rem",
        card: "line",
        cell: ({ attributes: a }) =>
          html`<span class=${a.deliveries ? "num" : "num muted"} title=${a.filtered ? `${number(a.filtered)} declined it by filter` : a.deliveries ? undefined : "No webhook subscribed to it"}>${number(a.deliveries)}<span class="card-word"> ${a.deliveries === 1 ? "webhook" : "webhooks"}</span>${a.filtered > 0 && html`<small class="muted">${number(a.filtered)} filtered</small>`}</span>`,
      },
      {
        key: "outcome",
        title: "Outcome",
        width: "12.5rem",
        card: "line",
        cell: ({ id, attributes: a }) => html`<${Outcome} id=${id} deliveries=${a.deliveries} outcome=${outcomes.data?.get(id)} failed=${outcomes.error} />`,
      },
      {
        key: "id",
        title: "ID",
        width: "17%",
        card: "hide",
        className: "col-opt",
        cell: ({ id }) => html`<span class="muted"><${MiddleEllipsis} text=${id} mono /></span>`,
      },
      {
        key: "at",
        title: "Posted",
        width: timeMode.value === "relative" ? "7rem" : "9.5rem",
        card: "aside",
        cell: ({ attributes: a }) => html`<${Time} at=${a.created_at} />`,
      },
    ],
    [timeMode.value, outcomes.data, outcomes.error],
  );
  const filtered = isFiltered(query);
  const nothing = filtered
    ? html`<${EmptyState} title="No matches" text="No event that is kept matches this search and these filters."><button type="button" class="button" onClick=${() => clear()}>Clear filters</button><//>`
    : html`<${EmptyState} icon="events" title="No events yet" text="Post one with the API, or send one by hand. It goes to every webhook that subscribes to its type.">${may("admin") && html`<button type="button" class="button primary" onClick=${() => setSending(true)}>Send an event</button>`}<a class="button" href=${new URL("../docs", document.baseURI).pathname} target="_blank">API documentation</a><//>`;
  return html`<${Page} title="Events" actions=${may("admin") && html`<button type="button" class="button primary" onClick=${() => setSending(true)}><${Icon} name="plus" />Send an event</button>`}>
    <div class="toolbar" role="search" aria-label="Events"><${SearchIn} inputRef=${searchRef} searches=${SEARCHES} />
      <${Choice} label="Event type" any="Any event" value=${type ?? ""} groups=${eventGroups(types.data, type)} onChange=${(v) => choose({ event_type: v })} />
      <${Range} query=${query} />
      <${Given} query=${query} filters=${GIVEN} />
      ${filtered && html`<button type="button" class="button quiet" onClick=${() => clear()}><${Icon} name="cross" size=${14} />Clear</button>`}
      <span class="toolbar-end"><${TimeSwitch} /></span></div>
    <section class="card flush dense" aria-label="Events">
      ${
        list.error && !list.data
          ? html`<${ErrorState} error=${list.error} retry=${list.error.status === 422 ? null : list.reload}>${list.error.status === 422 && html`<button type="button" class="button" onClick=${() => clear()}>Clear filters</button>`}<//>`
          : html`
        ${list.error && html`<p class="log-error" role="alert">${list.error.message} <button type="button" class="button small" onClick=${list.reload}>Try again</button></p>`}
        <${DataTable} caption="Events, newest first" columns=${columns} rows=${list.data?.data} empty=${nothing} busy=${list.loading} skeleton=${10} onOpen=${(row) => go(`events/${row.id}`)} />
        <${Pages} list=${list.data} noun=${list.data?.meta.total === 1 ? "event" : "events"} />`
      }
    </section>
    ${
      sending &&
      html`<${Lazy} load=${loadSend} types=${types.data} onClose=${() => setSending(false)} onSent=${() => {
        moveOn();
        list.reload();
      }} />`
    }<//>`;
}
