// Tables: real tables on wide screens, cards on narrow ones, never wider than the page.
import { cx, html, memo, useCallback, useRef, useState } from "../ui.js";
import { number, total } from "../format.js";
import { href, route } from "../router.js";
import { Icon } from "./icon.js";
import { useKeys } from "./keyboard.js";

/**
 * `columns`: `{key, title, cell: (row) => markup, sort, num, width, card}`. `sort` is the name that the API sorts by
 * (a header goes from descending to ascending to the list's own order, null);
 * `card` says where the cell goes on a narrow screen: `head`, `aside`, `line` (default), `foot` or `hide`.
 * `rows` undefined draws a skeleton. `selected` (a Set of keys) with `onSelect` adds boxes; `onOpen` makes rows clickable;
 * `empty` is shown when there are no rows. `j` and `k` move a cursor over the rows and Enter opens the one under it, unless the page
 * does that itself and gives `active`, the key of the row to mark.
 * A row renders again when it or `columns` is another object: keep them with useMemo for long lists.
 */
export function DataTable({
  columns,
  rows,
  keyOf = (r) => r.id,
  sort,
  onSort,
  selected,
  onSelect,
  onOpen,
  active,
  caption,
  empty,
  busy,
  skeleton = 8,
  fresh,
}) {
  const keys = rows?.map(keyOf) ?? [];
  const all = keys.length > 0 && keys.every((k) => selected?.has(k));
  const some = !all && keys.some((k) => selected?.has(k));
  // Rows get the same functions each time, so that only changed rows render again.
  const latest = useRef({});
  latest.current = { selected, onSelect, onOpen };
  const toggle = useCallback((key) => {
    const next = new Set(latest.current.selected);
    if (!next.delete(key)) next.add(key);
    latest.current.onSelect(next);
  }, []);
  const opens = useCallback((row, e) => latest.current.onOpen(row, e), []);
  const open = onOpen && opens;
  const table = useRef(null);
  const [cursor, setCursor] = useState(null);
  const own = active === undefined;
  const move = (by) => {
    if (!own || !keys.length) return false;
    const at = keys.indexOf(cursor);
    const next = keys[at < 0 ? 0 : Math.min(keys.length - 1, Math.max(0, at + by))];
    setCursor(next);
    const row = [...table.current.querySelectorAll("tr[data-key]")].find((r) => r.dataset.key === String(next));
    row?.querySelector("a[href],button:not(:disabled),input")?.focus({ preventScroll: true });
    row?.scrollIntoView({ block: "nearest" });
    return true;
  };
  useKeys({
    j: () => move(1),
    k: () => move(-1),
    Enter: (e) => {
      const row = own && !e.target.closest("a,button,input,summary") && rows?.find((r) => keyOf(r) === cursor);
      if (!row || !onOpen) return false;
      onOpen(row, e);
      return true;
    },
  });
  const marked = own ? cursor : active;
  if (rows && rows.length === 0 && empty) return empty;
  return html`<div class="table-frame" ref=${table} aria-busy=${busy || !rows ? "true" : undefined}>
    <table class="table" role="table" aria-busy=${rows ? undefined : "true"}>
      <caption class="sr-only">
        ${caption}
      </caption>
      <colgroup>
        ${onSelect && html`<col class="col-select" />`}${columns.map((c) => html`<col class=${c.className} style=${{ width: c.width }} />`)}
      </colgroup>
      <thead role="rowgroup">
        <tr role="row">
          ${
            onSelect &&
            html`<th role="columnheader" scope="col" class="cell-select">
              <input
                type="checkbox"
                aria-label="Select all rows of this page"
                checked=${all}
                indeterminate=${some}
                onChange=${() => onSelect(all ? new Set([...selected].filter((k) => !keys.includes(k))) : new Set([...selected, ...keys]))}
              />
            </th>`
          }
          ${columns.map((c) => html`<${Header} column=${c} sort=${sort} onSort=${onSort} />`)}
        </tr>
      </thead>
      <tbody role="rowgroup">
        ${
          !rows
            ? Array.from(
                { length: skeleton },
                (_, i) =>
                  html`<tr role="row" key="s${i}" class="skeleton-row" aria-hidden="true">
                    ${onSelect && html`<td class="cell-select"></td>`}${columns.map(
                      (c) =>
                        html`<td class=${cx(c.num && "num", `card-${c.card ?? "line"}`, c.className)}>
                          <div class="skeleton"><span></span></div>
                        </td>`,
                    )}
                  </tr>`,
              )
            : rows.map((row) => {
                const key = keyOf(row);
                return html`<${Row}
                  key=${key}
                  id=${key}
                  row=${row}
                  columns=${columns}
                  onOpen=${open}
                  onToggle=${onSelect && toggle}
                  active=${marked === key}
                  selected=${Boolean(selected?.has(key))}
                  fresh=${Boolean(fresh?.has(key))}
                />`;
              })
        }
      </tbody>
    </table>
  </div>`;
}

