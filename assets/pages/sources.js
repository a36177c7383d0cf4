// All sources of the app: what each receives.
import { html, useMemo, useRef } from "../ui.js";
import { get } from "../api.js";
import { number, plural } from "../format.js";
import { go, href, route } from "../router.js";
import { may, now, timeMode } from "../state.js";
import { Badge } from "../components/badge.js";
import { Icon } from "../components/icon.js";
import { useKeys } from "../components/keyboard.js";
import { useEvery, useLoad } from "../components/load.js";
import { Page } from "../components/page.js";
import { EmptyState, ErrorState } from "../components/states.js";
import { DataTable } from "../components/table.js";
import { Time } from "../components/time.js";
import { choose } from "./deliveries/filter.js";
import { Search } from "./deliveries/toolbar.js";
import { stateOf } from "./sources/words.js";

export default function Sources() {
  // An app has at most 200.
  const list = useLoad((signal) => get("v1/sources", { per_page: 200 }, { signal }));
  useEvery(10_000, list.reload);
  const q = (route.value.query.get("q") ?? "").toLowerCase();
  const searchRef = useRef(null);
  useKeys({ "/": () => searchRef.current?.focus(), ...(may("admin") ? { c: () => go("integrations", { show: "sources" }) } : {}) });
  const columns = useMemo(columnsOf, [timeMode.value, now.value]);
  const rows = list.data?.data.filter(({ attributes: a }) => `${a.name} ${a.preset?.name ?? ""}`.toLowerCase().includes(q));
  const create = may("admin") && html`<a class="button primary" href=${href("integrations", { show: "sources" })}><${Icon} name="plus" />New source</a>`;
  const nothing = q
    ? html`<${EmptyState} title="No matches" text="No source has this in its name."><button type="button" class="button" onClick=${() => choose({ q: null })}>Clear search</button><//>`
    : html`<${EmptyState} icon="source" title="No sources yet" text="A source is a URL for another program, such as GitHub, Sonarr or Proxmox. Each request to it becomes an event.">${create}<//>`;
  const back = html`<a class="back" href=${href("integrations")}><${Icon} name="left" size=${14} />Integrations</a>`;
  return html`<${Page} title="Sources" back=${back} actions=${create}>
    <div class="toolbar" role="search" aria-label="Sources"><${Search} inputRef=${searchRef} placeholder="Search name" label="Search source name" /></div>
    <section class="card flush" aria-label="Sources">${
      list.error && !list.data
        ? html`<${ErrorState} error=${list.error} retry=${list.reload} />`
        : html`${list.error && html`<p class="log-error" role="alert">${list.error.message} <button type="button" class="button small" onClick=${list.reload}>Try again</button></p>`}
      <${DataTable} caption="Sources, newest first" columns=${columns} rows=${rows} empty=${nothing} skeleton=${5} onOpen=${(row) => go(`integrations/sources/${row.id}`)} />
      ${rows?.length > 0 && html`<div class="pages"><span class="muted num">${plural(rows.length, "source")}</span></div>`}`
    }</section><//>`;
}

function columnsOf() {
  return [
    {
      key: "name",
      title: "Source",
      card: "head",
      cell: ({ id, attributes: a }) =>
        html`<div class="cell-two"><a class="cut strong" href=${href(`integrations/sources/${id}`)} title=${a.name}>${a.name}</a><small>${a.preset ? `Recipe ${a.preset.name}${a.preset.changed ? ", changed" : ""}` : "Without a recipe"}</small></div>`,
    },
    {
      key: "state",
      title: "State",
      width: "10rem",
      card: "aside",
      cell: ({ attributes: a }) => {
        const { word, tone, icon, text } = stateOf(a, now.value);
        return html`<${Badge} tone=${tone} icon=${icon} hint=${text}>${word}<//>`;
      },
    },
    count("accepted", "Accepted 24 h", "accepted"),
    count("rejected", "Rejected 24 h", "rejected"),
    {
      key: "protected",
      title: "Protected by",
      width: "12rem",
      card: "line",
      className: "col-opt",
      cell: ({ attributes: a }) => html`<span class=${a.verify.length ? "cut" : "cut muted"}>${a.verify.length ? plural(a.verify.length, "verifier") : "The URL only"}</span>`,
    },
    { key: "last", title: "Last request", width: "8rem", card: "line", cell: ({ attributes: a }) => (a.last_request_at ? html`<${Time} at=${a.last_request_at} />` : html`<span class="muted blank">None</span>`) },
  ];
}

const count = (name, title, word) => ({
  key: name,
  title,
  num: true,
  width: "7rem",
  card: "line",
  cell: ({ id, attributes: { counts_24h: c } }) =>
    c[name]
      ? html`<a class="num" href=${href(`integrations/sources/${id}`, { part: "requests", outcome: name })}>${number(c[name])}<span class="card-word"> ${word}</span></a>`
      : html`<span class="num muted blank">0</span>`,
});
