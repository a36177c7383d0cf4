// What stands around the rows of the log: the line above them, what is said when there are none, selection and export.
import { html, useEffect, useRef } from "../../ui.js";
import { address, download } from "../../api.js";
import { number, total } from "../../format.js";
import { href } from "../../router.js";
import { appId } from "../../state.js";
import { Icon } from "../../components/icon.js";
import { Menu } from "../../components/menu.js";
import { EmptyState, ErrorState } from "../../components/states.js";
import { TimeSwitch } from "../../components/time.js";
import { announce, fail, toast } from "../../components/toast.js";
import { clear, isFiltered } from "./filter.js";
import { MANY } from "./live.js";

export const LIST = "v1/webhooks/deliveries";

/** How many there are, whether news come in, what runs, and what is new. */
export function LogLine({ list, live, job, onJob, onNew }) {
  const { meta } = list.data ?? {};
  const count = meta ? `${total(meta)} ${meta.total === 1 ? "attempt" : "attempts"}` : list.error ? "" : "Loading…";
  const news = live.news.size;
  return html`<div class="log-line">
    <div class="log-count"><span class="muted num" role="status">${count}</span><${LiveState} state=${live.state} /></div>
    <div class="log-live">
      ${job && html`<button type="button" class="button small" onClick=${onJob}>Retry of ${number(job.attributes.matched)} runs</button>`}
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

/** Why there are no rows, or no newer ones. */
export function Refusal({ list }) {
  const { error, data, reload } = list;
  // An address that asks for what there is not cannot be tried again as it is.
  const wrong = error.status === 422;
  const action = wrong
    ? html`<button type="button" class="button small" onClick=${() => clear({ order: true })}>Clear search and filters</button>`
    : html`<button type="button" class="button small" onClick=${reload}>Try again</button>`;
  if (!data) return html`<${ErrorState} error=${error}>${action}<//>`;
  return html`<p class="log-error" role="alert"><span>${error.message}</span>${action}</p>`;
}

export function NoRows({ query, endpoints }) {
  if (isFiltered(query)) {
    return html`<${EmptyState} title="Nothing matches" text="No attempt in the log fits this search and these filters.">
      <button type="button" class="button" onClick=${() => clear()}>Clear search and filters</button>
    <//>`;
  }
  // What to do next depends on whether there is a webhook; until that is known, nothing is said.
  if (!endpoints) return html`<div class="state"></div>`;
  if (endpoints.length === 0) {
    return html`<${EmptyState}
      icon="webhooks"
      title="No webhook yet"
      text="A webhook says where events go. Make one, or see a first delivery with the built-in receiver."
    >
      <a class="button primary" href=${href("")}>Get started</a>
      <a class="button" href=${href("webhooks/new")}>Make a webhook</a>
    <//>`;
  }
  return html`<${EmptyState}
    icon="deliveries"
    title="Nothing was delivered yet"
    text="As soon as an event is posted that a webhook wants, its attempts appear here."
  >
    <a class="button" href=${href("events")}>Send an event</a>
  <//>`;
}

function LiveState({ state }) {
  const live = state === "live";
  const word = live ? "Live" : state === "starting" ? "Connecting" : "Offline";
  return html`<span
    class="live ${live ? "on" : ""}"
    title=${live ? "Ended attempts are announced as they happen." : "Waiting for the connection; it comes back by itself."}
    ><span class="live-dot" aria-hidden="true"></span>${word}</span
  >`;
}

/** Said at most every few seconds, so that a busy log does not talk all the time. */
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

export function Chosen({ count, meta, clear: none, retry, all }) {
  return html`<div class="selection-bar" role="region" aria-label="Selection">
    <strong class="num">${number(count)} selected</strong>
    <button type="button" class="button primary small" onClick=${retry}>
      <${Icon} name="redo" size=${14} />Retry selected
    </button>
    <button type="button" class="button small" onClick=${all}>Retry all ${total(meta)} matching…</button>
    <button type="button" class="button quiet small" onClick=${none}>Clear</button>
  </div>`;
}

export function Export({ filter, sort, meta }) {
  const path = `${LIST}/export`;
  const save = async (format) => {
    toast("The file is being made.");
    try {
      toast(`Saved ${await download(path, { ...filter, sort, format })}.`);
    } catch (error) {
      fail(error);
    }
  };
  // A plain link streams to the disk; only another app's rows, and workbooks (which may be refused), come by request.
  const item = (format, label, hint) =>
    appId.value || format === "xlsx"
      ? { label, hint, icon: "download", run: () => save(format) }
      : { label, hint, icon: "download", href: address(path, { ...filter, sort, format }).href, download: "" };
  return html`<${Menu}
    label="Export"
    button=${html`<${Icon} name="download" />Export<${Icon} name="down" size=${12} />`}
    items=${[
      { heading: `${total(meta)} rows, as filtered and sorted` },
      item("csv", "CSV", "Any spreadsheet or script"),
      item("xlsx", "Excel workbook", "Typed cells, up to 20,000 rows"),
      item("jsonl", "JSON lines", "One object a line"),
    ]}
  />`;
}