const Row = memo(
  ({ id, row, columns, onOpen, onToggle, active, selected, fresh }) =>
    html`<tr
      role="row"
      data-key=${id}
      class=${cx(onOpen && "openable", active && "active", selected && "selected", fresh && "fresh")}
      onClick=${
        onOpen &&
        ((e) => {
          if (!e.target.closest("a,button,input,label,.menu") && !String(getSelection())) onOpen(row, e);
        })
      }
    >
      ${onToggle && html`<td role="cell" class="cell-select"><input type="checkbox" aria-label="Select row ${id}" checked=${selected} onChange=${() => onToggle(id)} /></td>`}
      ${columns.map((c) => html`<td role="cell" class=${cx(c.num && "num", `card-${c.card ?? "line"}`, c.className)}>${c.cell(row)}</td>`)}
    </tr>`,
);

function Header({ column, sort, onSort }) {
  const { key, title, num, hidden } = column;
  const name = column.sort;
  const direction = name && (sort === name ? "ascending" : sort === `-${name}` ? "descending" : undefined);
  const words = hidden ? html`<span class="sr-only">${title}</span>` : title;
  return html`<th
    role="columnheader"
    scope="col"
    key=${key}
    class=${cx(num && "num", column.className)}
    aria-sort=${direction}
  >
    ${name && onSort ? html`<button type="button" class="sort ${direction ?? ""}" onClick=${() => onSort(direction === "descending" ? name : direction ? null : `-${name}`)}>${words}<${Icon} name=${direction === "ascending" ? "up" : "down"} size=${12} /></button>` : words}
  </th>`;
}

/** The parameters (`page`, `cursor`) of a list’s `links`, as an address of this page; null without a link. */
export function turn(link) {
  if (!link) return null;
  const from = new URL(link, location.href).searchParams;
  const query = new URLSearchParams(route.value.query);
  for (const name of ["page", "cursor"]) {
    query.delete(name);
    if (from.get(name)) query.set(name, from.get(name));
  }
  if (query.get("page") === "1") query.delete("page");
  return href(route.value.path, query);
}

/** "51–100 of 2,413" with links to the previous and next page; the address holds the API’s `page` or `cursor`. */
export function Pages({ list, noun = "rows" }) {
  if (!list)
    return html`<div class="pages" aria-hidden="true">
      <span class="skeleton"><span style=${{ width: "8rem" }}></span></span>
    </div>`;
  const { meta, links, data } = list;
  if (!data.length && !links.prev) return null;
  const from = meta.page ? (meta.page - 1) * meta.per_page + 1 : null;
  const words = meta.scanned !== undefined
    ? `${number(data.length)} found in ${number(meta.scanned)} rows searched${meta.complete === false ? " so far" : ""}`
    : from
    ? `${number(from)}–${number(from + data.length - 1)} of ${total(meta)}`
    : `${data.length} of ${total(meta)}`;
  // A cursor leads only forward; back goes by page number as far as numbers reach, else to the first page.
  const back = meta.scanned !== undefined ? 1 : meta.page - 1;
  const before =
    links.prev ?? (meta.page > 1 && (meta.page - 1) * meta.per_page <= 10_000 ? `?page=${back}` : null);
  const first = meta.page > 2 || (meta.page > 1 && !before) ? "?page=1" : null;
  return html`<nav class="pages" aria-label="Pages">
    <span class="muted num">${words} ${noun}</span>
    <span class="pages-links"
      >${first && html`<a class="button small" href=${turn(first)}>First</a>`}<${Turn}
        to=${turn(before)}
        icon="left"
        word="Previous" /><${Turn} to=${turn(links.next)} icon="right" word=${meta.complete === false ? "Search older rows" : "Next"}
    /></span>
  </nav>`;
}

const Turn = ({ to, icon, word }) =>
  html`<a
    class="button small"
    href=${to ?? undefined}
    role="link"
    aria-disabled=${to ? undefined : "true"}
    rel=${icon === "right" ? "next" : "prev"}
  >
    ${icon === "left" && html`<${Icon} name="left" size=${14} />`}${word}${icon === "right" && html`<${Icon} name="right" size=${14} />`}</a
  >`;
