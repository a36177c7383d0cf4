// The parts around the rows of the delivery log: the line above them, empty states, selection and export.
import { html, useEffect, useRef } from "../../ui.js";
import { address, download } from "../../api.js";
import { number, plural, total } from "../../format.js";
import { href, route } from "../../router.js";
import { appId } from "../../state.js";
import { Icon } from "../../components/icon.js";
import { Menu } from "../../components/menu.js";
import { EmptyState, ErrorState } from "../../components/states.js";
import { turn } from "../../components/table.js";
import { TimeSwitch } from "../../components/time.js";
import { announce, fail, toast } from "../../components/toast.js";
import { clear, isFiltered } from "./filter.js";
import { MANY } from "./live.js";

export const LIST = "v1/webhooks/deliveries";

const NOUNS = { deliveries: ["delivery", "deliveries"], attempts: ["attempt", "attempts"] };

function countOf({ meta }, view) {
  if (meta.scanned !== undefined) return `${plural(meta.scanned, "row")} searched`;
  return `${total(meta)} ${NOUNS[view][meta.total === 1 ? 0 : 1]}`;
}

/** What a row is: one for each delivery, or one for each attempt. */
function Views({ view }) {
  const to = (wanted) => {
    const query = new URLSearchParams(route.value.query);
    for (const name of ["page", "cursor", "open", "view", "sort"]) query.delete(name);
    if (wanted !== "deliveries") query.set("view", wanted);
    return href(route.value.path, query);
  };
  const link = (wanted, words) =>
    html`<a class="segment" href=${to(wanted)} aria-current=${view === wanted ? "true" : undefined}>${words}</a>`;
  return html`<div class="segmented" role="group" aria-label="Rows">${link("deliveries", "Deliveries")}${link("attempts", "All attempts")}</div>`;
}

/** What a row is, how many there are, whether the stream is live, the running bulk retry, and the number of new rows. */
export function LogLine({ view, list, live, job, onJob, onNew }) {
  const count = list.data ? countOf(list.data, view) : list.error ? "" : "Loading…";
  const news = live.news.size;
  return html`<div class="log-line">
    <div class="log-count"><${Views} view=${view} /><span class="muted num" role="status">${count}</span><${LiveState} state=${live.state} /></div>
    <div class="log-live">
      ${job && html`<button type="button" class="button small" onClick=${onJob}>Retrying ${number(job.attributes.matched)}…</button>`}
      ${
        news > 0 &&
        html`<button type="button" class="button small news" onClick=${onNew}>
          <${Icon} name="up" size=${12} />${news >= MANY ? `${number(MANY)}+` : number(news)} new
        </button>`
      }
      <${TimeSwitch} />
    </div>
  </div>`;
}

/** Why the rows could not be loaded or updated. */
export function Refusal({ list }) {
  const { error, data, reload } = list;
  // An invalid filter fails again however often it is tried.
  const wrong = error.status === 422;
  const action = wrong
    ? html`<button type="button" class="button small" onClick=${() => clear({ order: true })}>Clear search and filters</button>`
    : html`<button type="button" class="button small" onClick=${reload}>Try again</button>`;
  if (!data) return html`<${ErrorState} error=${error}>${action}<//>`;
  return html`<p class="log-error" role="alert"><span>${error.message}</span>${action}</p>`;
}

/** `webhooks` is how many there are, once that is known. */
export function NoRows({ query, list, webhooks }) {
  if (list?.meta.complete === false) {
    return html`<${EmptyState} title="No match so far" text="${plural(list.meta.scanned, "row")} searched, from the newest on. Older rows may match.">
      ${list.links.next && html`<a class="button primary" href=${turn(list.links.next)}>Search older rows</a>`}
      <button type="button" class="button" onClick=${() => clear()}>Clear search and filters</button>
    <//>`;
  }
  if (isFiltered(query)) {
    return html`<${EmptyState} title="No matches" text="Nothing in the log matches this search and these filters.">
      <button type="button" class="button" onClick=${() => clear()}>Clear search and filters</button>
    <//>`;
  }
  // The next step depends on whether there is a webhook; until that is known, nothing is shown.
  if (webhooks === undefined) return html`<div class="state"></div>`;
  if (webhooks === 0) {
    return html`<${EmptyState}
      icon="webhooks"
      title="No webhooks yet"
      text="A webhook tells Postrider where to send which events. Create one, or see a first delivery with the built-in receiver."
    >
      <a class="button primary" href=${href("")}>Get started</a>
      <a class="button" href=${href("webhooks/new")}>Create a webhook</a>
    <//>`;
  }
  return html`<${EmptyState}
    icon="deliveries"
    title="No deliveries yet"
    text="Attempts appear here as soon as an event is posted that a webhook subscribes to."
  >
    <a class="button" href=${href("events")}>Send an event</a>
  <//>`;
}

function LiveState({ state }) {
  const live = state === "live";
  if (state === "off") return null;
  const word = live ? "Live" : state === "starting" ? "Connecting" : "Offline";
  return html`<span
    class="live ${live ? "on" : ""}"
    title=${live ? "New attempts are announced as they finish." : "Reconnecting automatically."}
    ><span class="live-dot" aria-hidden="true"></span>${word}</span
  >`;
}

/** For screen readers, at most every 15 seconds, so that a busy log does not talk all the time. */
export function Announce({ count }) {
  const said = useRef({ at: 0, count: 0 });
  useEffect(() => {
    if (!count) {
      said.current.count = 0;
      return;
    }
    if (said.current.count === 0 || Date.now() - said.current.at > 15_000) {
      said.current = { at: Date.now(), count };
      announce(`${count} new`);
    }
  }, [count]);
  return null;
}

export function Chosen({ count, meta, clear: none, retry, all, pending }) {
  return html`<div class="selection-bar" role="region" aria-label="Selection">
    <strong class="num">${number(count)} selected</strong>
    <button type="button" class="button primary small" onClick=${retry}>
      <${Icon} name="redo" size=${14} />${pending ? "Send selected now" : "Retry selected"}
    </button>
    ${all && html`<button type="button" class="button small" onClick=${all}>${pending ? "Send" : "Retry"} all ${total(meta)} matching${pending ? " now" : ""}…</button>`}
    <button type="button" class="button quiet small" onClick=${none}>Clear</button>
  </div>`;
}

export function Export({ filter, sort, meta }) {
  const path = `${LIST}/export`;
  const save = async (format) => {
    toast("Preparing the file.");
    try {
      toast(`Saved ${await download(path, { ...filter, sort, format })}.`);
    } catch (error) {
      fail(error);
    }
  };
  // A plain link streams to the disk; another app’s rows and workbooks (which may be refused) are requested here.
  const item = (format, label, hint) =>
    appId.value || format === "xlsx"
      ? { label, hint, icon: "download", run: () => save(format) }
      : { label, hint, icon: "download", href: address(path, { ...filter, sort, format }).href, download: "" };
  return html`<${Menu}
    label="Export"
    button=${html`<${Icon} name="download" />Export<${Icon} name="down" size=${12} />`}
    items=${[
      { heading: `${meta?.total === undefined ? "All" : total(meta)} ${meta?.total === 1 ? "row" : "rows"}, as filtered and sorted` },
      item("csv", "CSV", "Any spreadsheet or script"),
      item("xlsx", "Excel workbook", "Typed cells, up to 20,000 rows"),
      item("jsonl", "JSON lines", "One object per line"),
    ]}
  />`;
}
